# SPDX-License-Identifier: MIT
"""
K-nearest classification of handwritten digits
==============================================

Each image is a point of 64 dimensions, and is taken for the digit that most of its five nearest references have. The
five nearest are one reduction, ``argKmin``.
"""

# %%
# 1,797 images of 8 x 8 grey values: the first 1,000 are the references.
import gallery_data
import matplotlib.pyplot as plt
import numpy as np

from keopscl.numpy import Vi, Vj

images, digits = gallery_data.digits()
images = images.astype(np.float32)
references, queries = images[:1000], images[1000:]

# %%
K = 5
nearest = Vi(queries).sqdist(Vj(references)).argKmin(K, axis=1)  # (797, 5), int64
votes = np.zeros((len(queries), 10), dtype=int)
np.add.at(votes, (np.arange(len(queries))[:, None], digits[nearest]), 1)
read = votes.argmax(axis=1)
right = read == digits[1000:]

# %%
# The distances of the five are the five smallest; they are whole numbers, so equal to the last bit.
dense = ((queries[:, None, :] - references[None, :, :]) ** 2).sum(-1)
assert (np.take_along_axis(dense, nearest, axis=1) == np.sort(dense, axis=1)[:, :K]).all()
assert right.mean() > 0.95

# %%
figure, axes = plt.subplots(2, 8, figsize=(8, 2.6), layout="constrained")
for place, image in zip(axes.flat, np.flatnonzero(~right)):
    place.imshow(queries[image].reshape(8, 8), cmap="Greys")
    place.set_title(f"{digits[1000 + image]} read {read[image]}", fontsize=8)
for place in axes.flat:
    place.axis("off")
figure.suptitle(f"{right.sum()} of {len(queries)} digits are read right; some of the others")
plt.show()
