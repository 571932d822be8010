# SPDX-License-Identifier: MIT
"""
Sums of Laplacians: the heat equation
=====================================

Heat from many points, :math:`u(x, t) = \\sum_j b_j \\exp(-|x - y_j|^2 / 4t) / 4 \\pi t`, solves :math:`\\partial_t u =
\\Delta u` in the plane. Both sides are sums of derivatives of one formula. ``laplacian`` and ``diff`` derive the
formula before its compilation, so nothing is approximated and no derivative is written by hand.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

from keopscl.numpy import Pm, Vi, Vj

random = np.random.default_rng(2)
sources = random.random((300, 2))
heat = random.standard_normal((300, 1))
side = np.linspace(0, 1, 150)
places = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)

# %%
# The time is a parameter. Each term is derived, and the sums over the sources come last.
time = np.array([0.002])
x, y, b, t = Vi(places), Vj(sources), Vj(heat), Pm(time)
term = b * (-x.sqdist(y) / (4 * t)).exp() / (4 * np.pi * t)
u = term.sum(axis=1)
laplacian = term.laplacian(x).sum(axis=1)
gradient = term.grad(x, Pm(np.ones(1))).sum(axis=1)
rate = term.diff(t, Pm(np.ones(1))).sum(axis=1)

# %%
# The equation holds to rounding. Derivatives by hand are the same, and so are differences on the grid, nearly.
size = np.abs(laplacian).max()
assert np.allclose(rate, laplacian, rtol=0, atol=1e-11 * size)
off = places[:, None] - sources[None]
squares = (off**2).sum(-1)
dense = heat[:, 0] * np.exp(-squares / (4 * time)) / (4 * np.pi * time)
assert np.allclose(u[:, 0], dense.sum(1), rtol=0, atol=1e-12 * np.abs(u).max())
by_hand = (dense * (squares / (4 * time**2) - 1 / time)).sum(1)
assert np.allclose(laplacian[:, 0], by_hand, rtol=0, atol=1e-12 * size)
assert np.allclose(gradient, -(dense[..., None] * off).sum(1) / (2 * time), rtol=0, atol=1e-11 * np.abs(gradient).max())
grid = u.reshape(150, 150)
differences = (grid[1:-1, 2:] + grid[1:-1, :-2] + grid[2:, 1:-1] + grid[:-2, 1:-1] - 4 * grid[1:-1, 1:-1]) / side[
    1
] ** 2
assert np.abs(differences - laplacian.reshape(150, 150)[1:-1, 1:-1]).max() < 0.02 * size

# %%
figure, axes = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained")
for place, field, name in ((axes[0], u, "heat $u$, and its flow"), (axes[1], laplacian, r"$\Delta u = \partial_t u$")):
    limit = np.abs(field).max()
    image = place.imshow(
        field.reshape(150, 150), origin="lower", extent=(0, 1, 0, 1), cmap="RdBu_r", vmin=-limit, vmax=limit
    )
    figure.colorbar(image, ax=place, shrink=0.8)
    place.set_title(name)
some = np.arange(150 * 150).reshape(150, 150)[5::10, 5::10].ravel()
axes[0].quiver(*places[some].T, *-gradient[some].T, color="0.2", width=0.004)
plt.show()
