# SPDX-License-Identifier: MIT
"""pykeops.common.gpu_utils."""

from ..._core import contexts


def get_gpu_number() -> int:
    """How many GPUs there are."""
    return contexts.count("gpu")
