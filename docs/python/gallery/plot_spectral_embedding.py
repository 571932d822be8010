# SPDX-License-Identifier: MIT
"""
Spectral embedding with SciPy's ``eigsh``
=========================================

The eigenvectors of the normalised kernel matrix :math:`D^{-1/2} K D^{-1/2}` of handwritten digits, a graph in which
similar images are neighbours. A lazy tensor has SciPy's interface of linear operators, so ``eigsh`` takes the matrix as
a formula. Its entries are computed anew in each product.
"""

# %%
import gallery_data
import matplotlib.pyplot as plt
import numpy as np
from scipy.sparse.linalg import eigsh

from keopscl.numpy import Vi, Vj

images, digits = gallery_data.digits()

# %%
# The kernel's width is 12 grey values. The degrees are one product with ones, and enter the next formula.
K = (-Vi(images).sqdist(Vj(images)) / (2 * 12.0**2)).exp()
scale = 1 / np.sqrt(K @ np.ones(len(images)))[:, None]
normalised = Vi(scale) * K * Vj(scale)
values, vectors = eigsh(normalised, k=5, which="LA", tol=1e-6)
values, vectors = values[::-1], vectors[:, ::-1]

# %%
# The same from a dense matrix. The largest eigenvalue is 1, its eigenvector is the square root of the degrees.
norms = (images**2).sum(1)
dense = np.exp(-(norms[:, None] + norms[None] - 2 * images @ images.T) / (2 * 12.0**2)) * scale * scale.T
assert np.allclose(dense @ vectors, vectors * values, atol=1e-5)
assert abs(values[0] - 1) < 1e-9 and (np.diff(values) < 0).all()
assert np.isclose(abs(vectors[:, 0] @ (1 / scale[:, 0])) / np.linalg.norm(1 / scale), 1)

# %%
# No label was used, but images of a digit lie together: of the nearest neighbours in the plane of four vectors most are
# of the same digit.
embedding = vectors[:, 1:] / vectors[:, :1]
nearest = Vi(embedding).sqdist(Vj(embedding)).argKmin(2, axis=1)[:, 1]
assert (digits[nearest] == digits).mean() > 0.6

plt.figure(figsize=(6, 5), layout="constrained")
plt.scatter(*embedding[:, :2].T, c=digits, cmap="tab10", s=6)
plt.colorbar(label="digit", ticks=range(10))
plt.xlabel("second eigenvector")
plt.ylabel("third eigenvector")
plt.show()
