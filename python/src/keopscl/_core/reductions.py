# SPDX-License-Identifier: MIT
"""Reductions over i, j, or batch axes: computed at once, or (call=False) lazy tensors again."""

from __future__ import annotations

from typing import Any, Optional, Tuple, TypeVar

from .._errors import ArgumentError, ShapeError, UnsupportedError
from .chain import has_symbols
from .evaluation import options_of
from .structure import BOTH, COMPLEX, I, INDEX, J, PAIR, REAL, structure
from .tensor import TensorBase

T = TypeVar("T", bound="Reductions")


class Reductions(TensorBase):
    """Reductions. `axis` counts the axes of shape: the number of batch axes for i, one more for j.

    Without `call=False` a reduction returns an array of shape (batch axes..., M, D) over j, (batch axes..., N, D) over
    i, of the arrays' number type, int64 for indices. With `call=False` it returns a lazy tensor with size 1 on the
    reduced axis, that enters further formulas, and is computed when it is called. Keyword arguments: `backend` ("auto",
    "CPU", "GPU"), `out` (an array for the result), `verbose` (a call of over a second shows how far it is),
    `use_double_acc`, `dtype_acc`, `sum_scheme`, `use_fast_math`.

    Raises ValueError for an axis that is not there; NotImplementedError for `ranges`.
    """

    __slots__ = ()

    def _axis(self, axis: Optional[int], dim: Optional[int], what: str) -> int:
        """The number of an axis that is reduced, from 0."""
        if axis is None:
            axis = dim
        if axis is None:
            raise ArgumentError(
                f"{what}: axis (or dim) is needed: {len(self._batch)} for i, {len(self._batch) + 1} for j"
            )
        count = len(self._batch) + 3
        number = axis + count if axis < 0 else axis
        if not 0 <= number < count - 1:
            raise ArgumentError(
                f"{what}: axis={axis} is no axis of a LazyTensor of shape {self._shape} that is reduced: "
                f"{len(self._batch)} is i, {len(self._batch) + 1} is j"
            )
        return int(number)

    def _is_last(self, axis: Optional[int], dim: Optional[int]) -> bool:
        if dim is not None:
            axis = dim
        return axis == -1 or axis == len(self._batch) + 2

    def _reduce(
        self: T,
        op: str,
        axis: Optional[int],
        dim: Optional[int],
        kwargs: Any,
        *,
        weight: Any = None,
        k: int = 0,
        kind: int = REAL,
        what: str,
    ) -> Any:
        call = kwargs.pop("call", True) if kwargs else True
        number = self._axis(axis, dim, what)
        reduced: Any = self
        if weight is not None:
            if self._node.dim != 1:
                raise ShapeError(
                    f"{what}: with a weight, a LazyTensor of one component is reduced, not of "
                    f"{self._node.dim}, shape {self._shape}"
                )
            weight = self._operand(weight)
        batches = len(self._batch)
        over = I if number == batches else J if number == batches + 1 else 0
        if over and not self._node.axes & over and (kind >= INDEX or k or weight is not None):
            # An axis of size 1 is an axis all the same where indices, lists and weights are asked for.
            reduced = self._with_axis(over)
        if over:
            made = reduced._reduce_rows(op, over, weight, k, kind, what)
        else:
            made = reduced._reduce_batch(op, number - batches, weight, k, kind, what)
        options = options_of(kwargs, what)
        if not call or made._code is None or has_symbols(made._leaves):
            made._options = options
            return made
        if made._node.axes == BOTH:
            raise ArgumentError(
                f"{what}: reduced over a batch axis the LazyTensor still depends on i and j: use call=False "
                "and reduce one of them as well"
            )
        return made._evaluate(options)

    def _reduced_node(
        self: T,
        op: str,
        params: Tuple[Any, ...],
        weight: Any,
        k: int,
        kind: int,
        what: str,
        lost: int,
        over_batches: bool,
    ) -> T:
        """The reduction as an operation. `lost` are the axes that it removes."""
        node = self._node
        if weight is not None:
            return self._nary(
                op,
                (weight,),
                weight._node.dim,
                params,
                kind=weight._node.kind,
                what=what,
                axes=(node.axes | weight._node.axes) & ~lost,
                over_batches=over_batches,
            )
        if node.kind >= INDEX:
            self._number(what)
        tail: Tuple[int, ...] = (
            () if not k or op.startswith("reduce_mean") else (k,) if node.dim == 1 else (k, node.dim)
        )
        kind = node.kind if node.kind == COMPLEX and kind == REAL else kind
        return self._like(
            structure(
                op,
                params,
                (node,),
                (None,),
                node.leaves,
                node.axes & ~lost,
                node.dim * k if tail else node.dim,
                kind,
                tail,
                over_batches,
            )
        )

    def _reduce_rows(self: T, op: str, over: int, weight: Any, k: int, kind: int, what: str) -> T:
        made = self._reduced_node(op, (k, over) if k else (over,), weight, k, kind, what, over, False)
        if over == I:
            made.ni = None
        else:
            made.nj = None
        return made

    def _reduce_batch(self: T, op: str, place: int, weight: Any, k: int, kind: int, what: str) -> T:
        if self._batch[place] == 1 and weight is None and not k and kind == REAL:
            return self._like(self._node)  # the sum, mean, smallest, largest of one value
        if all(size == 1 for size in self._batch[: len(self._batch) + place + 1]):
            raise UnsupportedError(
                f"{what}: axis {len(self._batch) + place} of the shape {self._shape} has the size 1, and so have "
                "all axes before it: indices, lists and weights are not reduced over such an axis"
            )
        made = self._reduced_node(op + "_batch", (k, place) if k else (place,), weight, k, kind, what, 0, True)
        batch = made._batch
        made._batch = batch[: len(batch) + place] + (1,) + batch[len(batch) + place :][1:]
        return made

    def _with_axis(self: T, over: int) -> T:
        """The same values, with an axis of size 1 that counts as one."""
        array = self._library.zeros_like(self._leaves)
        one = self._library.real(array, axis=0 if over == I else 1)
        return self._nary("like", (one,), self._node.dim, kind=self._node.kind)

    # ---- Sums --------------------------------------------------------------------------------------------------------

    def sum(self: T, axis: Optional[int] = -1, dim: Optional[int] = None, **kwargs: Any) -> Any:
        """Sum over i or j, or with axis -1 of the components (a LazyTensor with D = 1)."""
        if self._is_last(axis, dim):
            if self._node.kind == COMPLEX:
                return self._unary("complex_sum", 2)
            return self._unary("sum_inner", 1)
        return self._reduce("reduce_sum", dim if dim is not None else axis, None, kwargs, what="sum")

    def sum_reduction(self: T, axis: Optional[int] = None, dim: Optional[int] = None, **kwargs: Any) -> Any:
        """Sum over i or j."""
        return self._reduce("reduce_sum", axis, dim, kwargs, what="sum_reduction")

    def mean(self: T, axis: Optional[int] = None, dim: Optional[int] = None, **kwargs: Any) -> Any:
        """Mean over i or j."""
        return self._reduce("reduce_mean", axis, dim, kwargs, what="mean")

    def logsumexp(
        self: T, axis: Optional[int] = None, dim: Optional[int] = None, weight: Any = None, **kwargs: Any
    ) -> Any:
        """log of the sum of exp(self), or with a weight (`other` means the same) of exp(self) * weight, over i or j,
        without overflow."""
        if weight is None and "other" in kwargs:
            weight = kwargs.pop("other")
        op = "reduce_logsumexp" if weight is None else "reduce_logsumexp_weight"
        return self._reduce(op, axis, dim, kwargs, weight=weight, what="logsumexp")

    def logsumexp_reduction(self: T, **kwargs: Any) -> Any:
        """The same as logsumexp."""
        return self.logsumexp(**kwargs)

    def sumsoftmaxweight(
        self: T, weight: Any, axis: Optional[int] = None, dim: Optional[int] = None, **kwargs: Any
    ) -> Any:
        """The mean of `weight` over i or j with the weights exp(self) / sum of exp(self): attention."""
        return self._reduce("reduce_sumsoftmaxweight", axis, dim, kwargs, weight=weight, what="sumsoftmaxweight")

    def sumsoftmaxweight_reduction(self: T, **kwargs: Any) -> Any:
        """The same as sumsoftmaxweight."""
        return self.sumsoftmaxweight(**kwargs)

    # ---- Smallest and largest ----------------------------------------------------------------------------------------

    def min(self: T, axis: Optional[int] = -1, dim: Optional[int] = None, **kwargs: Any) -> Any:
        """The smallest value over i or j, or with axis -1 of the components. NaN is never chosen."""
        if self._is_last(axis, dim):
            return self._unary("min_inner", 1)
        return self._reduce("reduce_min", dim if dim is not None else axis, None, kwargs, what="min")

    def min_reduction(self: T, axis: Optional[int] = None, dim: Optional[int] = None, **kwargs: Any) -> Any:
        """The smallest value over i or j."""
        return self._reduce("reduce_min", axis, dim, kwargs, what="min_reduction")

    def argmin(self: T, axis: Optional[int] = -1, dim: Optional[int] = None, **kwargs: Any) -> Any:
        """The index of the smallest value over i or j (int64, the first of equal ones, -1 where all are NaN), or with
        axis -1 among the components (a number of the arrays' type)."""
        if self._is_last(axis, dim):
            return self._unary("argmin_inner", 1)
        return self._reduce("reduce_argmin", dim if dim is not None else axis, None, kwargs, kind=INDEX, what="argmin")

    def argmin_reduction(self: T, axis: Optional[int] = None, dim: Optional[int] = None, **kwargs: Any) -> Any:
        """The index of the smallest value over i or j, int64."""
        return self._reduce("reduce_argmin", axis, dim, kwargs, kind=INDEX, what="argmin_reduction")

    def min_argmin(self: T, axis: Optional[int] = None, dim: Optional[int] = None, **kwargs: Any) -> Any:
        """The smallest value over i or j and its index, as a pair."""
        return self._reduce("reduce_min_argmin", axis, dim, kwargs, kind=PAIR, what="min_argmin")

    def min_argmin_reduction(self: T, **kwargs: Any) -> Any:
        """The same as min_argmin."""
        return self.min_argmin(**kwargs)

    def max(self: T, axis: Optional[int] = -1, dim: Optional[int] = None, **kwargs: Any) -> Any:
        """The largest value over i or j, or with axis -1 of the components. NaN is never chosen."""
        if self._is_last(axis, dim):
            return self._unary("max_inner", 1)
        return self._reduce("reduce_max", dim if dim is not None else axis, None, kwargs, what="max")

    def max_reduction(self: T, axis: Optional[int] = None, dim: Optional[int] = None, **kwargs: Any) -> Any:
        """The largest value over i or j."""
        return self._reduce("reduce_max", axis, dim, kwargs, what="max_reduction")

    def argmax(self: T, axis: Optional[int] = -1, dim: Optional[int] = None, **kwargs: Any) -> Any:
        """The index of the largest value over i or j (int64, the first of equal ones, -1 where all are NaN), or with
        axis -1 among the components (a number of the arrays' type)."""
        if self._is_last(axis, dim):
            return self._unary("argmax_inner", 1)
        return self._reduce("reduce_argmax", dim if dim is not None else axis, None, kwargs, kind=INDEX, what="argmax")

    def argmax_reduction(self: T, axis: Optional[int] = None, dim: Optional[int] = None, **kwargs: Any) -> Any:
        """The index of the largest value over i or j, int64."""
        return self._reduce("reduce_argmax", axis, dim, kwargs, kind=INDEX, what="argmax_reduction")

    def max_argmax(self: T, axis: Optional[int] = None, dim: Optional[int] = None, **kwargs: Any) -> Any:
        """The largest value over i or j and its index, as a pair."""
        return self._reduce("reduce_max_argmax", axis, dim, kwargs, kind=PAIR, what="max_argmax")

    def max_argmax_reduction(self: T, **kwargs: Any) -> Any:
        """The same as max_argmax."""
        return self.max_argmax(**kwargs)

    # ---- The K smallest and largest ----------------------------------------------------------------------------------

    def _k(self, K: Any, what: str) -> int:
        if isinstance(K, bool) or not hasattr(K, "__index__") or int(K) < 1:
            raise ArgumentError(f"{what}: K is a whole number, 1 or more, not {K!r}")
        return int(K)

    def Kmin(self: T, K: int, axis: Optional[int] = None, dim: Optional[int] = None, **kwargs: Any) -> Any:
        """The K smallest values over i or j, the smallest first: (batch axes..., M, K), or (..., M, K, D) for D > 1."""
        return self._reduce("reduce_kmin", axis, dim, kwargs, k=self._k(K, "Kmin"), what="Kmin")

    def Kmin_reduction(self: T, **kwargs: Any) -> Any:
        """The same as Kmin."""
        return self.Kmin(**kwargs)

    def argKmin(self: T, K: int, axis: Optional[int] = None, dim: Optional[int] = None, **kwargs: Any) -> Any:
        """The indices of the K smallest values, int64, -1 where there are fewer: shapes as of Kmin."""
        return self._reduce("reduce_argkmin", axis, dim, kwargs, k=self._k(K, "argKmin"), kind=INDEX, what="argKmin")

    def argKmin_reduction(self: T, **kwargs: Any) -> Any:
        """The same as argKmin."""
        return self.argKmin(**kwargs)

    def Kmin_argKmin(self: T, K: int, axis: Optional[int] = None, dim: Optional[int] = None, **kwargs: Any) -> Any:
        """The K smallest values and their indices, as a pair."""
        return self._reduce(
            "reduce_kmin_argkmin", axis, dim, kwargs, k=self._k(K, "Kmin_argKmin"), kind=PAIR, what="Kmin_argKmin"
        )

    def Kmin_argKmin_reduction(self: T, **kwargs: Any) -> Any:
        """The same as Kmin_argKmin."""
        return self.Kmin_argKmin(**kwargs)

    def Kmax(self: T, K: int, axis: Optional[int] = None, dim: Optional[int] = None, **kwargs: Any) -> Any:
        """The K largest values over i or j, the largest first: (batch axes..., M, K), or (..., M, K, D) for D > 1."""
        return self._reduce("reduce_kmax", axis, dim, kwargs, k=self._k(K, "Kmax"), what="Kmax")

    def Kmax_reduction(self: T, **kwargs: Any) -> Any:
        """The same as Kmax."""
        return self.Kmax(**kwargs)

    def argKmax(self: T, K: int, axis: Optional[int] = None, dim: Optional[int] = None, **kwargs: Any) -> Any:
        """The indices of the K largest values, int64, -1 where there are fewer: shapes as of Kmax."""
        return self._reduce("reduce_argkmax", axis, dim, kwargs, k=self._k(K, "argKmax"), kind=INDEX, what="argKmax")

    def argKmax_reduction(self: T, **kwargs: Any) -> Any:
        """The same as argKmax."""
        return self.argKmax(**kwargs)

    def Kmax_argKmax(self: T, K: int, axis: Optional[int] = None, dim: Optional[int] = None, **kwargs: Any) -> Any:
        """The K largest values and their indices, as a pair."""
        return self._reduce(
            "reduce_kmax_argkmax", axis, dim, kwargs, k=self._k(K, "Kmax_argKmax"), kind=PAIR, what="Kmax_argKmax"
        )

    def Kmax_argKmax_reduction(self: T, **kwargs: Any) -> Any:
        """The same as Kmax_argKmax."""
        return self.Kmax_argKmax(**kwargs)

    def min_argKmin(self: T, K: int, axis: Optional[int] = None, dim: Optional[int] = None, **kwargs: Any) -> Any:
        """The same as Kmin_argKmin."""
        return self.Kmin_argKmin(K, axis, dim, **kwargs)

    # ---- Any reduction by its name in KeOps --------------------------------------------------------------------------

    def reduction(
        self: T,
        reduction_op: str,
        other: Any = None,
        opt_arg: Any = None,
        axis: Optional[int] = None,
        dim: Optional[int] = None,
        call: bool = True,
        is_complex: Optional[bool] = None,
        **kwargs: Any,
    ) -> Any:
        """The reduction that Genred calls `reduction_op`; `other` is a weight, `opt_arg` is K."""
        kwargs["call"] = call
        if reduction_op in ("LogSumExp", "LogSumExpWeight"):
            return self.logsumexp(axis, dim, other, **kwargs)
        if reduction_op in ("SumSoftMaxWeight", "SoftMax"):
            return self.sumsoftmaxweight(other, axis, dim, **kwargs)
        method = METHODS.get(reduction_op)
        if method is None:
            raise ArgumentError(
                f"reduction: {reduction_op!r} is none of {', '.join(sorted(METHODS))}, LogSumExp, " "SumSoftMaxWeight"
            )
        if "KM" in reduction_op:
            return getattr(self, method)(opt_arg, axis, dim, **kwargs)
        return getattr(self, method)(axis if axis is not None else dim, **kwargs)


METHODS = {
    "Sum": "sum_reduction",
    "Mean": "mean",
    "Min": "min_reduction",
    "Max": "max_reduction",
    "ArgMin": "argmin_reduction",
    "ArgMax": "argmax_reduction",
    "Min_ArgMin": "min_argmin",
    "Max_ArgMax": "max_argmax",
    "KMin": "Kmin",
    "KMax": "Kmax",
    "ArgKMin": "argKmin",
    "ArgKMax": "argKmax",
    "KMin_ArgKMin": "Kmin_argKmin",
    "KMax_ArgKMax": "Kmax_argKmax",
}
