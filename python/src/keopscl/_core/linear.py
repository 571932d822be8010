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

    def solve(self: S, other: Any, var: Any = None, call: bool = True, **kwargs: Any) -> Any:
        """The solution a of (alpha Id + K) a = b for a symmetric K, alpha Id + K being positive definite, by conjugate
        gradients. K, of shape (batch axes..., N, N), is never stored.

        `other` is b: an array of shape (N,), with a solution of shape (N,), or (batch axes..., N, D), or a LazyTensor
        of one variable. The columns of b are systems of their own, and so are the elements of a batch. With `var`, a
        symbolic variable of the formula, self is linear in var, and K is the sum of self over the rows of var. With
        `call=False`, or where K or b have symbolic variables, the result is a function, that returns the solution for
        their arrays, in the order of their indices.

        Keyword arguments:

        - `alpha` (1e-10): a number, added to the diagonal, 0 or more.
        - `noise`: an array of shape (batch axes..., N), added to the diagonal besides.
        - `tol`: the residual ``|b - (alpha Id + K) a|`` of each column is at most ``tol |b|``. Without tol and eps it
          is 1e-6, and for a float32 solution 1e-4 is enough where the rounding of its numbers lets no residual be
          smaller.
        - `eps`: the root mean square of the residual of each column is at most eps. With both, the larger bound counts.
        - `max_iterations`: products with K, for each column; by default 10 N, at least 1000.
        - `start`: a guess of the solution, of its shape.
        - `check_symmetry` (False): two more products tell a K that is not symmetric.
        - `dtype`: "float64" for a solution in float64 of float32 arrays. Residuals of float32 arrays are computed in
          float64 in any case.
        - `info` (False): True for a pair of the solution and a keopscl.SolveResult.
        - `backend`, `device_id`, `verbose`, `use_double_acc`, `dtype_acc`, `sum_scheme`, `use_fast_math` as of sums.

        Warns by keopscl.SolveWarning where the tolerance was not reached, and returns the best solution that was found.
        Raises keopscl.SolveError, which is a numpy.linalg.LinAlgError and an ArithmeticError, where alpha Id + K is not
        positive definite, K is found not to be symmetric, or a NaN or an infinity comes up; ValueError for shapes that
        do not fit, TypeError for number types.
        """
        from .lazy_solve import lazy_solve

        made = lazy_solve(self, other, var, kwargs)
        return made() if call and made.is_ready else made
