# SPDX-License-Identifier: MIT
"""
Optimal transport by Sinkhorn's iterations
==========================================

Two clouds of :math:`N` points have the mass :math:`1/N` at each point. The plan :math:`P_{ij} = \\exp((f_i + g_j -
\\tfrac12 |x_i - y_j|^2) / \\varepsilon) / N^2` of least cost, blurred by :math:`\\varepsilon`, has potentials with
:math:`f_i = -\\varepsilon \\log \\sum_j \\exp((g_j - \\tfrac12 |x_i - y_j|^2) / \\varepsilon) / N`, and the same with
the clouds exchanged. The iterations go to and fro between the two; each is a ``logsumexp``, so nothing overflows
however small :math:`\\varepsilon` is, and the plan is never stored.
"""

# %%
# The second cloud is the image of the first under a symmetric positive map, the gradient of a convex function. So the
# transport without blur is known, by Brenier's theorem: each point goes to its image.
import matplotlib.pyplot as plt
import numpy as np

from keopscl.numpy import Vi, Vj

random = np.random.default_rng(5)
N = 2000
angle = 3 * np.pi * np.sqrt(random.random(N))
x = 0.1 * angle[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1) + 0.03 * random.standard_normal((N, 2))
STRETCH, MOVE = np.array([[1.2, 0.3], [0.3, 0.6]]), np.array([1.5, 0.5])
y = x @ STRETCH + MOVE


# %%
# The blur shrinks from step to step to its last value. Iterations with the mean of the old and the new potential
# converge fast where both potentials are updated at once.
def softmin(epsilon, x, y, g):
    """-epsilon log of the mean over j of exp((g_j - |x_i - y_j|^2 / 2) / epsilon)"""
    exponent = (Vj(g) - 0.5 * Vi(x).sqdist(Vj(y))) / epsilon
    return -epsilon * (exponent.logsumexp(axis=1) - np.log(len(y)))


f, g = np.zeros((N, 1)), np.zeros((N, 1))
LAST = 0.05**2
epsilon, steps = 4.0, 0
while True:
    new_f, new_g = softmin(epsilon, x, y, g), softmin(epsilon, y, x, f)
    change = max(np.abs(new_f - f).max(), np.abs(new_g - g).max())
    f, g = (f + new_f) / 2, (g + new_g) / 2
    steps += 1
    if epsilon > LAST:
        epsilon = max(0.8 * epsilon, LAST)
    elif change < 1e-2 * LAST or steps == 400:
        break
g = softmin(epsilon, y, x, f)

# %%
# Where the plan sends a point, on average: a softmax of the y. Kantorovich's dual value is close to the known cost.
exponent = (Vi(f) + Vj(g) - 0.5 * Vi(x).sqdist(Vj(y))) / epsilon
image = exponent.sumsoftmaxweight(Vj(y), axis=1)

plan = np.exp((f + g.T - 0.5 * ((x[:, None] - y[None]) ** 2).sum(-1)) / epsilon) / N**2
assert np.allclose(plan.sum(0), 1 / N, rtol=1e-8)  # g was updated last
assert np.abs(plan.sum(1) * N - 1).mean() < 0.02
assert np.allclose(image, plan @ y / plan.sum(1, keepdims=True), atol=1e-9)
assert np.sqrt(((image - y) ** 2).sum(1).mean()) < 0.06
cost = 0.5 * ((x - y) ** 2).sum(1).mean()
assert abs((f.mean() + g.mean()) / cost - 1) < 0.01

# %%
plt.figure(figsize=(7, 4.5), layout="constrained")
for k in range(0, N, 8):
    plt.plot(*np.stack([x[k], image[k]]).T, color="0.8", linewidth=0.6, zorder=0)
plt.scatter(*x.T, c=angle, s=3)
plt.scatter(*image.T, c=angle, s=3)
plt.gca().set_aspect("equal")
plt.axis("off")
plt.title(f"{N} points to their places in another cloud, {steps} iterations")
plt.show()
