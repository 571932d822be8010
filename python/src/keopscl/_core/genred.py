# SPDX-License-Identifier: MIT
"""Genred: a formula in text, reduced over i or over j, and applied to arrays."""
from __future__ import annotations

import re
from typing import Any, ClassVar, Dict, List, Optional, Sequence, Tuple

from .. import _arrays
from .._errors import ArgumentError, DtypeError, ShapeError
from .._native import ffi, lib
from . import evaluation
from .cards import OnlyOpenCLError
from .evaluation import Evaluation, options_of
from .leaves import I64, NAMES, ArrayLeaf
from .prepared import MOST_MISSES
from .program import Program, of_text
from .tensor import broadcast

ROLES = {"Vi": 0, "Vj": 1, "Pm": 2, "Vx": 0, "Vy": 1}
BARE = re.compile(r"^\s*(Vi|Vj|Pm|Vx|Vy)\(\s*(?:(\d+)\s*,\s*)?(\d+)\s*\)\s*$")
VAR = re.compile(r"\bVar\(\s*(\d+)\s*,\s*(\d+)\s*,\s*([012])\s*\)")
NAMED_VAR = re.compile(r"^\s*(?:([A-Za-z_]\w*)\s*=\s*)?Var\(\s*(\d+)\s*,\s*(\d+)\s*,\s*([012])\s*\)\s*$")

# reduction_op -> its name in formulas, and whether it takes K, has a weight, or gives indices.
PLAIN, WITH_K, WEIGHTED = range(3)
REDUCTIONS = {
    "Sum": ("Sum", PLAIN, (False,)), "LogSumExp": ("LogSumExp", PLAIN, (False,)),
    "LogSumExpWeight": ("LogSumExpWeight", WEIGHTED, (False,)),
    "SumSoftMaxWeight": ("SumSoftMaxWeight", WEIGHTED, (False,)), "SoftMax": ("SumSoftMaxWeight", WEIGHTED, (False,)),
    "Max_SumShiftExp": ("Max_SumShiftExp", PLAIN, (False,)),
    "Max_SumShiftExpWeight": ("Max_SumShiftExpWeight", WEIGHTED, (False,)),
    "Min": ("Min", PLAIN, (False,)), "Max": ("Max", PLAIN, (False,)),
    "ArgMin": ("ArgMin", PLAIN, (True,)), "ArgMax": ("ArgMax", PLAIN, (True,)),
    "Min_ArgMin": ("Min_ArgMin", PLAIN, (False, True)), "Max_ArgMax": ("Max_ArgMax", PLAIN, (False, True)),
    "MinArgMin": ("Min_ArgMin", PLAIN, (False, True)), "MaxArgMax": ("Max_ArgMax", PLAIN, (False, True)),
    "KMin": ("KMin", WITH_K, (False,)), "ArgKMin": ("ArgKMin", WITH_K, (True,)),
    "KMin_ArgKMin": ("KMin_ArgKMin", WITH_K, (False, True)), "KMinArgKMin": ("KMin_ArgKMin", WITH_K, (False, True)),
    "KMax": ("KMax", WITH_K, (False,)), "ArgKMax": ("ArgKMax", WITH_K, (True,)),
    "KMax_ArgKMax": ("KMax_ArgKMax", WITH_K, (False, True)),
}


def declaration(alias: Any, place: int) -> str:
    """An alias as the library reads it: KeOps takes aliases without a name as well."""
    if not isinstance(alias, str):
        raise ArgumentError(f"Genred: alias {place} is a string such as 'x = Vi(3)', not {type(alias).__name__}")
    match = BARE.match(alias)
    if match:
        index = match.group(2) or place
        return f"unnamed{place} = {match.group(1)}({index},{match.group(3)})"
    match = NAMED_VAR.match(alias)
    if match:
        name = match.group(1) or f"unnamed{place}"
        return f"{name} = {('Vi', 'Vj', 'Pm')[int(match.group(4))]}({match.group(2)},{match.group(3)})"
    return alias


