# SPDX-License-Identifier: MIT
"""LazyTensors as SciPy's linear operators."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from .._errors import ShapeError


def operator(K: Any) -> Any:
    """See keopscl.numpy.aslinearoperator."""
    shape = K.shape
    if len(shape) != 2:
        raise ShapeError(
            f"aslinearoperator: a LazyTensor of shape (M, N) is needed, not {shape}: no batch axes, one component"
        )
    dtype = np.dtype(K.dtype)

    def product(of: Any) -> Any:
        def times(v: Any) -> Any:
            # A complex vector stays complex: K is real or complex then.
            return of @ np.asarray(v, dtype=np.result_type(dtype, np.complex64) if np.iscomplexobj(v) else dtype)

        return times

    forward, backward = product(K), product(K._adjoint())
    return LinearOperator(shape, matvec=forward, rmatvec=backward, matmat=forward, rmatmat=backward, dtype=dtype)
