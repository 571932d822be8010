# SPDX-License-Identifier: MIT
"""GeomLoss' SamplesLoss with its "online" backend, which computes with LazyTensors and generic_logsumexp, against its
"tensorized" backend, which stores matrices: losses and gradients."""
import importlib.util
import json
import os
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")

PROGRAM = """
import json, sys
import keopscl
keopscl.install_as_pykeops()
import torch
from geomloss import SamplesLoss
from keopscl._core import evaluation

calls = 0
run = evaluation.apply
def counted(*args):
    global calls
    calls += 1
    return run(*args)
evaluation.apply = counted
import keopscl.torch._autograd
keopscl.torch._autograd.apply = counted

torch.manual_seed(0)
x, y = torch.rand(40, 2, dtype=torch.float64), torch.rand(50, 2, dtype=torch.float64) + 0.3
a, b = torch.rand(40, dtype=torch.float64), torch.rand(50, dtype=torch.float64)
a, b, x, y = (each.to(sys.argv[4]) for each in (a / a.sum(), b / b.sum(), x, y))
results = {}
for backend in ("tensorized", "online"):
    inputs = [each.clone().requires_grad_() for each in (a, x, b, y)]
    before = calls
    loss = SamplesLoss(sys.argv[1], blur=0.1, backend=backend, **json.loads(sys.argv[2]))(*inputs)
    gradients = torch.autograd.grad(loss, inputs)
    results[backend] = loss, gradients, calls - before
loss, gradients, none = results["tensorized"]
online, its_gradients, used = results["online"]
assert none == 0 and used > 0, (none, used)
tolerance = float(sys.argv[3])
assert abs(loss - online) < tolerance, (loss, online)
for first, second in zip(gradients, its_gradients):
    assert (first - second).abs().max() < tolerance, (first - second).abs().max()
print("calls", used, "loss", float(loss))
"""

# The tensorized backend takes distances below 1e-4 for 1e-4: there the two agree to some 1e-4. In the squares of
# distances the online backend rounds 1 / blur^2 to float32.
CASES = [("sinkhorn", {"p": 2}, 1e-7), ("sinkhorn", {"p": 1}, 3e-4), ("sinkhorn", {"p": 2, "reach": 0.5}, 1e-7),
         ("gaussian", {}, 1e-9), ("laplacian", {}, 3e-3), ("energy", {}, 3e-4)]


@pytest.mark.skipif(importlib.util.find_spec("geomloss") is None, reason="no geomloss: pip install --no-deps geomloss")
@pytest.mark.parametrize("device", ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"])
@pytest.mark.parametrize("loss,options,tolerance", CASES, ids=str)
def test_samples_loss(loss, options, tolerance, device):
    environment = dict(os.environ, KEOPSCL_DEVICE=device if device == "cuda" else os.environ["KEOPSCL_DEVICE"])
    result = subprocess.run([sys.executable, "-c", PROGRAM, loss, json.dumps(options), str(tolerance), device],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, timeout=300,
                            env=environment)
    assert result.returncode == 0, result.stderr
    assert "calls" in result.stdout