def formula_text(formula: str, reduction_op: str, axis: int, opt_arg: Optional[int], formula2: Optional[str]) -> str:
    """The reduction in KeOps' language."""
    if reduction_op not in REDUCTIONS:
        raise ArgumentError(f"Genred: reduction_op={reduction_op!r} is none of {', '.join(sorted(REDUCTIONS))}")
    name, form, _ = REDUCTIONS[reduction_op]
    if formula2 and form == PLAIN:
        if name not in ("LogSumExp", "Max_SumShiftExp"):
            raise ArgumentError(f"Genred: {reduction_op} takes no formula2")
        name += "Weight"
        form = WEIGHTED
    if axis not in (0, 1):
        raise ArgumentError(f"Genred: axis={axis!r} is neither 0 (reduce over i) nor 1 (reduce over j)")
    parts = [formula]
    if form == WITH_K:
        if not isinstance(opt_arg, int) or opt_arg < 1:
            raise ArgumentError(f"Genred: {reduction_op} needs opt_arg, the number K, 1 or more, not {opt_arg!r}")
        parts.append(str(opt_arg))
    parts.append(str(1 - axis))
    if form == WEIGHTED:
        if not formula2:
            raise ArgumentError(f"Genred: {reduction_op} needs formula2, the weight")
        parts.append(formula2)
    return f"{name}_Reduction({','.join(parts)})"


