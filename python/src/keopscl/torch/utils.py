# SPDX-License-Identifier: MIT
"""Kernel matrices that are stored, by the names that programs for pykeops.torch.utils expect."""
from __future__ import annotations

from typing import Any, Callable, Dict

import torch

from .._errors import ArgumentError

# Each kernel as a function of q = |x - y|^2 / s^2.
KERNELS: Dict[str, Callable[[Any], Any]] = {
    "gaussian": lambda q: torch.exp(-q), "laplacian": lambda q: torch.exp(-torch.sqrt(q)),
    "cauchy": lambda q: 1 / (1 + q), "inverse_multiquadric": lambda q: torch.rsqrt(1 + q),
}


def is_on_device(x: Any) -> bool:
    """Whether a tensor is on a GPU."""
    return bool(x.is_cuda)


def squared_distances(x: Any, y: Any) -> Any:
    """|x_i - y_j|^2 of points (M, D) and (N, D), as a matrix (M, N)."""
    return ((x[:, None, :] - y[None, :, :]) ** 2).sum(-1)


def torch_kernel(x: Any, y: Any, s: float, kernel: str) -> Any:
    """The matrix (M, N) of a kernel of width s."""
    if kernel not in KERNELS:
        raise ArgumentError(f"kernel={kernel!r} is none of {', '.join(KERNELS)}")
    return KERNELS[kernel](squared_distances(x, y) / s**2)
