# SPDX-License-Identifier: MIT
"""The base of LazyTensors: what they hold, how they are made from arrays, joined, evaluated, and printed."""

from __future__ import annotations

import numbers
import operator
from typing import Any, ClassVar, List, Optional, Sequence, Tuple, Type, TypeVar

from .. import _arrays
from .._errors import ArgumentError, DtypeError, ShapeError, UnsupportedError
from . import contexts, evaluation, pickling
from .chain import Places, has_symbols, join
from .evaluation import DEFAULTS, Evaluation, Options
from .leaves import F32, I64, NAMES, ROLE_I, ROLE_J, ROLE_PARAMETER, ArrayLeaf, NumbersLeaf, SymbolicLeaf, layout
from .program import program_of
from .structure import BOTH, COMPLEX, I, INDEX, J, PAIR, REAL, Structure, structure, variable

T = TypeVar("T", bound="TensorBase")
Batch = Tuple[int, ...]


def _filled(
    made: T,
    node: Structure,
    leaves: Sequence[Any],
    batch: Batch,
    ni: Optional[int],
    nj: Optional[int],
    code: Optional[int],
    ranges: Any,
    backend: Optional[str],
) -> T:
    """A tensor that was made without its arguments, with all of its fields."""
    made._node = node
    made._leaves = leaves
    made._batch = batch
    made.ni = ni
    made.nj = nj
    made._code = code
    made.ranges = ranges
    made.backend = backend
    made._options = DEFAULTS
    made._ready = None
    return made


