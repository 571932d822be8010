# SPDX-License-Identifier: MIT
"""The names of KeOps' cluster modules. Block-sparse ranges are not there yet, and these functions say so when
called.
"""

from __future__ import annotations

from typing import Any, NoReturn

from .evaluation import version


def _refuse(name: str) -> NoReturn:
    raise NotImplementedError(f"{name}: block-sparse ranges are not there yet, keopscl {version()} has none")


def grid_cluster(*args: Any, **kwargs: Any) -> NoReturn:
    """Labels of points by the cube that holds them. Not there yet."""
    _refuse("grid_cluster")


def from_matrix(*args: Any, **kwargs: Any) -> NoReturn:
    """Ranges from a matrix of blocks. Not there yet."""
    _refuse("from_matrix")


def sort_clusters(*args: Any, **kwargs: Any) -> NoReturn:
    """Points in the order of their labels. Not there yet."""
    _refuse("sort_clusters")


def cluster_ranges(*args: Any, **kwargs: Any) -> NoReturn:
    """The first and last row of each label. Not there yet."""
    _refuse("cluster_ranges")


def cluster_centroids(*args: Any, **kwargs: Any) -> NoReturn:
    """The mean point of each label. Not there yet."""
    _refuse("cluster_centroids")


def cluster_ranges_centroids(*args: Any, **kwargs: Any) -> NoReturn:
    """Ranges, mean points and weights of labels. Not there yet."""
    _refuse("cluster_ranges_centroids")


def swap_axes(ranges: Any) -> Any:
    """Ranges with the roles of i and j exchanged; None for None."""
    if ranges is None:
        return None
    _refuse("swap_axes")


__all__ = [
    "cluster_centroids",
    "cluster_ranges",
    "cluster_ranges_centroids",
    "from_matrix",
    "grid_cluster",
    "sort_clusters",
    "swap_axes",
]
