# SPDX-License-Identifier: MIT
"""The components of a LazyTensor as a vector, a small tensor, or complex numbers; derivatives of formulas."""

from __future__ import annotations

from typing import Any, Sequence, Tuple, TypeVar

from .._errors import ArgumentError, ShapeError
from .structure import COMPLEX, REAL
from .elementwise import is_int
from .tensor import TensorBase

T = TypeVar("T", bound="Vectors")


def whole_numbers(values: Any, what: str) -> Tuple[int, ...]:
    """A whole number, or a sequence of them, as a tuple."""
    if hasattr(values, "__index__"):
        return (int(values),)
    made = tuple(values)
    if not all(hasattr(each, "__index__") for each in made):
        raise ArgumentError(f"{what}: whole numbers are needed, not {values!r}")
    return tuple(int(each) for each in made)


def product(sizes: Sequence[int]) -> int:
    result = 1
    for size in sizes:
        result *= size
    return result


def _check_components(what: str, *operands: Tuple[str, Tuple[int, ...], Any]) -> None:
    """Whether tensors have as many components as the shapes that they are given; `operands`: name, shape, tensor."""
    for name, shape, tensor in operands:
        if product(shape) != tensor._node.dim:
            raise ShapeError(
                f"{what}: {name}={shape} has {product(shape)} components, "
                f"axis -1 of the LazyTensor has {tensor._node.dim}"
            )


