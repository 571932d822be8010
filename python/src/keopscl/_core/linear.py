# SPDX-License-Identifier: MIT
"""LazyTensors as linear operators, and NumPy's functions on them."""
from __future__ import annotations

from typing import Any, TypeVar

from .._errors import ShapeError
from .structure import BOTH, COMPLEX, I, J, structure
from .tensor import TensorBase

S = TypeVar("S", bound="Linear")

SWAPPED = {0: 0, I: J, J: I, BOTH: BOTH}


class Linear(TensorBase):
    """Products with vectors and transposition."""

    __slots__ = ()

    def __matmul__(self: S, v: Any, **kwargs: Any) -> Any:
        """K @ v: the sum over j of K_ij v_j, for K with D = 1. v is an array of shape (N,), with a result of shape
        (M,), or (batch axes..., N, E), with a result of shape (batch axes..., M, E)."""
        library = self._library
        if isinstance(v, TensorBase):
            raise TypeError("K @ v: v is an array; of LazyTensors write (K * v).sum(axis)")
        array = library.as_array(v)
        if array is None:
            raise TypeError(f"K @ v: v is one of {library.array_name}, not {type(v).__name__}")
        if self._inner(self._node.dim) != 1:
            raise ShapeError(f"K @ v: K has the shape {self._shape}, its axis -1 must have the size 1")
        shape = library.shape(array)
        if not shape:
            raise ShapeError("K @ v: v has no axes")
        rows = shape[0] if len(shape) == 1 else shape[-2]
        if self.nj is not None and self.nj != rows:
            raise ShapeError(
                f"K @ v: axis -2 (j) of K has {self.nj} rows, K of shape {self._shape}, "
                f"and v, of shape {shape}, has {rows}"
            )
        v_j = library.columns(v, array)
        product = self * v_j
        result = product.sum(len(product._batch) + 1, **kwargs)
        if len(shape) == 1 and not isinstance(result, TensorBase):
            return library.reshape(result, library.shape(result)[:-1]) if product._batch else library.reshape(
                result, (library.shape(result)[0],))
        return result

    def matvec(self: S, v: Any) -> Any:
        """K @ v, by the name that SciPy's linear operators have."""
        return self @ v

    def rmatvec(self: S, v: Any) -> Any:
        """The adjoint times v, by the name that SciPy's linear operators have: K.T @ v, of complex K its conjugate."""
        return self._adjoint() @ v

    def rmatmat(self: S, v: Any) -> Any:
        """The adjoint times the columns of v, in one sweep, by the name that SciPy's linear operators have."""
        return self._adjoint() @ v

    def _adjoint(self: S) -> S:
        return self.T.conj() if self._node.kind == COMPLEX else self.T  # type: ignore[attr-defined]

    def t(self: S) -> S:
        """The same values with the axes i and j exchanged."""
        node = self._node
        if not node.axes and not node.leaves:
            return self
        axes = SWAPPED[node.axes]
        turned = structure("transpose", (), (node,), (None,), node.leaves, axes, node.dim, node.kind, node.tail)
        made = self._like(turned)
        made.ni, made.nj = self.nj, self.ni
        return made

    @property
    def T(self: S) -> S:
        """The same as t()."""
        return self.t()

    def solve(self: S, *args: Any, **kwargs: Any) -> Any:
        """Not there yet."""
        raise NotImplementedError("solve: linear systems are not there yet, keopscl 0.1 has no solver")

