# SPDX-License-Identifier: MIT
"""
LDDMM of surfaces
=================

A sphere becomes a surface with three bumps. Curves and surfaces have the same equations and gradient, in
``geodesics.py``. A surface is a current by the centres of its triangles and their normals. The target has another
triangulation, so nothing tells which point belongs to which.
"""

# %%
# Spheres are icosahedra whose triangles are divided into four, two or three times.
import matplotlib.pyplot as plt
import numpy as np
from geodesics import Geodesics, current_distance
from scipy.optimize import minimize
from scipy.spatial import ConvexHull

WIDTH, CURRENT_WIDTH, WEIGHT = 0.6, 0.4, 0.002


def sphere(count):
    """Points of a spiral, and the triangles of their convex hull, all turned outwards."""
    k = np.arange(count) + 0.5
    z, angle = 1 - 2 * k / count, np.pi * (1 + 5**0.5) * k
    points = np.stack([np.sqrt(1 - z**2) * np.cos(angle), np.sqrt(1 - z**2) * np.sin(angle), z], axis=1)
    triangles = ConvexHull(points).simplices
    a, b, c = points[triangles].transpose(1, 0, 2)
    inwards = (np.cross(b - a, c - a) * (a + b + c)).sum(1) < 0
    triangles[inwards] = triangles[inwards][:, ::-1]
    return points, triangles


def bumps(points):
    directions = np.array([[1, 0, 0.3], [-0.5, 0.8, 0], [-0.3, -0.7, 0.6]])
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    height = 0.45 * np.exp(-6 * (1 - points @ directions.T)).sum(1)
    return points * (0.9 + height)[:, None]


start, triangles = sphere(500)
target, target_triangles = sphere(700)
target = bumps(target)
geodesics = Geodesics(WIDTH, steps=8)


def current(points, triangles):
    a, b, c = points[triangles].transpose(1, 0, 2)
    return (a + b + c) / 3, np.cross(b - a, c - a) / 2


def energy(flat):
    p = flat.reshape(start.shape)
    path = geodesics.shoot(start, p)
    end = path[-1][0]
    distance, of_centres, of_normals = current_distance(
        *current(end, triangles), *current(target, target_triangles), CURRENT_WIDTH
    )
    corners = end[triangles].transpose(1, 0, 2)
    of_q = np.zeros_like(end)
    for k in range(3):  # the normal is half of a x b + b x c + c x a
        opposite = corners[(k + 1) % 3] - corners[(k + 2) % 3]
        np.add.at(of_q, triangles[:, k], of_centres / 3 + np.cross(opposite, of_normals) / 2)
    gradient = geodesics.back(path, of_q) + WEIGHT * geodesics.velocity(start, p)[0]
    return WEIGHT * geodesics.energy(start, p) + distance, gradient.ravel()


# %%
# The gradient is right: differences in a random direction, at random momenta.
random = np.random.default_rng(7)
trial, direction = 0.01 * random.standard_normal((2, start.size))
differences = (energy(trial + 1e-3 * direction)[0] - energy(trial - 1e-3 * direction)[0]) / 2e-3
assert np.isclose(energy(trial)[1] @ direction, differences, rtol=1e-5)

# %%
before = energy(np.zeros(start.size))[0]
found = minimize(energy, np.zeros(start.size), jac=True, method="L-BFGS-B", options={"maxiter": 25})
momenta = found.x.reshape(start.shape)
path = geodesics.shoot(start, momenta)
end = path[-1][0]

# %%
# Ends lie on the target, from which the sphere was up to 0.35 away, the energy is constant, and no triangle is turned
# over: the deformation is a diffeomorphism.
assert found.fun < 0.06 * before
from_target = np.sqrt(((end[:, None] - target[None]) ** 2).sum(-1)).min(1)
assert from_target.mean() < 0.06
assert np.isclose(geodesics.energy(*path[-1]), geodesics.energy(start, momenta), rtol=1e-3)
squares = ((start[:, None] - start[None]) ** 2).sum(-1)
assert np.isclose(geodesics.energy(start, momenta), 0.5 * (np.exp(-squares / WIDTH**2) * (momenta @ momenta.T)).sum())
centres, normals = current(end, triangles)
assert ((centres * normals).sum(1) > 0).all()

# %%
figure = plt.figure(figsize=(8, 3), layout="constrained")
for k, (points, faces, name) in enumerate(
    ((start, triangles, "start"), (end, triangles, "end"), (target, target_triangles, "target"))
):
    place = figure.add_subplot(1, 3, k + 1, projection="3d")
    drawn = place.plot_trisurf(*points.T, triangles=faces, cmap="viridis", edgecolor="none")
    drawn.set_array(np.linalg.norm(points[faces].mean(1), axis=1))
    drawn.set_clim(0.8, 1.4)
    place.set_title(name)
    place.set_box_aspect((1, 1, 1))
    place.axis("off")
plt.show()
