# SPDX-License-Identifier: MIT
"""The LazyTensor that those of all array libraries are made from."""
from .elementwise import Elementwise
from .inspect import Inspect
from .linear import Linear
from .reductions import Reductions
from .values import Values


class LazyTensorBase(Elementwise, Values, Reductions, Linear, Inspect):
    """All operations."""

    __slots__ = ()
