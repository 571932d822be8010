# SPDX-License-Identifier: MIT
"""Clusters of points for block-sparse reductions: the functions say NotImplementedError until ranges are there."""

from .._core.cluster import *  # noqa: F401,F403
from .._core.cluster import __all__ as __all__
