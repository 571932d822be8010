# SPDX-License-Identifier: MIT
"""
A mixture of Gaussians, fitted by EM
====================================

With :math:`l_{ij}` the logarithm of weight times density of component :math:`j` at the point :math:`x_i`, the
log-likelihood is :math:`\\sum_i \\log \\sum_j \\exp l_{ij}`. Point :math:`i` belongs to component :math:`j` by the
share :math:`r_{ij} = \\exp l_{ij} / \\sum_k \\exp l_{ik}`. The sums over :math:`i` of :math:`r_{ij}`, :math:`r_{ij}
x_i` and :math:`r_{ij} x_i x_i^T` give the next weights, means and covariances.
"""

# %%
# The points come from a planted mixture.
import matplotlib.pyplot as plt
import numpy as np

from keopscl.numpy import Vi, Vj

random = np.random.default_rng(1)
COUNT = 20_000
true_weights = np.array([0.4, 0.3, 0.2, 0.1])
true_means = np.array([[-2.0, 0.0], [2.0, 1.5], [1.5, -2.0], [-1.5, 3.0]])
true_roots = np.array(
    [[[0.9, 0.0], [0.5, 0.3]], [[0.4, 0.0], [-0.3, 0.7]], [[1.0, 0.0], [0.0, 0.3]], [[0.3, 0], [0.1, 0.3]]]
)
component = random.choice(4, size=COUNT, p=true_weights)
points = true_means[component] + np.einsum("nab,nb->na", true_roots[component], random.standard_normal((COUNT, 2)))


# %%
# One step. The log-likelihood of a point stays a formula (``call=False``), and is used in the next reductions.
def shares(weights, means, covariances):
    constants = np.log(weights) - 0.5 * np.log(np.linalg.det(2 * np.pi * covariances))
    inverses = np.linalg.inv(covariances).reshape(-1, 4)
    x_i, m_j = Vi(points), Vj(means)
    l = Vj(constants[:, None]) - 0.5 * x_i.weightedsqdist(m_j, Vj(inverses))
    likelihood = l.logsumexp(axis=1, call=False)
    return x_i - m_j, (l - likelihood).exp(), likelihood


def step(weights, means, covariances):
    off, r, likelihood = shares(weights, means, covariances)
    share, first = r.sum(axis=0), (r * off).sum(axis=0)
    second = (r * off.tensorprod(off)).sum(axis=0)
    shift = first / share
    new_covariances = (second / share).reshape(-1, 2, 2) - shift[:, :, None] * shift[:, None, :]
    return float(likelihood().sum()), (share[:, 0] / COUNT, means + shift, new_covariances)


spread = points.var()
corners = points.mean(0) + np.sqrt(spread) * np.array([[-1, -1], [1, 1], [1, -1], [-1, 1]])
mixture = np.full(4, 0.25), corners, np.tile(spread * np.eye(2), (4, 1, 1))
likelihoods = []
while len(likelihoods) < 2 or likelihoods[-1] - likelihoods[-2] > 1e-7 * abs(likelihoods[-1]):
    likelihood, mixture = step(*mixture)
    likelihoods.append(likelihood)

# %%
# The likelihood never falls, which is EM's theorem, has the value that dense arrays give, and the mixture was found.
assert all(after >= before - 1e-9 * abs(before) for before, after in zip(likelihoods, likelihoods[1:]))
weights, means, covariances = mixture
off = points[:, None] - means[None]
squares = np.einsum("nka,kab,nkb->nk", off, np.linalg.inv(covariances), off)
densities = weights / np.sqrt(np.linalg.det(2 * np.pi * covariances)) * np.exp(-0.5 * squares)
assert np.isclose(step(*mixture)[0], np.log(densities.sum(1)).sum(), rtol=1e-10)
order = np.abs(true_means[:, None] - means[None]).sum(-1).argmin(1)
assert sorted(order) == [0, 1, 2, 3]
assert np.abs(weights[order] - true_weights).max() < 0.02 and np.abs(means[order] - true_means).max() < 0.06

# %%
plt.figure(figsize=(6, 5), layout="constrained")
plt.plot(*points[::5].T, ".", markersize=1, color="0.6")
circle = np.stack([np.cos(np.linspace(0, 2 * np.pi, 90)), np.sin(np.linspace(0, 2 * np.pi, 90))])
for mean, covariance in zip(means, covariances):
    root = np.linalg.cholesky(covariance)
    for radius in (1, 2):
        plt.plot(*(mean[:, None] + radius * root @ circle), color="C3")
plt.gca().set_aspect("equal")
plt.axis("off")
plt.title(f"{COUNT:,} points, {len(likelihoods)} steps")
plt.show()
