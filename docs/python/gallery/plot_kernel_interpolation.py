# SPDX-License-Identifier: MIT
"""
Kernel interpolation
====================

The elevation of Europe's airports, made into a map by kernel ridge regression: with an exponential kernel :math:`K` of
the distance and a noise level :math:`\\lambda`, the weights :math:`a` solve :math:`(K + \\lambda I) a = v`, and the map
is :math:`\\sum_j K(x, y_j) a_j`. The matrix is never stored: ``K.solve`` needs products :math:`K a` alone.
"""

# %%
import gallery_data
import matplotlib.pyplot as plt
import numpy as np

from keopscl.numpy import Vi, Vj

longitude, latitude, elevation = gallery_data.airports()
inside = (longitude > -11) & (longitude < 32) & (latitude > 35) & (latitude < 62)
position = np.stack([longitude[inside] * np.cos(np.radians(48)), latitude[inside]], axis=1) * 111.2  # km, nearly
height = elevation[inside] - elevation[inside].mean()

# %%
# The kernel :math:`\exp(-|x - y| / 100 \text{km})`, as a formula, and the linear system.
LENGTH, NOISE = 100.0, 0.1


def kernel(x, y):
    return (-(Vi(x).sqdist(Vj(y)).sqrt() / LENGTH)).exp()


weights, record = kernel(position, position).solve(height, alpha=NOISE, tol=1e-8, info=True)
print(record)
assert record.converged.all()

# %%
# The map has 40,000 places.
easting = np.linspace(position[:, 0].min(), position[:, 0].max(), 200)
northing = np.linspace(position[:, 1].min(), position[:, 1].max(), 200)
places = np.stack(np.meshgrid(easting, northing), axis=-1).reshape(-1, 2)
field = kernel(places, position) @ weights + elevation[inside].mean()

# %%
# The same by a dense matrix, at some places.
dense = np.exp(-np.sqrt(((position[:, None] - position[None]) ** 2).sum(-1)) / LENGTH)
exact = np.linalg.solve(dense + NOISE * np.eye(len(dense)), height)
assert np.allclose(weights, exact, atol=1e-5 * np.abs(exact).max())
some = np.arange(0, len(places), 199)
distance = np.sqrt(((places[some, None] - position[None]) ** 2).sum(-1))
expected = np.exp(-distance / LENGTH) @ exact + elevation[inside].mean()
assert np.allclose(field[some], expected, atol=0.1)  # metres

# %%
plt.figure(figsize=(7, 5.5), layout="constrained")
plt.pcolormesh(easting, northing, field.reshape(200, 200), cmap="terrain", vmin=-200, vmax=1500, rasterized=True)
plt.colorbar(label="elevation in m")
plt.plot(*position.T, "k.", markersize=1.5)
plt.gca().set_aspect("equal")
plt.axis("off")
plt.title(f"{inside.sum()} airports")
plt.show()
