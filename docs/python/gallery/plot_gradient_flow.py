# SPDX-License-Identifier: MIT
"""
Gradient flow of a Sinkhorn divergence
======================================

Points move downhill on the Sinkhorn divergence :math:`S(\\alpha, \\beta) = OT(\\alpha, \\beta) - \\tfrac12 OT(\\alpha,
\\alpha) - \\tfrac12 OT(\\beta, \\beta)` to a target cloud. At converged potentials the derivatives by the potentials
vanish (the envelope theorem), so the gradient in :math:`x_i` is :math:`(b^{\\alpha}_i - b^{\\beta}_i) / N`: the
difference of the places to which the plan to the own cloud and the plan to the target send the point. Both are softmax
sums.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np

from keopscl.numpy import Vi, Vj

EPSILON = 0.1**2


def exponent(x, y, g, epsilon):
    return (Vj(g) - 0.5 * Vi(x).sqdist(Vj(y))) / epsilon


def potentials(x, y, f, g, steps, epsilon=EPSILON):
    """Sinkhorn's iterations, from potentials that are nearly right."""
    for _ in range(steps):
        new_f = -epsilon * (exponent(x, y, g, epsilon).logsumexp(axis=1) - np.log(len(y)))
        new_g = -epsilon * (exponent(y, x, f, epsilon).logsumexp(axis=1) - np.log(len(x)))
        f, g = (f + new_f) / 2, (g + new_g) / 2
    return f, g


def divergence(x, y, start, steps):
    """The divergence, up to the constant OT(y, y); its gradient in x; and the potentials to start from."""
    f, g = potentials(x, y, *start[0], steps)
    own, _ = potentials(x, x, start[1], start[1], steps)
    to_target = exponent(x, y, g, EPSILON).sumsoftmaxweight(Vj(y), axis=1)
    to_own = exponent(x, x, own, EPSILON).sumsoftmaxweight(Vj(x), axis=1)
    return f.mean() + g.mean() - own.mean(), (to_own - to_target) / len(x), ((f, g), own)


# %%
# A blob flows to a ring. The step is N times the gradient: a step of Wasserstein's metric, of length 0.3.
random = np.random.default_rng(0)
N, STEPS = 400, 16
x = 0.12 * random.standard_normal((N, 2)) + [0.2, 0.1]
angle = 2 * np.pi * random.random(N)
y = (0.5 + 0.06 * random.standard_normal((N, 1))) * np.stack([np.cos(angle), np.sin(angle)], axis=1) + [1.0, 0.4]
zero = np.zeros((N, 1))

start = (zero, zero), zero
for epsilon in (1.0, 0.3, 0.1, 0.03):  # once, from a wide blur to the last one
    start = potentials(x, y, *start[0], 3, epsilon), potentials(x, x, start[1], start[1], 3, epsilon)[0]
target_potential, _ = potentials(y, y, zero, zero, 100)
values, path = [], [x]
for _ in range(STEPS):
    value, gradient, start = divergence(x, y, start, 60)
    values.append(value - target_potential.mean())
    x = x - 0.3 * N * gradient
    path.append(x)

# %%
# The divergence goes to 0. In a random direction the gradient agrees with finite differences.
assert all(after < before + 1e-5 for before, after in zip(values, values[1:]))
assert values[-1] < 0.01 * values[0] and values[-1] > -1e-5
direction, step, few = random.standard_normal((N, 2)), 1e-4, path[3]
zeros = (zero, zero), zero
start = divergence(few, y, zeros, 1000)[2]
ahead, back = (divergence(few + s * step * direction, y, start, 200)[0] for s in (1, -1))
slope = (divergence(few, y, start, 200)[1] * direction).sum()
assert abs((ahead - back) / (2 * step) - slope) < 1e-4 * abs(slope)

# %%
figure, axes = plt.subplots(1, 4, figsize=(9, 2.6), layout="constrained", sharex=True, sharey=True)
for place, k in zip(axes, (0, 3, 8, STEPS)):
    place.plot(*y.T, ".", color="0.8", markersize=3)
    place.scatter(*path[k].T, c=path[0][:, 0], s=4, cmap="plasma")
    place.set_title(f"after {k} steps", fontsize=9)
    place.set_aspect("equal")
    place.axis("off")
plt.show()
