# SPDX-License-Identifier: MIT
"""
Kernel density of airports
==========================

Where the airports of the world are, and how high they lie. With a Gaussian :math:`K_{ij}` of the distance between a
place :math:`x_i` of a map and an airport :math:`y_j` of elevation :math:`v_j`, the map shows the density :math:`\\sum_j
K_{ij}` and the local mean :math:`\\sum_j K_{ij} v_j / \\sum_j K_{ij}`. Map and airports together are 375 million pairs,
of which no value is stored.
"""

# %%
# Places are points in space, in kilometres from the centre of the Earth, so distances are right at the poles, too.
import gallery_data
import matplotlib.pyplot as plt
import numpy as np

from keopscl.numpy import Vi, Vj

RADIUS, BANDWIDTH = 6371.0, 150.0  # km


def on_sphere(longitude, latitude):
    longitude, latitude = np.radians(longitude), np.radians(latitude)
    return RADIUS * np.stack(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)], axis=-1
    )


longitude, latitude, elevation = gallery_data.airports()
airports = on_sphere(longitude, latitude).astype(np.float32)
values = np.stack([np.ones_like(elevation), elevation], axis=1).astype(np.float32)

WIDTH, HEIGHT = 360, 180
lon, lat = np.meshgrid(
    np.linspace(-180, 180, WIDTH, endpoint=False) + 180 / WIDTH,
    np.linspace(90, -90, HEIGHT, endpoint=False) - 90 / HEIGHT,
)
places = on_sphere(lon.ravel(), lat.ravel()).astype(np.float32)

# %%
# The Gaussian kernel is a formula. The product with an array of two columns computes both sums in one sweep.
scale = 1 / (2 * BANDWIDTH**2)
K = (-scale * Vi(places).sqdist(Vj(airports))).exp()
sums = K @ values
density = sums[:, 0] / (2 * np.pi * BANDWIDTH**2)  # airports per square kilometre
mean_elevation = sums[:, 1] / np.maximum(sums[:, 0], 1e-30)

# %%
# The density integrates to the number of airports. Some places are computed again in double precision.
area = (RADIUS * np.pi / HEIGHT) * (RADIUS * 2 * np.pi / WIDTH) * np.cos(np.radians(lat.ravel()))
assert abs((density * area).sum() / len(airports) - 1) < 0.01

some = np.arange(0, len(places), 997)
distance = ((places[some, None, :].astype(float) - airports[None, :, :]) ** 2).sum(-1)
expected = np.exp(-scale * distance) @ values
assert np.allclose(sums[some], expected, rtol=1e-4, atol=1e-4 * expected.max())

# %%
figure, axes = plt.subplots(2, 1, figsize=(7, 7), layout="constrained")
image = axes[0].imshow(np.log10(1e6 * density + 1).reshape(HEIGHT, WIDTH), extent=(-180, 180, -90, 90), cmap="magma")
figure.colorbar(image, ax=axes[0], label="log10(1 + airports per 1000 km square)")
shown = np.where(sums[:, 0] > 0.05, mean_elevation, np.nan).reshape(HEIGHT, WIDTH)
image = axes[1].imshow(shown, extent=(-180, 180, -90, 90), cmap="terrain", vmin=-300, vmax=3000)
figure.colorbar(image, ax=axes[1], label="mean elevation in m")
plt.show()
