# SPDX-License-Identifier: MIT
"""KernelSolve, where programs for pykeops look for it."""
from ._generic import KernelSolve

__all__ = ["KernelSolve"]
