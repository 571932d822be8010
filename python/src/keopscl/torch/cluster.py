# SPDX-License-Identifier: MIT
"""Clusters of points for block-sparse reductions: the functions say NotImplementedError until ranges are there."""
from .._core.cluster import (cluster_centroids, cluster_ranges, cluster_ranges_centroids, from_matrix, grid_cluster,
                             sort_clusters, swap_axes)

__all__ = ["cluster_centroids", "cluster_ranges", "cluster_ranges_centroids", "from_matrix", "grid_cluster",
           "sort_clusters", "swap_axes"]
