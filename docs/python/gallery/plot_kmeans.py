# SPDX-License-Identifier: MIT
"""
K-means
=======

Lloyd's algorithm: points go to the nearest centre, and a centre goes to the mean of its points. Both halves of a step
are reductions of the same two sets of points: the nearest centre is an argmin over the centres, and the sum of a
centre's points is a sum over all points, of the formula "point i belongs to centre j".
"""

# %%
# Twelve clusters are planted, on a ring.
import matplotlib.pyplot as plt
import numpy as np

from keopscl.numpy import Vi, Vj

random = np.random.default_rng(3)
COUNT, CLUSTERS = 50_000, 12
angle = 2 * np.pi * np.arange(CLUSTERS) / CLUSTERS
planted = np.stack([4 * np.cos(angle), 3 * np.sin(angle)], axis=1)
points = (planted[random.integers(CLUSTERS, size=COUNT)] + 0.3 * random.standard_normal((COUNT, 2))).astype(np.float32)

# %%
# First centres: one by one the point that is farthest from all centres before.
centres = points[:1].copy()
while len(centres) < CLUSTERS:
    nearest = Vi(points[:1000]).sqdist(Vj(centres)).min_reduction(axis=1)
    centres = np.concatenate([centres, points[[nearest.argmax()]]])

# %%
# Steps until no point changes to another centre. A comparison is a formula, 1 or 0. The points have a 1 as
# third component, so one sweep sums the points of each centre and counts them.
inertia = []
numbers = np.arange(CLUSTERS, dtype=np.float32)[:, None]
with_one = np.concatenate([points, np.ones_like(points[:, :1])], axis=1)
labels = np.full((COUNT, 1), -1)
while True:
    least, new_labels = Vi(points).sqdist(Vj(centres)).min_argmin(axis=1)
    inertia.append(float(least.sum(dtype=np.float64)))
    if (new_labels == labels).all():
        break
    labels = new_labels
    belongs = Vi(labels.astype(np.float32)) == Vj(numbers)
    sums = (belongs * Vi(with_one)).sum(axis=0)  # (CLUSTERS, 3)
    centres = sums[:, :2] / sums[:, 2:]

# %%
# Labels belong to the smallest distance, the inertia went down in every step, and the planted centres were found.
dense = ((points[:, None, :].astype(float) - centres[None]) ** 2).sum(-1)
assert np.allclose(np.take_along_axis(dense, labels, 1)[:, 0], dense.min(1), rtol=1e-5, atol=1e-6)
assert np.allclose(centres, [points[labels[:, 0] == k].mean(0) for k in range(CLUSTERS)], atol=1e-3)
assert all(after <= before * (1 + 1e-6) for before, after in zip(inertia, inertia[1:]))
assert np.abs(planted[:, None] - centres[None]).sum(-1).min(1).max() < 0.05

# %%
plt.figure(figsize=(6, 4.5), layout="constrained")
plt.scatter(*points[::10].T, c=labels[::10, 0], cmap="tab20", s=2)
plt.plot(*centres.T, "k*", markersize=10)
plt.gca().set_aspect("equal")
plt.axis("off")
plt.title(f"{COUNT:,} points, {len(inertia) - 1} steps")
plt.show()
