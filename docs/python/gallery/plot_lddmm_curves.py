# SPDX-License-Identifier: MIT
"""
LDDMM of curves
===============

A closed curve is deformed until the curve lies on another one, by geodesic shooting: the momenta at time 0 tell the
whole deformation, and L-BFGS looks for momenta that make

.. math:: E(p) = c H(q, p) + |C(q \\text{ at time } 1) - C(\\text{target})|^2

small. :math:`C` is a curve as a current, so no point needs a partner: the target has more points than the curve.
``geodesics.py``, beside this script, has the equations, and the way back through the steps: all sums over pairs are
reductions of formulas that are derived symbolically, twice where the gradient needs it.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from geodesics import Geodesics, current_distance
from scipy.optimize import minimize

POINTS, TARGET_POINTS, WIDTH, CURRENT_WIDTH, WEIGHT = 150, 210, 0.5, 0.25, 0.01


def curve(count, shape):
    angle = 2 * np.pi * np.arange(count) / count
    return np.stack(shape(angle), axis=1)


start = curve(POINTS, lambda t: (np.cos(t), np.sin(t)))
target = curve(
    TARGET_POINTS, lambda t: ((1 + 0.3 * np.cos(3 * t)) * 1.1 * np.cos(t) + 0.2, (1 + 0.3 * np.cos(3 * t)) * np.sin(t))
)
geodesics = Geodesics(WIDTH)


def segments(q):
    after = np.roll(q, -1, axis=0)
    return (q + after) / 2, after - q


def energy(flat):
    """E, and its gradient."""
    p = flat.reshape(start.shape)
    path = geodesics.shoot(start, p)
    distance, of_centres, of_tangents = current_distance(*segments(path[-1][0]), *segments(target), CURRENT_WIDTH)
    of_q = of_centres / 2 - of_tangents
    of_q += np.roll(of_centres / 2 + of_tangents, 1, axis=0)
    gradient = geodesics.back(path, of_q) + WEIGHT * geodesics.velocity(start, p)[0]
    return WEIGHT * geodesics.energy(start, p) + distance, gradient.ravel()


# %%
# The gradient is right: differences in a random direction, at random momenta.
random = np.random.default_rng(6)
trial, direction = 0.1 * random.standard_normal((2, start.size))
differences = (energy(trial + 1e-4 * direction)[0] - energy(trial - 1e-4 * direction)[0]) / 2e-4
assert np.isclose(energy(trial)[1] @ direction, differences, rtol=1e-5)

# %%
before = energy(np.zeros(start.size))[0]
found = minimize(energy, np.zeros(start.size), jac=True, method="L-BFGS-B", options={"maxiter": 40})
momenta = found.x.reshape(start.shape)
path = geodesics.shoot(start, momenta)

# %%
# The curves lie on each other, the sum over pairs agrees with dense arrays, and the constants of the motion are
# constant: energy, momentum and angular momentum.
assert found.fun < 0.05 * before
end, last = path[-1]
assert np.sqrt(((end[:, None] - target[None]) ** 2).sum(-1)).min(1).max() < 0.05
squares = ((start[:, None] - start[None]) ** 2).sum(-1)
dense = 0.5 * (np.exp(-squares / WIDTH**2) * (momenta @ momenta.T)).sum()
assert np.isclose(geodesics.energy(start, momenta), dense, rtol=1e-12)
assert np.isclose(geodesics.energy(end, last), dense, rtol=1e-3)
assert np.allclose(last.sum(0), momenta.sum(0), atol=1e-10)
spin = [(q[:, 0] * p[:, 1] - q[:, 1] * p[:, 0]).sum() for q, p in (path[0], path[-1])]
assert abs(spin[0] - spin[1]) < 1e-3 * np.abs(momenta).sum()

# %%
plt.figure(figsize=(5.5, 5), layout="constrained")
times = np.stack([q for q, _ in path])
plt.plot(times[:, ::3, 0], times[:, ::3, 1], color="0.8", linewidth=0.7)
for points, colour, name in ((start, "C0", "start"), (end, "C3", "end"), (target, "k", "target")):
    plt.plot(*np.concatenate([points, points[:1]]).T, "--" if name == "target" else "-", color=colour, label=name)
plt.legend(frameon=False)
plt.gca().set_aspect("equal")
plt.axis("off")
plt.show()
