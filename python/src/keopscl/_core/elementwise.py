# SPDX-License-Identifier: MIT
"""Arithmetic, functions and comparisons of each component."""

from __future__ import annotations

from typing import Any, TypeVar

from .._errors import ArgumentError, DtypeError, ShapeError
from .structure import COMPLEX, REAL
from .tensor import TensorBase

T = TypeVar("T", bound="Elementwise")


def is_int(x: Any) -> bool:
    """Whether x is a whole number that stands for a number of the formula."""
    return type(x) is int


class Elementwise(TensorBase):
    """Operations of each component. Operands are LazyTensors, arrays of 1 axis or of 3 and more, numbers and lists.

    The result has the shape (batch axes..., M, N, D) of both operands together; an axis of size 1 is repeated. Raises
    ValueError, with the axis and both sizes, where sizes do not fit.
    """

    __slots__ = ()

    # ---- Arithmetic --------------------------------------------------------------------------------------------------

    def _arithmetic(self: T, other: Any, op: str, what: str, reverse: bool = False) -> T:
        """self op other, of complex numbers if one of them is complex."""
        if not isinstance(other, TensorBase) or other._library is not self._library:
            other = self._operand(other)
        if self._node.kind != COMPLEX and other._node.kind != COMPLEX:
            return self._binary(other, op, what, reverse)
        first, second = (other, self) if reverse else (self, other)
        if op == "mul":
            for scale, factor in ((first, second), (second, first)):
                if scale._node.kind != COMPLEX and scale._node.dim == 1:
                    made: T = scale._nary("complex_scale", (factor,), factor._node.dim, kind=COMPLEX, what=what)
                    return made
        first, second = (
            each if each._node.kind == COMPLEX else each._unary("real2complex", 2 * each._node.dim, kind=COMPLEX)
            for each in (first, second)
        )
        sizes = {first._node.dim, second._node.dim}
        if len(sizes) > 1 and 2 not in sizes:
            raise ShapeError(
                f"{what}: axis -1 has {first._node.dim // 2} complex numbers in the first operand, of shape "
                f"{first._shape}, and {second._node.dim // 2} in the second, of shape {second._shape}"
            )
        result: T = first._nary("complex_" + op, (second,), max(sizes), kind=COMPLEX, what=what)
        return result

    def __add__(self: T, other: Any) -> T:
        if is_int(other) and other == 0:
            return self
        return self._arithmetic(other, "add", "x + y")

    def __radd__(self: T, other: Any) -> T:
        if is_int(other) and other == 0:
            return self
        return self._arithmetic(other, "add", "x + y", True)

    def __sub__(self: T, other: Any) -> T:
        if is_int(other) and other == 0:
            return self
        return self._arithmetic(other, "sub", "x - y")

    def __rsub__(self: T, other: Any) -> T:
        if is_int(other) and other == 0:
            return -self
        return self._arithmetic(other, "sub", "x - y", True)

    def __mul__(self: T, other: Any) -> T:
        if is_int(other) and other in (1, -1):
            return self if other == 1 else -self
        return self._arithmetic(other, "mul", "x * y")

    def __rmul__(self: T, other: Any) -> T:
        if is_int(other) and other in (1, -1):
            return self if other == 1 else -self
        return self._arithmetic(other, "mul", "x * y", True)

    def __truediv__(self: T, other: Any) -> T:
        if is_int(other) and other == 1:
            return self
        return self._arithmetic(other, "div", "x / y")

    def __rtruediv__(self: T, other: Any) -> T:
        if is_int(other) and other == 1 and self._node.kind != COMPLEX:
            return self._unary("inv")
        return self._arithmetic(other, "div", "x / y", True)

    def __neg__(self: T) -> T:
        return self._unary("neg")

    def __pos__(self: T) -> T:
        return self

    def __abs__(self: T) -> T:
        if self._node.kind == COMPLEX:
            return self._unary("complex_abs", self._node.dim // 2, kind=REAL)
        return self._unary("abs")

    def __pow__(self: T, other: Any) -> T:
        if is_int(other):
            return (
                self._real("x ** n")._unary("square")
                if other == 2
                else self._real("x ** n")._unary("pow", None, (other,))
            )
        if type(other) is float and other in (0.5, -0.5):
            return self._real("x ** y")._unary("sqrt" if other > 0 else "rsqrt")
        if isinstance(other, (TensorBase, float, int)) or hasattr(other, "dtype"):
            operand = self._operand(other)
            if operand._node.dim not in (1, self._node.dim):
                raise ShapeError(
                    f"x ** y: axis -1 has {self._node.dim} components in x, of shape {self._shape}, and "
                    f"{operand._node.dim} in y, of shape {operand._shape}"
                )
            return self._real("x ** y")._binary(operand, "powf", "x ** y")
        raise ArgumentError(f"x ** y: y is a number, an array or a LazyTensor, not {type(other).__name__}")

    def __rpow__(self: T, other: Any) -> T:
        return self._real("x ** y")._binary(other, "powf", "x ** y", True)

    def _real(self: T, what: str) -> T:
        """Refuses complex numbers."""
        if self._node.kind == COMPLEX:
            raise DtypeError(f"{what}: not of complex LazyTensors; take .real, .imag, abs() or angle()")
        return self

    def power(self: T, other: Any) -> T:
        """self ** other: a whole number, a float, or a LazyTensor of 1 or D components."""
        return self.__pow__(other)

    def abs(self: T) -> T:
        """The absolute value; the derivative at 0 is 0."""
        return self.__abs__()

    # ---- Functions ---------------------------------------------------------------------------------------------------

    def exp(self: T) -> T:
        """e to the power x."""
        if self._node.kind == COMPLEX:
            return self._unary("complex_exp")
        return self._unary("exp")

    def expm1(self: T) -> T:
        """e to the power x, minus 1: exact near 0."""
        return self._real("expm1")._unary("expm1")

    def log(self: T) -> T:
        """The natural logarithm: NaN below 0."""
        return self._real("log")._unary("log")

    def log1p(self: T) -> T:
        """The logarithm of 1 + x: exact near 0."""
        return self._real("log1p")._unary("log1p")

    def xlogx(self: T) -> T:
        """x log(x), and 0 at 0."""
        return self._real("xlogx")._unary("xlogx")

    def sqrt(self: T) -> T:
        """The square root; the derivative at 0 is 0."""
        return self._real("sqrt")._unary("sqrt")

    def rsqrt(self: T) -> T:
        """1 / sqrt(x), and 0 at 0."""
        return self._real("rsqrt")._unary("rsqrt")

    def square(self: T) -> T:
        """x squared."""
        return self._real("square")._unary("square")

    def sin(self: T) -> T:
        """The sine, of radians."""
        return self._real("sin")._unary("sin")

    def cos(self: T) -> T:
        """The cosine, of radians."""
        return self._real("cos")._unary("cos")

    def tan(self: T) -> T:
        """The tangent, of radians."""
        return self._real("tan")._unary("tan")

    def asin(self: T) -> T:
        """The arc sine: NaN beyond -1 and 1."""
        return self._real("asin")._unary("asin")

    def acos(self: T) -> T:
        """The arc cosine: NaN beyond -1 and 1."""
        return self._real("acos")._unary("acos")

    def atan(self: T) -> T:
        """The arc tangent."""
        return self._real("atan")._unary("atan")

    def sinh(self: T) -> T:
        """The hyperbolic sine."""
        return self._real("sinh")._unary("sinh")

    def cosh(self: T) -> T:
        """The hyperbolic cosine."""
        return self._real("cosh")._unary("cosh")

    def tanh(self: T) -> T:
        """The hyperbolic tangent."""
        return self._real("tanh")._unary("tanh")

    def asinh(self: T) -> T:
        """The inverse of sinh."""
        return self._real("asinh")._unary("asinh")

    def acosh(self: T) -> T:
        """The inverse of cosh: NaN below 1."""
        return self._real("acosh")._unary("acosh")

    def atanh(self: T) -> T:
        """The inverse of tanh: NaN beyond -1 and 1."""
        return self._real("atanh")._unary("atanh")

    def erf(self: T) -> T:
        """The error function."""
        return self._real("erf")._unary("erf")

    def erfc(self: T) -> T:
        """1 - erf(x): exact where it is small."""
        return self._real("erfc")._unary("erfc")

    def sigmoid(self: T) -> T:
        """The logistic function, 1 / (1 + exp(-x))."""
        return self._real("sigmoid")._unary("sigmoid")

    def softplus(self: T) -> T:
        """log(1 + exp(x)), without overflow."""
        return self._real("softplus")._unary("softplus")

    def sinxdivx(self: T) -> T:
        """sin(x) / x, and 1 at 0."""
        return self._real("sinxdivx")._unary("sinxdivx")

    def sinc(self: T) -> T:
        """sin(pi x) / (pi x), and 1 at 0."""
        return self._real("sinc")._unary("sinc")

    def sign(self: T) -> T:
        """-1, 0 or 1."""
        return self._real("sign")._unary("sign")

    def step(self: T) -> T:
        """0 where x < 0, else 1."""
        return self._real("step")._unary("step")

    def relu(self: T) -> T:
        """0 where x < 0, else x."""
        return self._real("relu")._unary("relu")

    def floor(self: T) -> T:
        """The largest whole number not above x."""
        return self._real("floor")._unary("floor")

    def ceil(self: T) -> T:
        """The smallest whole number not below x."""
        return self._real("ceil")._unary("ceil")

    def trunc(self: T) -> T:
        """x without its decimals."""
        return self._real("trunc")._unary("trunc")

    def inv(self: T) -> T:
        """1 / x."""
        return self._real("inv")._unary("inv")

    def atan2(self: T, other: Any) -> T:
        """The angle of the point (other, self)."""
        return self._real("atan2")._binary(other, "atan2", "atan2")

    def hypot(self: T, other: Any) -> T:
        """sqrt(self^2 + other^2), without overflow."""
        return self._real("hypot")._binary(other, "hypot", "hypot")

    def minimum(self: T, other: Any) -> T:
        """The smaller of two numbers; NaN if one of them is NaN."""
        return self._real("minimum")._binary(other, "minimum", "minimum")

    def maximum(self: T, other: Any) -> T:
        """The larger of two numbers; NaN if one of them is NaN."""
        return self._real("maximum")._binary(other, "maximum", "maximum")

    def round(self: T, other: int = 0) -> T:
        """Rounded to `other` decimals, -18 to 18, half away from 0."""
        if not is_int(other) or not -18 <= other <= 18:
            raise ArgumentError(f"round: the number of decimals is a whole number from -18 to 18, not {other!r}")
        return self._real("round")._unary("round", None, (other,))

    def clamp(self: T, other1: Any, other2: Any) -> T:
        """other1 where x < other1, other2 where x > other2, else x."""
        if is_int(other1) and is_int(other2):
            return self._real("clamp")._unary("clampint", None, (other1, other2))
        return self._ternary("clamp", other1, other2)

    def ifelse(self: T, other1: Any, other2: Any) -> T:
        """other1 where x >= 0, else other2. For comparisons see where()."""
        return self._ternary("ifelse", other1, other2)

    def where(self: T, other1: Any, other2: Any) -> T:
        """other1 where self is true (not 0), as comparisons are, else other2."""
        return self._ternary("where", other1, other2)

    def mod(self: T, modulus: Any, offset: Any = 0) -> T:
        """x brought into [offset, offset + modulus) by steps of modulus."""
        return self._ternary("mod", modulus, offset)

    def _ternary(self: T, op: str, other1: Any, other2: Any) -> T:
        """An elementwise operation of three operands."""
        one, two = self._real(op)._operand(other1), self._operand(other2)
        dims = [each._node.dim for each in (self, one, two)]
        if len(set(dims) | {1}) > 2:
            raise ShapeError(
                f"{op}: axis -1 has {dims[0]}, {dims[1]} and {dims[2]} components in the operands, of shapes "
                f"{self._shape}, {one._shape} and {two._shape}"
            )
        for each in (one, two):
            each._real(op)
        return self._nary(op, (one, two), max(dims), kind=REAL, what=op)

    # ---- Comparisons and logic: 1 where true, else 0 -----------------------------------------------------------------

    def _compare(self: T, other: Any, op: str, sign: str) -> T:
        made = self._real(f"x {sign} y")._binary(other, op, f"x {sign} y")
        return made

    def __eq__(self: T, other: Any) -> T:  # type: ignore[override]
        return self._compare(other, "equal", "==")

    def __ne__(self: T, other: Any) -> T:  # type: ignore[override]
        return self._compare(other, "not_equal", "!=")

    def __lt__(self: T, other: Any) -> T:
        return self._compare(other, "less", "<")

    def __le__(self: T, other: Any) -> T:
        return self._compare(other, "less_equal", "<=")

    def __gt__(self: T, other: Any) -> T:
        return self._compare(other, "greater", ">")

    def __ge__(self: T, other: Any) -> T:
        return self._compare(other, "greater_equal", ">=")

    __hash__ = object.__hash__

    def __and__(self: T, other: Any) -> T:
        return self._real("x & y")._binary(other, "and", "x & y")

    def __rand__(self: T, other: Any) -> T:
        return self._real("x & y")._binary(other, "and", "x & y", True)

    def logical_or(self: T, other: Any) -> T:
        """1 where self or other is not 0. (x | y is the scalar product, as in KeOps.)"""
        return self._real("logical_or")._binary(other, "or", "logical_or")

    def logical_and(self: T, other: Any) -> T:
        """1 where self and other are not 0: x & y."""
        return self.__and__(other)

    def __invert__(self: T) -> T:
        return self._real("~x")._unary("not")

    def logical_not(self: T) -> T:
        """1 where self is 0: ~x."""
        return ~self
