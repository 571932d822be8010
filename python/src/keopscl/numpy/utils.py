# SPDX-License-Identifier: MIT
"""Kernel matrices that are stored, by the names that programs for pykeops.numpy.utils expect."""

from __future__ import annotations

from typing import Any, Callable, Dict

import numpy as np

from .._errors import ArgumentError


def squared_distances(x: Any, y: Any) -> Any:
    """|x_i - y_j|^2 of points (M, D) and (N, D), as a matrix (M, N)."""
    return ((x[:, None, :] - y[None, :, :]) ** 2).sum(-1)


def differences(x: Any, y: Any) -> Any:
    """The coordinates of x_i - y_j of points (M, D) and (N, D), as an array (D, M, N)."""
    return np.moveaxis(x[:, None, :] - y[None, :, :], -1, 0)


# Each kernel as a function of q = |x - y|^2 / s^2: its value, its logarithm, and its derivative by q.
KERNELS: Dict[str, Any] = {
    "gaussian": (lambda q: np.exp(-q), lambda q: -q, lambda q: -np.exp(-q)),
    "laplacian": (
        lambda q: np.exp(-np.sqrt(q)),
        lambda q: -np.sqrt(q),
        lambda q: -np.exp(-np.sqrt(q)) / (2 * np.sqrt(q)),
    ),
    "cauchy": (lambda q: 1 / (1 + q), lambda q: -np.log1p(q), lambda q: -1 / (1 + q) ** 2),
    "inverse_multiquadric": (lambda q: (1 + q) ** -0.5, lambda q: -0.5 * np.log1p(q), lambda q: -0.5 * (1 + q) ** -1.5),
}

SPHERE: Dict[str, Callable[[Any, float], Any]] = {
    "binet": lambda c, s: c**2,
    "linear": lambda c, s: c,
    "gaussian_unoriented": lambda c, s: np.exp(-2 * (1 - c**2) / s**2),
    "gaussian_oriented": lambda c, s: np.exp(-2 * (1 - c) / s**2),
}


def _kernel(name: str) -> Any:
    if name not in KERNELS:
        raise ArgumentError(f"kernel={name!r} is none of {', '.join(KERNELS)}")
    return KERNELS[name]


def np_kernel(x: Any, y: Any, s: float, kernel: str) -> Any:
    """The matrix (M, N) of a kernel of width s."""
    return _kernel(kernel)[0](squared_distances(x, y) / s**2)


def log_np_kernel(x: Any, y: Any, s: float, kernel: str) -> Any:
    """The logarithm of np_kernel."""
    return _kernel(kernel)[1](squared_distances(x, y) / s**2)


def grad_np_kernel(x: Any, y: Any, s: float, kernel: str) -> Any:
    """The derivative of np_kernel by the squared distance."""
    return _kernel(kernel)[2](squared_distances(x, y) / s**2) / s**2


def np_kernel_sphere(nalpha: Any, nbeta: Any, s: float, kernel: str) -> Any:
    """The matrix (M, N) of a kernel of directions."""
    if kernel not in SPHERE:
        raise ArgumentError(f"kernel={kernel!r} is none of {', '.join(SPHERE)}")
    return SPHERE[kernel](nalpha @ nbeta.T, s)


def chain_rules(q: Any, ax: Any, by: Any, Aa: Any, p: Any) -> Any:
    """The gradient in x of sum_ij q_i k(|x_i - y_j|^2) p_j, where Aa has the derivatives of k: for each coordinate the
    sum over the components of q_i times (2 (x_i - y_j) Aa_ij) p_j."""
    return np.stack([(q * ((2 * each * Aa) @ p)).sum(1) for each in differences(ax, by)], 1).astype(np.float32)


def log_sum_exp(mat: Any, axis: int = 0) -> Any:
    """log of the sum of exp(mat) over an axis, without overflow."""
    largest = mat.max(axis=axis, keepdims=True)
    return np.log(np.exp(mat - largest).sum(axis=axis)) + np.squeeze(largest, axis)


def WarmUpGpu() -> None:
    """Opens the device."""
    from .._core import contexts

    contexts.current()