class Vectors(TensorBase):
    """Operations of the vector of D components. Results are LazyTensors; the axes of batches, i and j are those of the
    operands together."""

    __slots__ = ()

    # ---- Norms and products ------------------------------------------------------------------------------------------

    def __or__(self: T, other: Any) -> T:
        """(x | y): the scalar product, D = 1. It binds weaker than + and *: write the brackets."""
        return self._dot(other, False)

    def __ror__(self: T, other: Any) -> T:
        return self._dot(other, True)

    def _dot(self: T, other: Any, reverse: bool) -> T:
        other = self._operand(other)
        if other._node.dim != self._node.dim:
            raise ShapeError(
                f"x | y: axis -1 has {self._inner(self._node.dim)} components in the first operand, of shape "
                f"{self._shape}, and {other._inner(other._node.dim)} in the second, of shape {other._shape}"
            )
        return self._binary(other, "dot", "x | y", reverse, REAL, 1)

    def sqnorm2(self: T) -> T:
        """The squared Euclidean norm, D = 1."""
        return self._unary("sqnorm2", 1, kind=REAL)

    def norm2(self: T) -> T:
        """The Euclidean norm, D = 1; the derivative at 0 is 0."""
        return self._unary("norm2", 1, kind=REAL)

    def norm(self: T, dim: int = -1) -> T:
        """The Euclidean norm of the components: dim is -1 or the last axis."""
        if dim not in (-1, len(self._batch) + 2):
            raise ArgumentError(f"norm: dim={dim} is not the last axis of a LazyTensor of shape {self._shape}")
        return self.norm2()

    def normalize(self: T) -> T:
        """x / |x|, and 0 at 0."""
        return self._unary("normalize")

    def sqdist(self: T, other: Any) -> T:
        """The squared Euclidean distance, D = 1."""
        other = self._operand(other)
        if other._node.dim != self._node.dim and 1 not in (other._node.dim, self._node.dim):
            raise ShapeError(
                f"sqdist: axis -1 has {self._node.dim} components in the first operand, of shape {self._shape}, "
                f"and {other._node.dim} in the second, of shape {other._shape}"
            )
        return self._binary(other, "sqdist", "sqdist", False, REAL, 1)

    def weightedsqnorm(self: T, other: Any) -> T:
        """s |x|^2, the sum of s_k x_k^2, or x^T S x, for weights of 1, D or D^2 components."""
        other = self._operand(other)
        dim = self._node.dim
        if other._node.dim not in (1, dim, dim * dim):
            raise ShapeError(
                f"weightedsqnorm: the weights have {other._node.dim} components; of a LazyTensor of shape "
                f"{self._shape} 1, {dim} or {dim * dim} are possible"
            )
        return self._nary("weightedsqnorm", (other,), 1, kind=REAL)

    def weightedsqdist(self: T, g: Any, s: Any) -> T:
        """(self - g).weightedsqnorm(s)."""
        return self._binary(g, "sub", "weightedsqdist").weightedsqnorm(s)

    def difference_matrix(self: T, other: Any) -> T:
        """The differences of all components, x_k - y_l at k D2 + l."""
        other = self._operand(other)
        dims = self._node.dim, other._node.dim
        return self._nary("difference_matrix", (other,), dims[0] * dims[1], dims, REAL)

    def softdtw_sqdist(self: T, other: Any, gamma: Any) -> T:
        """Soft dynamic time warping of two sequences, whose numbers are the components, with a smoothness gamma."""
        other, gamma = self._operand(other), self._operand(gamma)
        if gamma._node.dim != 1:
            raise ShapeError(f"softdtw_sqdist: gamma has {gamma._node.dim} components, 1 is needed")
        return self._nary("softdtw_sqdist", (other, gamma), 1, kind=REAL)

    # ---- Components --------------------------------------------------------------------------------------------------

    def elem(self: T, i: int) -> T:
        """Component i, D = 1; -1 is the last."""
        if not is_int(i):
            raise ArgumentError(f"elem: the index is a whole number, not {i!r}")
        count = self._inner(self._node.dim)
        if not -count <= i < count:
            raise ArgumentError(f"elem: index {i} is out of bounds, axis -1 has {count} components")
        if self._node.kind == COMPLEX:
            return self._unary("extract", 2, (2 * (i % count), 2))
        return self._unary("elem", 1, (i % count,))

    def extract(self: T, i: int, d: int) -> T:
        """Components i to i + d - 1."""
        if not is_int(i) or not is_int(d):
            raise ArgumentError(f"extract: start and length are whole numbers, not {i!r} and {d!r}")
        count = self._inner(self._node.dim)
        if i < 0 or d < 1 or i + d > count:
            raise ArgumentError(f"extract: components {i} to {i + d - 1} are out of bounds, axis -1 has {count}")
        if self._node.kind == COMPLEX:
            return self._unary("extract", 2 * d, (2 * i, 2 * d))
        return self._unary("extract", d, (i, d))

    def _slice(self: T, key: slice) -> T:
        """Components start:stop:step."""
        count = self._inner(self._node.dim)
        for bound in (key.start, key.stop, key.step):
            if bound is not None and not hasattr(bound, "__index__"):
                raise ArgumentError(f"x[{key}]: bounds are whole numbers")
        chosen = range(count)[key]
        if not len(chosen):
            raise ArgumentError(f"x[{key}]: no component is left of {count}")
        if chosen.step == 1:
            return self.extract(chosen.start, len(chosen))
        if self._node.kind == COMPLEX:
            raise ArgumentError("x[start:stop:step]: of complex LazyTensors with step 1 only")
        stop = chosen.stop if chosen.stop >= 0 else -count - 1
        if stop < -count:
            stop = 2**31 - 1
        return self._unary("slice", len(chosen), (chosen.start, stop, chosen.step))

    def one_hot(self: T, D: int) -> T:
        """1 at component round(x) of D, else 0."""
        if not is_int(D) or D < 1:
            raise ArgumentError(f"one_hot: the dimension is a whole number, 1 or more, not {D!r}")
        if self._node.dim != 1:
            raise ShapeError(f"one_hot: one component is needed, not {self._node.dim}")
        return self._unary("one_hot", D, (D,))

    def bspline(self: T, x: Any, k: int = 0) -> T:
        """The B-splines of degree k with the knots self, at x: D - k - 1 components."""
        x = self._operand(x)
        if x._node.dim != 1:
            raise ShapeError(f"bspline: x has {x._node.dim} components, 1 is needed")
        if not is_int(k) or k < 0 or self._node.dim < k + 2:
            raise ArgumentError(f"bspline: degree {k!r} of {self._node.dim} knots: {k} + 2 knots or more are needed")
        return self._nary("bspline", (x,), self._node.dim - k - 1, (k,), REAL)

    def concat(self: T, other: Any) -> T:
        """The components of self, then those of other."""
        other = self._operand(other)
        if (other._node.kind == COMPLEX) != (self._node.kind == COMPLEX):
            raise ArgumentError("concat: complex and real LazyTensors do not go together; see real2complex()")
        return self._nary("concat", (other,), self._node.dim + other._node.dim)

    @staticmethod
    def concatenate(tuple_of_lt: Any, axis: int = -1) -> Any:
        """The components of several LazyTensors after each other; axis is the last."""
        if not isinstance(tuple_of_lt, tuple):
            raise ArgumentError(f"concatenate: a tuple of LazyTensors is needed, not {type(tuple_of_lt).__name__}")
        if not tuple_of_lt:
            raise ArgumentError("concatenate: the tuple is empty")
        first = tuple_of_lt[0]
        if not isinstance(first, TensorBase):
            raise ArgumentError(f"concatenate: LazyTensors are needed, not {type(first).__name__}")
        if axis not in (-1, first.dim() - 1):
            raise ArgumentError(f"concatenate: axis={axis} is not the last axis")
        if len(tuple_of_lt) == 1:
            return first
        rest = tuple(first._operand(each) for each in tuple_of_lt[1:])
        return first._nary("concatenate", rest, first._node.dim + sum(each._node.dim for each in rest))

    @staticmethod
    def cat(tuple_of_lt: Any, dim: int) -> Any:
        """The same as concatenate(tuple_of_lt, dim)."""
        return Vectors.concatenate(tuple_of_lt, dim)

    # ---- Components as small tensors ---------------------------------------------------------------------------------

    def _divided(self, large: int, small: int, what: str) -> int:
        if small == 0 or large % small:
            raise ShapeError(f"{what}: a matrix of {large} components has no axis of {small}")
        return large // small

    def matvecmult(self: T, other: Any) -> T:
        """A v: A has a b components, row-major, v has b; the result has a."""
        other = self._operand(other)
        dim = self._divided(self._node.dim, other._node.dim, "matvecmult")
        return self._nary("matvecmult", (other,), dim, kind=REAL)

    def vecmatmult(self: T, other: Any) -> T:
        """v A: v has a components, A has a b, row-major; the result has b."""
        other = self._operand(other)
        dim = self._divided(other._node.dim, self._node.dim, "vecmatmult")
        return self._nary("vecmatmult", (other,), dim, kind=REAL)

    def tensorprod(self: T, other: Any) -> T:
        """x_k y_l at component k D2 + l."""
        other = self._operand(other)
        return self._nary("tensorprod", (other,), self._node.dim * other._node.dim, kind=REAL)

    def keops_tensordot(self: T, other: Any, dimfa: Any, dimfb: Any, contfa: Any, contfb: Any, *args: Any) -> T:
        """The product of two tensors, of shapes dimfa and dimfb, summed over the axes contfa with contfb. Of the axes
        that are left, number k goes to place args[0][k]."""
        other = self._operand(other)
        if COMPLEX in (self._node.kind, other._node.kind):
            raise ArgumentError("keops_tensordot: not of complex LazyTensors")
        a, b, c, d = (whole_numbers(each, "keops_tensordot") for each in (dimfa, dimfb, contfa, contfb))
        _check_components("keops_tensordot", ("dimfa", a, self), ("dimfb", b, other))
        if len(c) != len(d):
            raise ShapeError(f"keops_tensordot: contfa has {len(c)} axes, contfb {len(d)}")
        for k, l in zip(c, d):
            if not (0 <= k < len(a) and 0 <= l < len(b)) or a[k] != b[l]:
                raise ShapeError(f"keops_tensordot: axis {k} of {a} and axis {l} of {b} do not have one size")
        summed = product([a[k] for k in c])
        places = whole_numbers(args[0], "keops_tensordot") if args else ()
        left = len(a) + len(b) - len(c) - len(d)
        if places and sorted(places) != list(range(left)):
            raise ArgumentError(f"keops_tensordot: {places} is no permutation of {left} axes")
        return self._nary(
            "tensordot", (other,), product(a) * product(b) // (summed * summed), (a, b, c, d, places), REAL
        )

    def keops_kron(self: T, other: Any, dimfself: Any, dimfother: Any) -> T:
        """The Kronecker product of two tensors, of shapes dimfself and dimfother, as NumPy's kron."""
        other = self._operand(other)
        if COMPLEX in (self._node.kind, other._node.kind):
            raise ArgumentError("keops_kron: not of complex LazyTensors")
        a, b = whole_numbers(dimfself, "keops_kron"), whole_numbers(dimfother, "keops_kron")
        _check_components("keops_kron", ("dimfself", a, self), ("dimfother", b, other))
        if len(a) != len(b):
            raise ShapeError(f"keops_kron: dimfself has {len(a)} axes, dimfother {len(b)}")
        return self._nary("kron", (other,), self._node.dim * other._node.dim, (a, b), REAL)

    # ---- Derivatives of formulas -------------------------------------------------------------------------------------

    def grad(self: T, other: Any, gradin: Any) -> T:
        """The transposed Jacobian of self by the variable `other`, times `gradin`, for each i and j: nothing is
        summed.
        """
        gradin = self._operand(gradin)
        if gradin._node.dim != self._node.dim:
            raise ShapeError(f"grad: gradin has {gradin._node.dim} components, self has {self._node.dim}")
        return self._nary("formula", (other, gradin), other._node.dim, ("Grad(a,b,c)",), REAL, "grad")

    def diff(self: T, other: Any, diffin: Any) -> T:
        """The derivative of self when the variable `other` moves in the direction `diffin`."""
        diffin = self._operand(diffin)
        return self._nary("formula", (other, diffin), self._node.dim, ("Diff(a,b,c)",), REAL, "diff")

    def grad_matrix(self: T, other: Any) -> T:
        """The Jacobian of self by the variable `other`: row k is the gradient of component k."""
        return self._nary("grad_matrix", (other,), self._node.dim * other._node.dim, kind=REAL)

    def divergence(self: T, var: Any) -> T:
        """The sum of the derivatives of component k by component k of the variable `var`, D = 1."""
        if var._node.dim != self._node.dim:
            raise ShapeError(f"divergence: the variable has {var._node.dim} components, self has {self._node.dim}")
        return self._nary("divergence", (var,), 1, kind=REAL)

    def laplacian(self: T, var: Any) -> T:
        """The sum of the second derivatives by the components of the variable `var`, of a LazyTensor with D = 1."""
        if self._node.dim != 1:
            raise ShapeError(f"laplacian: self has {self._node.dim} components, 1 is needed")
        return self._nary("laplacian", (var,), 1, kind=REAL)

    def trace_operator(self: T, var: Any) -> T:
        """The trace of the matrix of self, which is linear in the variable `var`, D = 1."""
        if var._node.dim != self._node.dim:
            raise ShapeError(f"trace_operator: the variable has {var._node.dim} components, self has {self._node.dim}")
        return self._nary("trace_operator", (var,), 1, kind=REAL)

    def factorize(self: T, other: Any) -> T:
        """self: what a formula has twice is computed once in any case."""
        return self

    def auto_factorize(self: T) -> T:
        """self: what a formula has twice is computed once in any case."""
        return self

    # ---- Complex numbers ---------------------------------------------------------------------------------------------

    def _to_complex(self: T, op: str) -> T:
        if self._node.kind == COMPLEX:
            raise ArgumentError(f"{op}: the LazyTensor is complex already")
        return self._unary(op, 2 * self._node.dim, kind=COMPLEX)

    def real2complex(self: T) -> Any:
        """x + 0i."""
        return self._to_complex("real2complex")

    def imag2complex(self: T) -> Any:
        """0 + xi."""
        return self._to_complex("imag2complex")

    def exp1j(self: T) -> Any:
        """e to the power xi: cos(x) + i sin(x)."""
        return self._to_complex("exp1j")

    # ---- Rows by number ----------------------------------------------------------------------------------------------

    def take(self: T, index: Any) -> T:
        """Rows of self, which depends on i or on j only, by their numbers: an int64 array's LazyTensor, or argmin(...,
        call=False), or a formula, which is rounded. The result has the axis of the index; 0 where there is no such row.
        """
        index = self._operand(index)
        both = self._node.axes, index._node.axes
        if both[0] not in (1, 2) or both[1] == 3:
            raise ArgumentError("take: the table depends on i or on j, the index on one of them or on neither")
        table = self._new(self._node, self._leaves, self._batch, None, None, self._code)
        rows = index._new(index._node, index._leaves, index._batch, index.ni, index.nj, index._code)
        dim = self._node.dim * index._node.dim
        return table._nary("gather", (rows,), dim, kind=self._node.kind, what="take", axes=both[1])


class Complex:
    """What LazyTensors of complex numbers have besides."""

    __slots__ = ()

    @property
    def real(self: Any) -> Any:
        """The real parts, a real LazyTensor."""
        return self._unary("real", self._node.dim // 2, kind=REAL)

    @property
    def imag(self: Any) -> Any:
        """The imaginary parts, a real LazyTensor."""
        return self._unary("imag", self._node.dim // 2, kind=REAL)

    def angle(self: Any) -> Any:
        """The angle, from -pi to pi, a real LazyTensor."""
        return self._unary("complex_arg", self._node.dim // 2, kind=REAL)

    def conj(self: Any) -> Any:
        """The complex conjugate."""
        return self._unary("conj")
