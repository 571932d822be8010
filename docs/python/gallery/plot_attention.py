# SPDX-License-Identifier: MIT
"""
Attention with a causal mask
============================

Attention :math:`o_i = \\sum_j \\mathrm{softmax}_j(q_i \\cdot k_j / \\sqrt D) v_j` is the reduction
``sumsoftmaxweight``. A causal mask lets a token see earlier tokens only: the numbers of the row and of the column are
formulas too. The matrix of scores is never stored, and heads are a batch axis.
"""

# %%
# Four heads of 3,000 tokens. Keys are turned by an angle that grows with the place, so a head looks for tokens at a
# certain distance.
import matplotlib.pyplot as plt
import numpy as np

from keopscl.numpy import LazyTensor, index_i, index_j, where

random = np.random.default_rng(4)
HEADS, TOKENS, DIM = 4, 3000, 16
frequency = 0.5 ** np.arange(DIM // 2)
delay = np.array([0, 20, 60, 200])[:, None, None]
angle = np.arange(TOKENS)[None, :, None] * frequency


def turned(angle):
    return 3 * np.concatenate([np.cos(angle), np.sin(angle)], axis=-1)


queries = turned(angle - delay * frequency).astype(np.float32)
keys = turned(angle + 0 * delay).astype(np.float32)
signal = np.cumsum(random.standard_normal((TOKENS, 1)), axis=0).astype(np.float32)
tokens = np.broadcast_to(signal, (HEADS, TOKENS, 1))

# %%
# Rows are axis 1, columns axis 2. Where the mask says no, the score is minus infinity.
q, k, v = LazyTensor(queries[:, :, None, :]), LazyTensor(keys[:, None, :, :]), LazyTensor(tokens[:, None, :, :])
score = (q | k) / DIM**0.5
causal = where(index_j() <= index_i(), score, -np.inf)
output = causal.sumsoftmaxweight(v, axis=2)  # (HEADS, TOKENS, 1)

# %%
# The first token sees itself alone, and later tokens change nothing before them.
assert np.allclose(output[:, 0], tokens[:, 0])
changed = tokens.copy()
changed[:, 2000:] += 100
again = causal.sumsoftmaxweight(LazyTensor(changed[:, None]), axis=2)
assert (again[:, :2000] == output[:, :2000]).all() and (again[0, 2000:] > output[0, 2000:]).all()

dense = (queries[0] @ keys[0].T / DIM**0.5).astype(np.float64)
dense[np.triu_indices(TOKENS, 1)] = -np.inf
weights = np.exp(dense - dense.max(1, keepdims=True))
expected = weights @ tokens[0] / weights.sum(1, keepdims=True)
assert np.allclose(output[0], expected, atol=1e-3)

# %%
plt.figure(figsize=(8, 4), layout="constrained")
plt.plot(signal, color="0.7", label="signal")
for head in range(1, HEADS):
    plt.plot(output[head], linewidth=1, label=f"head that looks {delay[head, 0, 0]} tokens back")
plt.xlim(0, 1500)
plt.xlabel("token")
plt.legend(frameon=False)
plt.show()
