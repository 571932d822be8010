# SPDX-License-Identifier: MIT
"""keopscl.numpy.utils: stored kernel matrices, against loops and differences."""

import math

import numpy as np
import pytest

from keopscl.numpy import utils

S = 0.7
KERNELS = {
    "gaussian": lambda d: math.exp(-(d**2) / S**2),
    "laplacian": lambda d: math.exp(-d / S),
    "cauchy": lambda d: 1 / (1 + d**2 / S**2),
    "inverse_multiquadric": lambda d: 1 / math.sqrt(1 + d**2 / S**2),
}


@pytest.mark.parametrize("name", sorted(KERNELS))
def test_kernels(name, rng):
    x, y = rng.standard_normal((4, 3)), rng.standard_normal((5, 3))
    distances = np.array([[math.dist(a, b) for b in y] for a in x])
    values = np.vectorize(KERNELS[name])
    np.testing.assert_allclose(utils.squared_distances(x, y), distances**2)
    np.testing.assert_allclose(utils.np_kernel(x, y, S, name), values(distances))
    np.testing.assert_allclose(utils.log_np_kernel(x, y, S, name), np.log(values(distances)))
    step = 1e-6
    slope = (values(np.sqrt(distances**2 + step)) - values(np.sqrt(distances**2 - step))) / (2 * step)
    np.testing.assert_allclose(utils.grad_np_kernel(x, y, S, name), slope, rtol=1e-6)
    # The gradient of the sum of q_i K_ij p_j in x.
    q, p = rng.standard_normal((4, 2)), rng.standard_normal((5, 2))

    def total(x):
        return (q * (utils.np_kernel(x, y, S, name) @ p)).sum()

    gradient = utils.chain_rules(q, x, y, utils.grad_np_kernel(x, y, S, name), p)
    for i in range(4):
        for k in range(3):
            move = np.zeros_like(x)
            move[i, k] = 1e-5
            assert gradient[i, k] == pytest.approx((total(x + move) - total(x - move)) / 2e-5, rel=1e-4, abs=1e-5)


def test_directions_and_sums_of_exponentials(rng):
    a, b = rng.standard_normal((3, 3)), rng.standard_normal((4, 3))
    cosines = np.array([[float(u @ v) for v in b] for u in a])
    np.testing.assert_allclose(utils.np_kernel_sphere(a, b, S, "linear"), cosines)
    np.testing.assert_allclose(utils.np_kernel_sphere(a, b, S, "binet"), cosines**2)
    np.testing.assert_allclose(utils.np_kernel_sphere(a, b, S, "gaussian_oriented"), np.exp((2 * cosines - 2) / S**2))
    np.testing.assert_allclose(
        utils.np_kernel_sphere(a, b, S, "gaussian_unoriented"), np.exp((2 * cosines**2 - 2) / S**2)
    )
    np.testing.assert_allclose(utils.differences(a, b)[1, 2, 3], a[2, 1] - b[3, 1])
    for axis in (0, 1):
        np.testing.assert_allclose(utils.log_sum_exp(a + 1000, axis), np.log(np.exp(a).sum(axis)) + 1000)
    for call in (utils.np_kernel, utils.np_kernel_sphere):
        with pytest.raises(ValueError, match="other"):
            call(a, b, S, "other")