class TensorBase:
    """A formula in arrays, of shape (batch axes..., M, N, D), of which no element is computed before it is reduced."""

    __slots__ = (
        "_node",
        "_leaves",
        "_batch",
        "ni",
        "nj",
        "_code",
        "ranges",
        "backend",
        "_options",
        "_ready",
        "__weakref__",
    )

    _library: ClassVar[_arrays.ArrayLibrary]

    _node: Structure
    _leaves: Sequence[Any]  # a tuple, or a Chain of many
    _batch: Batch  # sizes of the batch axes
    ni: Optional[int]  # M, or None where nothing depends on i
    nj: Optional[int]
    _code: Optional[int]  # number type of the arrays, None where there are only numbers
    ranges: Any
    backend: Optional[str]
    _options: Options  # for calls of a reduction that was not called at once
    _ready: Optional[Evaluation]  # of the last call, for the next one

    # ---- Construction ------------------------------------------------------------------------------------------------

    def __init__(self, x: Any = None, axis: Optional[int] = None, is_complex: bool = False) -> None:
        self.ranges = None
        self.backend = None
        self._options = DEFAULTS
        self._ready = None
        self._leaves = ()
        self._batch = ()
        self.ni = self.nj = self._code = None
        if x is None:
            raise ArgumentError("LazyTensor: an array, a number, a list of numbers or (index, dim, role) is needed")
        array = self._library.as_array(x)
        if array is not None:
            self._of_array(x, array, axis)
        elif isinstance(x, tuple):
            self._of_symbol(x, axis)
        else:
            self._of_numbers(x, axis)
        if isinstance(self, self._library.complex) and self._node.kind != COMPLEX:
            raise DtypeError("ComplexLazyTensor: complex numbers are needed; see real2complex()")

    def _of_array(self, source: Any, array: Any, axis: Optional[int]) -> None:
        library = self._library
        address, code, keep, shape, strides = library.describe(array, "LazyTensor")
        count = len(shape)
        if count >= 3 and axis != 2:
            if axis is not None:
                raise ArgumentError(
                    f"LazyTensor: axis={axis} goes with arrays of 2 axes; an array of shape "
                    f"{library.shape(array)} tells its role by its axes -3 and -2"
                )
            batch = shape[:-3]
            if shape[-3] == 1:
                if shape[-2] == 1:
                    role = ROLE_PARAMETER
                else:
                    role, self.nj = ROLE_J, shape[-2]
            elif shape[-2] == 1:
                role, self.ni = ROLE_I, shape[-3]
            else:
                raise ShapeError(
                    f"LazyTensor: an array of shape {library.shape(array)} has sizes {shape[-3]} and "
                    f"{shape[-2]} on the axes -3 (i) and -2 (j): one of them must be 1, as in x[:, None, :] "
                    "and y[None, :, :]"
                )
            self._batch = batch
            shape, strides = layout(shape, strides, role, count - (2 if role == ROLE_PARAMETER else 1))
        elif count == 2 and axis != 2:
            if axis == 0:
                role, self.ni = ROLE_I, shape[0]
            elif axis == 1:
                role, self.nj = ROLE_J, shape[0]
            else:
                raise ArgumentError(
                    f"LazyTensor: an array of 2 axes, here {library.shape(array)}, needs axis=0 (rows are "
                    f"i) or axis=1 (rows are j), not axis={axis}"
                )
        else:
            if axis is not None and axis != 2:
                raise ArgumentError(
                    f"LazyTensor: an array of shape {library.shape(array)} is a parameter, axis={axis} "
                    "goes with arrays of 2 axes"
                )
            role = ROLE_PARAMETER
            shape, strides = layout(shape, strides, role, max(count, 1))
            self._batch = shape[:-1]
        dim = shape[-1]
        if dim == 0:
            raise ShapeError(f"LazyTensor: an array of shape {library.shape(array)} has no components on its last axis")
        if len(self._batch) > 6:
            raise ShapeError(
                f"LazyTensor: an array of shape {library.shape(array)} has {len(self._batch)} batch axes, "
                "6 are possible"
            )
        kind = INDEX if code == I64 else COMPLEX if library.is_complex(array) else REAL
        leaf = ArrayLeaf(source, role, _arrays.describe(address, code, shape, strides), code, keep)
        self._leaves = (leaf,)
        self._node = variable(role, dim, kind)
        self._code = None if code == I64 else code

    def _of_symbol(self, x: Tuple[Any, ...], axis: Optional[int]) -> None:
        if len(x) != 3 or not all(isinstance(each, numbers.Integral) for each in x):
            raise ArgumentError(f"LazyTensor: a tuple is (index, dim, role), three whole numbers, not {x!r}")
        if axis is not None:
            raise ArgumentError(f"LazyTensor: axis={axis} is not given together with (index, dim, role)")
        index, dim, role = (int(each) for each in x)
        if role not in (0, 1, 2):
            raise ArgumentError(f"LazyTensor: the role of {x!r} is 0 (i), 1 (j) or 2 (a parameter), not {role}")
        if dim < 1:
            raise ShapeError(f"LazyTensor: the dimension of {x!r} is {dim}, 1 or more is needed")
        self._leaves = (SymbolicLeaf(index, dim, role),)
        self._node = variable(role, dim)

    def _of_numbers(self, x: Any, axis: Optional[int]) -> None:
        if isinstance(x, numbers.Integral) and not isinstance(x, bool):
            self._node = constant(int(x))
            return
        if isinstance(x, numbers.Real) and not isinstance(x, bool):
            values: List[float] = [float(x)]
            kind = REAL
        elif isinstance(x, numbers.Complex) and not isinstance(x, bool):
            values, kind = [complex(x).real, complex(x).imag], COMPLEX
        elif isinstance(x, list) and x and all(isinstance(v, numbers.Complex) and not isinstance(v, bool) for v in x):
            kind = COMPLEX if any(isinstance(v, complex) for v in x) else REAL
            values = []
            for v in x:
                values.extend((complex(v).real, complex(v).imag) if kind == COMPLEX else (float(v),))
        else:
            raise TypeError(
                f"LazyTensor: expected {self._library.array_name}, numbers, lists of numbers or "
                f"(index, dim, role), not {type(x).__name__}"
            )
        if axis is not None and axis != 2:
            raise ArgumentError(f"LazyTensor: numbers are parameters: axis is None or 2, not {axis}")
        self._leaves = (NumbersLeaf(values),)
        self._node = variable(ROLE_PARAMETER, len(values), kind)

    @classmethod
    def _new(
        cls: Type[T],
        node: Structure,
        leaves: Sequence[Any],
        batch: Batch,
        ni: Optional[int],
        nj: Optional[int],
        code: Optional[int],
    ) -> T:
        return _filled(object.__new__(cls), node, leaves, batch, ni, nj, code, None, None)

    @classmethod
    def _index(cls: Type[T], axes: int) -> T:
        """The numbers of the rows i or of the columns j, from 0."""
        node = structure("index_i" if axes == I else "index_j", (), (), (), 0, axes, 1)
        return cls._new(node, (), (), None, None, None)

    def _like(self: T, node: Structure) -> T:
        """A tensor of the same leaves and sizes."""
        made: T = object.__new__(type(self) if node.kind == self._node.kind else self._class_of(node.kind))
        return _filled(made, node, self._leaves, self._batch, self.ni, self.nj, self._code, self.ranges, self.backend)

    def _class_of(self, kind: int) -> Any:
        return self._library.complex if kind == COMPLEX else self._library.real

    def _operand(self: T, x: Any) -> Any:
        """x as a tensor of this library."""
        if isinstance(x, TensorBase):
            if x._library is not self._library:
                raise TypeError(
                    f"LazyTensors of {self._library.name} and of {x._library.name} do not meet in an expression"
                )
            return x
        made: TensorBase = self._library.real(x)
        return made

    # ---- Operations --------------------------------------------------------------------------------------------------

    def _number(self, what: str) -> None:
        """Refuses what formulas cannot take as an operand."""
        if self._node.kind == PAIR:
            raise ArgumentError(f"{what}: a reduction with two results is no operand: reduce twice, by min and argmin")
        if self._node.kind == INDEX and self._node.op == "var":
            raise DtypeError(
                f"{what}: an array of int64 is an index, for take() only; convert it to float32 or float64"
            )

    def _unary(
        self: T, op: str, dim: Optional[int] = None, params: Tuple[Any, ...] = (), kind: Optional[int] = None
    ) -> T:
        node = self._node
        if node.kind >= INDEX:
            self._number(op)
        return self._like(
            structure(
                op,
                params,
                (node,),
                (None,),
                node.leaves,
                node.axes,
                node.dim if dim is None else dim,
                (node.kind if node.kind < INDEX else REAL) if kind is None else kind,
            )
        )

    def _nary(
        self: T,
        op: str,
        others: Sequence[Any],
        dim: int,
        params: Tuple[Any, ...] = (),
        kind: Optional[int] = None,
        what: str = "",
        axes: Optional[int] = None,
        over_batches: bool = False,
    ) -> T:
        """An operation of self and others."""
        leaves = self._leaves
        batch, ni, nj, code, backend, ranges = self._batch, self.ni, self.nj, self._code, self.backend, self.ranges
        nodes = [self._node]
        places: List[Places] = [None]
        all_axes = self._node.axes
        if self._node.kind >= INDEX:
            self._number(what or op)
        for other in others:
            if other._node.kind >= INDEX and op != "gather":
                other._number(what or op)
            leaves, of_these, of_other = join(leaves, other._leaves)
            if of_these is not None:
                places = [moved(each, of_these, below.leaves) for each, below in zip(places, nodes)]
            nodes.append(other._node)
            places.append(of_other)
            all_axes |= other._node.axes
            if other.ni is not None and other.ni != ni:
                if ni is not None:
                    raise self._sizes_differ(what or op, "i", ni, other.ni, other)
                ni = other.ni
            if other.nj is not None and other.nj != nj:
                if nj is not None:
                    raise self._sizes_differ(what or op, "j", nj, other.nj, other)
                nj = other.nj
            if other._batch != batch:
                batch = broadcast(batch, other._batch, what or op)
            if other._code is not None and other._code != code:
                if code is not None:
                    raise DtypeError(
                        f"{what or op}: the operands have different number types, {NAMES[code]} and "
                        f"{NAMES[other._code]}; nothing is converted silently, convert one of the arrays"
                    )
                code = other._code
            backend = backend or other.backend
            ranges = ranges if ranges is not None else other.ranges
        if kind is None:
            kind = self._node.kind if self._node.kind < INDEX else REAL
        node = structure(
            op,
            params,
            tuple(nodes),
            tuple(places),
            len(leaves),
            all_axes if axes is None else axes,
            dim,
            kind,
            over_batches=over_batches,
        )
        made: T = object.__new__(type(self) if kind == self._node.kind else self._class_of(kind))
        return _filled(made, node, leaves, batch, ni, nj, code, ranges, backend)

    def _sizes_differ(self, what: str, axis: str, first: int, second: int, other: "TensorBase") -> ShapeError:
        number = -3 if axis == "i" else -2
        return ShapeError(
            f"{what}: axis {number} ({axis}) has {first} rows in the first operand, of shape {self._shape}, "
            f"and {second} in the second, of shape {other._shape}"
        )

    def _binary(
        self: T,
        other: Any,
        op: str,
        what: str,
        reverse: bool = False,
        kind: Optional[int] = None,
        dim: Optional[int] = None,
    ) -> T:
        """An elementwise operation: dimensions are equal, or one of them is 1."""
        if not isinstance(other, TensorBase) or other._library is not self._library:
            other = self._operand(other)
        first, second = self._node.dim, other._node.dim
        if dim is None:
            dim = first
            if first != second:
                if first != 1 and second != 1:
                    raise ShapeError(
                        f"{what}: axis -1 has {self._inner(first)} components in the first operand, of shape "
                        f"{self._shape}, and {other._inner(second)} in the second, of shape {other._shape}"
                    )
                dim = first if second == 1 else second
        if reverse:
            made: T = other._nary(op, (self,), dim, kind=kind, what=what)
            return made
        return self._nary(op, (other,), dim, kind=kind, what=what)

    # ---- What a tensor is --------------------------------------------------------------------------------------------

    def _inner(self, dim: int) -> int:
        return dim // 2 if self._node.kind == COMPLEX else dim

    @property
    def ndim(self) -> int:
        """D, the number of components (of a complex tensor twice as many, as in KeOps)."""
        return self._node.dim

    @property
    def is_complex(self) -> bool:
        """Whether the values are complex numbers."""
        return self._node.kind == COMPLEX

    @property
    def batchdims(self) -> Optional[Batch]:
        """The sizes of the batch axes, or None without batch axes."""
        return self._batch or None

    @property
    def nbatchdims(self) -> int:
        """The number of batch axes."""
        return len(self._batch)

    @property
    def _shape(self) -> Tuple[int, ...]:
        return self._batch + (
            1 if self.ni is None else self.ni,
            1 if self.nj is None else self.nj,
            self._inner(self._node.dim),
        )

    @property
    def shape(self) -> Tuple[int, ...]:
        """(batch axes..., M, N, D), or (batch axes..., M, N) where D is 1."""
        shape = self._shape
        return shape[:-1] if shape[-1] == 1 else shape

    def dim(self) -> int:
        """The number of axes: 3, and one more for each batch axis."""
        return len(self._batch) + 3

    @property
    def dtype(self) -> Any:
        """The name of the number type, "float32" or "float64"; None where there are only numbers."""
        if self._code is None:
            return None
        if self._node.kind == COMPLEX:
            return "complex64" if self._code == F32 else "complex128"
        return NAMES[self._code]

    @property
    def variables(self) -> Tuple[Any, ...]:
        """The arrays and numbers that the formula reads."""
        return tuple(
            leaf.source if isinstance(leaf, ArrayLeaf) else list(leaf.values)
            for leaf in self._leaves
            if not isinstance(leaf, SymbolicLeaf)
        )

    @property
    def symbolic_variables(self) -> Tuple[Tuple[int, int, int], ...]:
        """The variables (index, dim, role) that get their arrays in a call."""
        return tuple((leaf.index, leaf.dim, leaf.role) for leaf in self._leaves if isinstance(leaf, SymbolicLeaf))

    @property
    def axis(self) -> Optional[int]:
        """Of a variable its role: 0 (i), 1 (j) or 2 (a parameter); else None."""
        return self._node.params[0] if self._node.op == "var" else None

    def __getstate__(self) -> Any:
        return pickling.state(self)

    def __setstate__(self, state: Any) -> None:
        pickling.restore(self, state)

    def __bool__(self) -> bool:
        raise ArgumentError(
            "a LazyTensor has no truth value: comparisons of LazyTensors are LazyTensors, reduce them first"
        )

    __hash__ = object.__hash__

    # ---- Values ------------------------------------------------------------------------------------------------------

    def _prepared(self, options: Options) -> Tuple[Options, int]:
        """The options with the device that is asked for, and the number type of the arrays. Refuses what has no
        values."""
        if options.device is None and self.backend is not None:
            options = options._replace(device=contexts.of_backend(self.backend))
        if self.ranges is not None:
            raise UnsupportedError("ranges: block-sparse ranges are not there yet, this version has none")
        if self._code is None:
            raise DtypeError(
                "a LazyTensor of numbers, indices and symbolic variables alone has no number type: bring in an array"
            )
        return options, self._code

    def _evaluate(self, options: Options) -> Any:
        """The values of a tensor that does not depend on both i and j."""
        node = self._node
        own = options is self._options and self.backend is None
        options, code = self._prepared(options)
        shape = self._batch + (evaluation.rows(node, self.ni, self.nj), node.dim)
        leaves = self._leaves
        batches = evaluation.batch_patterns(leaves, code) if node.over_batches else None
        program = program_of(node, options.fast, batches)
        made = Evaluation(self._library, program, code, shape, options)
        if own:
            self._ready = made
        return evaluation.call(self._library, made, leaves)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The values of a reduction, or of any formula that does not depend on both i and j.

        Arguments are the arrays of the symbolic variables in the order of their indices: (batch axes..., M, D) for i,
        (batch axes..., N, D) for j, (batch axes..., D) for a parameter. Keyword arguments are those of reductions.
        """
        ready = self._ready
        if ready is not None and not args and not kwargs and self.backend is None and self.ranges is None:
            return ready.again(self._leaves)
        if self._node.axes == BOTH:
            raise ArgumentError(
                f"a LazyTensor of shape {self._shape} depends on i and j: reduce it before it is called"
            )
        options = self._options
        if kwargs:
            options = evaluation.merged(options, kwargs, "call")
        symbols = sorted(
            (leaf for leaf in self._leaves if isinstance(leaf, SymbolicLeaf)), key=operator.attrgetter("index")
        )
        if len(args) != len(symbols):
            raise ArgumentError(f"call: {len(symbols)} arrays are needed, for the symbolic variables, not {len(args)}")
        if not symbols:
            return self._evaluate(options)
        bound = self._bind(symbols, args)
        return bound._evaluate(options)

    def _bind(self: T, symbols: Sequence[SymbolicLeaf], args: Sequence[Any]) -> T:
        """The tensor with arrays in the place of symbolic variables."""
        library = self._library
        given = {}
        code = self._code
        for symbol, x in zip(symbols, args):
            what = f"argument {symbol.index}"
            array = library.as_array(x)
            if array is None:
                raise TypeError(f"{what}: expected {library.array_name}, not {type(x).__name__}")
            address, its_code, keep, shape, strides = library.describe(array, what)
            if code is not None and its_code != code and its_code != I64:
                raise DtypeError(f"{what} has the number type {NAMES[its_code]}, the other arrays {NAMES[code]}")
            code = its_code if its_code != I64 else code
            axes = 1 if symbol.role == ROLE_PARAMETER else 2
            if len(shape) < axes or shape[-1] != symbol.dim:
                raise ShapeError(
                    f"{what}: expected the shape (..., {'' if axes == 1 else 'rows, '}{symbol.dim}), "
                    f"not {library.shape(array)}"
                )
            given[symbol.key] = ArrayLeaf(
                x, symbol.role, _arrays.describe(address, its_code, shape, strides), its_code, keep
            )
        leaves = tuple(given.get(leaf.key, leaf) for leaf in self._leaves)
        assert code is not None
        batches = evaluation.batch_patterns(leaves, code) if self._node.over_batches else None
        program = program_of(self._node, self._options.fast, batches)
        shape = evaluation.output_shape(program, leaves, code)
        made = self._new(self._node, leaves, shape[:-1] if self._node.axes == 0 else shape[:-2], self.ni, self.nj, code)
        if self._node.axes == I:
            made.ni = shape[-2]
        elif self._node.axes == J:
            made.nj = shape[-2]
        made.ranges, made.backend = self.ranges, self.backend
        return made

    # ---- Text --------------------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        from . import printing

        return printing.describe(self)


def moved(places: Places, to: Tuple[int, ...], count: int) -> Tuple[int, ...]:
    """The places of `count` leaves among leaves that go to other places themselves."""
    return to[:count] if places is None else tuple([to[k] for k in places])


def constant(value: float) -> Structure:
    """A number that is part of the formula."""
    return structure("constant", (value,), (), (), 0, 0, 1)


def broadcast(first: Batch, second: Batch, what: str) -> Batch:
    """The batch axes of two operands together."""
    if not first:
        return second
    if not second or first == second:
        return first
    count = max(len(first), len(second))
    one = (1,) * (count - len(first)) + first
    two = (1,) * (count - len(second)) + second
    sizes = []
    for k, (a, b) in enumerate(zip(one, two)):
        if a != b and a != 1 and b != 1:
            raise ShapeError(
                f"{what}: batch axis {k - count} (the last is -1) has the size {a} in the first operand, whose "
                f"batch axes are {first}, and {b} in the second, whose batch axes are {second}"
            )
        sizes.append(b if a == 1 else a)
    return tuple(sizes)
