# SPDX-License-Identifier: MIT
"""
Lengths of a kernel, fitted with JAX
====================================

How far does the elevation of an airport tell the elevation of others? A map by kernel ridge regression depends on the
lengths of its kernel, from west to east and from south to north, and on the noise level. Half of Europe's airports make
the map, and the others tell its error, which is minimized by gradient descent. Reductions of lazy tensors are functions
of JAX like others: the derivative of the solution of a linear system, by JAX's conjugate gradients, goes through them,
and the whole descent is one compiled function.
"""

# %%
import gallery_data
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jax.scipy.sparse.linalg import cg

from keopscl.jax import Vi, Vj

jax.config.update("jax_enable_x64", True)

longitude, latitude, elevation = gallery_data.airports()
inside = (longitude > -11) & (longitude < 32) & (latitude > 35) & (latitude < 62)
position = np.stack([longitude[inside] * np.cos(np.radians(48)), latitude[inside]], axis=1) * 0.1112  # 1000 km, nearly
height = (elevation[inside] - elevation[inside].mean()) / elevation[inside].std()
known, held_out = np.arange(0, len(height), 2), np.arange(1, len(height), 2)

# %%
# The kernel :math:`\exp(-|x - y|)` of places that are divided by the lengths; its weights; and the error of the map.
# All parameters are logarithms.


def product(x, y, v, parameters):
    scale = jnp.exp(-parameters["lengths"])
    return (-Vi(x * scale).sqdist(Vj(y * scale)).sqrt()).exp() @ v


def weights(parameters, product=product):
    places = jnp.asarray(position[known])
    noise = jnp.exp(parameters["noise"])
    return cg(lambda a: product(places, places, a, parameters) + noise * a, jnp.asarray(height[known]), tol=1e-8)[0]


def error(parameters, product=product):
    places = jnp.asarray(position[held_out]), jnp.asarray(position[known])
    return jnp.mean((product(*places, weights(parameters, product), parameters) - height[held_out]) ** 2)


# %%
# Gradient descent with momentum, compiled as a whole.
STEPS = 40


@jax.jit
def descend(start):
    def step(state, _):
        parameters, momentum = state
        value, gradient = jax.value_and_grad(error)(parameters)
        momentum = jax.tree.map(lambda m, g: 0.8 * m - 1.5 * g, momentum, gradient)
        return (jax.tree.map(jnp.add, parameters, momentum), momentum), value

    (found, _), values = jax.lax.scan(step, (start, jax.tree.map(jnp.zeros_like, start)), None, length=STEPS)
    return found, values


start = {"lengths": jnp.log(jnp.array([0.02, 0.5])), "noise": jnp.log(1.0)}
found, values = descend(start)
print("lengths in km:", 1000 * np.exp(found["lengths"]), "noise:", np.exp(found["noise"]), "error:", values[-1])
assert values[-1] < 0.8 * values[0] and np.linalg.norm(jax.grad(error)(found)["lengths"]) < 0.01

# %%
# The same gradient by a matrix that is stored, at the start.


def stored(x, y, v, parameters):
    squares = (((x[:, None] - y[None]) * jnp.exp(-parameters["lengths"])) ** 2).sum(-1)
    distances = jnp.where(squares > 0, jnp.sqrt(jnp.where(squares > 0, squares, 1.0)), 0.0)
    return jnp.exp(-distances) @ v


ours, dense = (jax.jit(jax.grad(lambda p, by=by: error(p, by)))(start) for by in (product, stored))
for name in start:
    assert np.allclose(ours[name], dense[name], rtol=1e-5, atol=1e-7)

# %%
easting, northing = (np.linspace(each.min(), each.max(), 150) for each in position.T)
places = np.stack(np.meshgrid(easting, northing), axis=-1).reshape(-1, 2)
figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
for place, parameters, title in zip(axes, (start, found), ("lengths of 20 and 500 km", "fitted lengths")):
    field = product(jnp.asarray(places), jnp.asarray(position[known]), weights(parameters), parameters)
    place.pcolormesh(easting, northing, np.asarray(field).reshape(150, 150), cmap="terrain", vmin=-1.5, vmax=3)
    place.set_title(f"{title}: error {float(error(parameters)):.2f}", fontsize=10)
    place.set_aspect("equal")
    place.axis("off")
plt.show()