class GenredBase:
    """A reduction of a formula in text, compiled once: see keopscl.numpy.Genred."""

    _library: ClassVar[_arrays.ArrayLibrary]
    _traces: ClassVar[Any] = None  # a function, whether calls are traced, not run; None: they never are
    _reads: ClassVar[Any] = None  # the same, by who reads the Python code of a call: a quicker function

    def __init__(self, formula: str, aliases: Sequence[str], reduction_op: str = "Sum", axis: int = 0,
                 dtype: Any = None, opt_arg: Optional[int] = None, formula2: Optional[str] = None,
                 cuda_type: Any = None, dtype_acc: str = "auto", use_double_acc: bool = False,
                 sum_scheme: str = "auto", enable_chunks: bool = True, rec_multVar_highdim: Any = False,
                 use_fast_math: Optional[bool] = None) -> None:
        self.reduction_op, self.axis, self.opt_arg = reduction_op, axis, opt_arg
        self.formula = formula_text(formula, reduction_op, axis, opt_arg, formula2)
        self.aliases = list(aliases)
        self._options = options_of({"dtype_acc": dtype_acc, "use_double_acc": use_double_acc, "sum_scheme": sum_scheme,
                                    "use_fast_math": use_fast_math}, "Genred")
        self._compile()

    def _compile(self) -> None:
        origin = self.formula, [declaration(alias, k) for k, alias in enumerate(self.aliases)], self._options.fast
        operator = of_text(*origin)
        slot = ffi.new("kcl_slot_info *")
        self._slots: List[Tuple[str, int, int]] = []
        for k in range(lib.kcl_operator_input_count(operator)):
            lib.kcl_operator_input(operator, k, slot)
            name = ffi.string(slot.name).decode()
            given = name and not name.startswith("unnamed")
            self._slots.append((name if given else f"argument {k}", slot.role, slot.dim))
        count = len(self._slots)
        # Variables that the library simplifies away are arguments all the same.
        unused = {int(place): (int(role), int(dim)) for place, dim, role in VAR.findall(self.formula)}
        while len(self._slots) in unused:
            self._slots.append((f"argument {len(self._slots)}", *unused[len(self._slots)]))
        lib.kcl_operator_output(operator, 0, slot)
        _, form, indices = REDUCTIONS[self.reduction_op]
        dim = slot.dim
        tail: Tuple[int, ...] = ()
        if form == WITH_K and self.opt_arg:
            tail = (self.opt_arg,) if dim == self.opt_arg else (self.opt_arg, dim // self.opt_arg)
        self.nargs = len(self._slots)
        self._checked: Dict[Any, Any] = {}  # by types, sizes and strides of the arguments
        self._program = Program(operator, range(count), dim, indices, tail, False)
        self._program.origin = origin
        self._prepared = None if self._options.double else self._library.prepared(self._program, False)
        self._misses = 0  # calls one after another that could not be prepared

    def __getstate__(self) -> Any:
        state = dict(self.__dict__)
        del state["_program"], state["_slots"], state["_checked"], state["_prepared"]
        return state

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state)
        self._compile()

    def __call__(self, *args: Any, backend: str = "auto", device_id: int = -1, ranges: Any = None, out: Any = None,
                 verbose: bool = False) -> Any:
        """The reduction of arrays, one for each alias: (batch axes..., M, D) for Vi, (batch axes..., N, D) for Vj,
        (batch axes..., D) for Pm. Returns (batch axes..., M, D), or N rows where axis is 0."""
        plain = backend == "auto" and ranges is None and out is None
        if plain and self._reads is not None and self._reads():
            return self._traced(args)
        prepared = self._prepared
        if prepared is not None and plain and not verbose:
            result = prepared(*args)
            if result is not NotImplemented:
                return result
        if plain and self._traces is not None and self._traces():
            return self._traced(args)
        slots = self._slots
        if len(args) != len(slots):
            raise ArgumentError(f"Genred: {len(slots)} arrays are needed ({', '.join(slot[0] for slot in slots)}), not "
                                f"{len(args)}")
        library = self._library
        exact = library.array_type
        described = []
        signature = []
        for x, slot in zip(args, slots):
            array = x if type(x) is exact else library.as_array(x)
            if array is None:
                raise TypeError(f"{slot[0]}: expected one of {library.array_name}, not {type(x).__name__}")
            address, code, keep, shape, strides = library.describe(array, slot[0])
            described.append((address, keep))
            signature.append((code, shape, strides))
        known = self._checked.get(tuple(signature))
        if known is None:
            known = self._known(signature)
        code, shape, layouts, arrays = known
        options = self._options
        if verbose or not plain:
            prepared = None
            given = {"backend": backend, "device_id": device_id, "ranges": ranges, "out": out, "verbose": verbose}
            options = evaluation.merged(options, given, "Genred")
        elif not options.double:
            ready, place = library.direct(self._program, args, [keep for _, keep in described])
            if ready:
                addresses = [described[k][0] for k in self._program.order]
                try:
                    result = evaluation.computed(library, self._program, code, shape, place, None, arrays, addresses)
                    if prepared is not None:
                        learnt = library.learn(prepared, self._program, code, shape, args, place, arrays,
                                               self._program.order)
                        self._misses = 0 if learnt else self._misses + 1
                        if self._misses >= MOST_MISSES:
                            self._prepared = None
                    return result
                except OnlyOpenCLError:
                    pass  # `call` knows what to do
        leaves = [ArrayLeaf(x, slot[1], _arrays.describe(address, *layout), layout[0], keep)
                  for x, (address, keep), layout, slot in zip(args, described, layouts, slots)]
        evaluated = Evaluation(library, self._program, code, shape, options)
        evaluated.prepared, evaluated.tensors = prepared, args
        return evaluation.call(library, evaluated, leaves)

    def _traced(self, args: Any) -> Any:
        """What a call is in a program that is traced: for array libraries that trace programs."""
        raise NotImplementedError

    def _check(self, signature: Sequence[Tuple[int, Tuple[int, ...], Tuple[int, ...]]]) -> Any:
        """The number type of a call, the shape of its results, and the layouts of the arguments."""
        code = None
        batch: Tuple[int, ...] = ()
        sizes: List[Optional[int]] = [None, None]
        layouts = []
        for (its_code, shape, strides), (name, role, dim) in zip(signature, self._slots):
            if its_code != code and its_code != I64:
                if code is not None:
                    raise DtypeError(
                        f"{name} has the number type {NAMES[its_code]}, the arrays before it {NAMES[code]}"
                    )
                code = its_code
            if role != 2:
                if len(shape) == 1 and dim == 1:
                    shape, strides = shape + (1,), strides + strides
                if len(shape) < 2 or shape[-1] != dim:
                    raise ShapeError(f"{name}: expected the shape (rows, {dim}), with batch axes in front, not {shape}")
                if sizes[role] is None:
                    sizes[role] = shape[-2]
                elif sizes[role] != shape[-2]:
                    raise ShapeError(f"{name}: axis -2 has {shape[-2]} rows, the arrays before it have {sizes[role]}")
                batch = broadcast(batch, shape[:-2], name)
            else:
                if not shape and dim == 1:
                    shape, strides = (1,), (8,)
                if not shape or shape[-1] != dim:
                    raise ShapeError(f"{name}: expected the shape ({dim},), with batch axes in front, not {shape}")
                batch = broadcast(batch, shape[:-1], name)
            layouts.append((its_code, shape, strides))
        if code is None:
            raise DtypeError("Genred: no array tells the number type, float32 or float64")
        count = sizes[1 - self.axis]
        return code, batch + (1 if count is None else count, self._program.dim), layouts

    def _known(self, signature: Sequence[Tuple[int, Tuple[int, ...], Tuple[int, ...]]]) -> Any:
        """What _check gives, and the kcl_array[] of results and arguments; remembered."""
        code, shape, layouts = self._check(signature)
        known = code, shape, layouts, evaluation.arrays_of(
            self._program, code, shape, [layouts[k] for k in self._program.order])
        if len(self._checked) >= 64:
            self._checked.clear()
        self._checked[tuple(signature)] = known
        return known
