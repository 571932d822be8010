# SPDX-License-Identifier: MIT
"""Tensors in and out, PyTorch's functions, bad input, forks, and the names of pykeops."""
import gc
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import keopscl  # noqa: E402
import keopscl.numpy  # noqa: E402
from keopscl.torch import (Genred, LazyTensor, Pm, Vi, Vj, cluster, generic_argmin,  # noqa: E402
                           index_i, index_j, where)
from keopscl.torch.utils import is_on_device, squared_distances, torch_kernel  # noqa: E402


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def pair(request):
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(n, 3, generator=generator, dtype=request.param) for n in (5, 7))
    return Vi(x), Vj(y), x[:, None], y[None]


def same(result, expected):
    assert result.shape == expected.shape and result.dtype == expected.dtype
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)


def test_results_are_those_of_numpy(pair):
    x_i, y_j, x, y = pair
    a, b = keopscl.numpy.Vi(x[:, 0].numpy()), keopscl.numpy.Vj(y[0].numpy())
    formulas = [lambda x, y: (x * y).sum(axis=1), lambda x, y: x.sqdist(y).argKmin(2, axis=0),
                lambda x, y: (x | y).exp().mean(axis=0), lambda x, y: (x - y).norm2().logsumexp(axis=1),
                lambda x, y: (x * y).exp1j().sum(axis=1),
                lambda x, y: x.sqdist(y).sum(axis=1, call=False).log()()]
    for formula in formulas:
        result, expected = formula(x_i, y_j), formula(a, b)
        assert isinstance(result, torch.Tensor)
        np.testing.assert_array_equal(result.numpy(), expected)


def test_functions_of_pytorch(pair):
    x_i, y_j, x, y = pair
    b = torch.rand(7, 2, dtype=x.dtype)
    lazy = (x_i - y_j).sqnorm2()
    dense = ((x - y) ** 2).sum(-1, keepdim=True)
    same((torch.exp(-lazy) @ b), torch.exp(-dense[..., 0]) @ b)
    same(torch.matmul(torch.exp(-lazy), b), torch.exp(-dense[..., 0]) @ b)
    same(torch.mv(torch.exp(-lazy), b[:, 0]), torch.exp(-dense[..., 0]) @ b[:, 0])
    functions = [torch.sqrt, torch.log1p, torch.tanh, torch.erf, torch.sigmoid, torch.nn.functional.relu, torch.square,
                 torch.neg, torch.nn.functional.softplus, torch.special.erfc, torch.abs, torch.floor, torch.sinc,
                 lambda K: torch.clamp(K, 0.5, 2.0), lambda K: torch.clamp(K, max=2.0),
                 lambda K: torch.clamp(K, min=0.5),
                 lambda K: torch.pow(K, 2), lambda K: torch.pow(2.0, K), lambda K: torch.remainder(K, 2.0),
                 lambda K: torch.where(K > 1, K, K * 0), lambda K: torch.maximum(K, K * 0 + 1),
                 lambda K: torch.atan2(K, K + 1), lambda K: torch.add(K, 1.5), lambda K: torch.sub(K, 1.5),
                 lambda K: torch.mul(K, 2.5), lambda K: torch.reciprocal(K + 1), lambda K: torch.div(K, K + 1),
                 lambda K: torch.cat((K, 2 * K), -1)]
    for function in functions:
        same(function(lazy).sum(axis=1), function(dense).sum(1))
    same(torch.sum(lazy, dim=1), dense.sum(1))
    same(torch.logsumexp(lazy, 1), dense.logsumexp(1))
    same(torch.max(lazy, 1)[0], dense.max(1)[0])
    same(torch.argmin(lazy, dim=0), dense.argmin(0))
    same(torch.topk(lazy, 3, dim=1, largest=False)[1], dense[..., 0].topk(3, dim=1, largest=False)[1])
    same(torch.norm(x_i - y_j, dim=-1).sum(axis=1), (x - y).norm(dim=-1).sum(1)[:, None])
    same(torch.transpose(lazy, 0, 1).sum(axis=1), dense.sum(0))
    for result, expected in [(x * y_j, x * y), (x - y_j, x - y), (x / (y_j + 10), x / (y + 10)), (x + y_j, x + y)]:
        same(result.sum(axis=1), expected.sum(1))
    same((x < y_j).sum(axis=1), (x < y).to(x.dtype).sum(1))
    same((abs(x) ** y_j).sum(axis=1), (abs(x) ** y).sum(1))
    mask = where(index_j() <= index_i(), lazy, 0.0)
    same(mask.sum(axis=1), dense[..., 0].tril().sum(1)[:, None])
    for bad in (lambda: b.T @ lazy, lambda: torch.softmax(lazy, 1), lambda: torch.sum(lazy, dim=1, keepdim=True)):
        with pytest.raises(TypeError):
            bad()


def test_tensors_are_not_copied():
    x = torch.arange(24.0).reshape(4, 6)
    view = x[::2, 1::2]
    K = LazyTensor(view, axis=0)
    x += 100
    same(K.sum(axis=0), view.sum(0, keepdim=True))
    assert not K.sum(axis=0).requires_grad
    x = torch.rand(3, 1, 2)
    K = LazyTensor(x)
    x.data = torch.ones(3, 1, 2)
    gc.collect()
    same(K.sum(axis=0), torch.full((1, 2), 3.0))
    x.data = torch.ones(2, 1, 2)
    with pytest.raises(ValueError, match="since"):
        K.sum(axis=0)


def test_values_that_are_written_out(pair):
    x_i, y_j, x, y = pair
    K, dense = (x_i - y_j).sqnorm2(), ((x - y) ** 2).sum(-1)
    same(K.dense(), dense)
    same(K[2], dense[2])
    same(K[:, torch.tensor([3, 0])], dense[:, [3, 0]])
    same(Vi(x[:, 0]).sqdist(Vj(x[:, 0])).diag(), torch.zeros(5, dtype=x.dtype))
    K = (LazyTensor(x.clone().requires_grad_()) - y_j).sqnorm2()
    assert not K.argmin(axis=1, call=False).dense().requires_grad
    K = K.sum(axis=1, call=False) * K
    for values in (K.dense, lambda: K[2]):
        with pytest.raises(keopscl.DerivativeError, match="requires a gradient.*written out"):
            values()
        with torch.no_grad():
            assert not values().requires_grad


def test_complex_numbers_of_any_strides():
    z = torch.randn(4, 6, 2, dtype=torch.complex128)
    for view in (z, z[::2, ::2], z.flip(1), z.conj(), z.transpose(1, 2)[..., :2], z.expand(3, 4, 6, 2)[1]):
        rows, columns = view[:, :1], view[:1]
        same((LazyTensor(rows) * LazyTensor(columns)).sum(axis=1), (rows * columns).sum(1))
        same(LazyTensor(view[:, :1]).conj().sum(axis=0), view[:, :1].conj().sum(0))
    rows = z[:, :1, ::2]
    K = LazyTensor(rows)
    z *= 2
    same(K.sum(axis=0), rows.sum(0))  # as of tensors that are not copied
    imaginary = z.conj().imag
    same(LazyTensor(imaginary[:1]).sum(axis=1), imaginary[:1].sum(1))


def test_arrays_of_other_libraries():
    class Array:
        def __init__(self, tensor):
            self.tensor = tensor

        def __dlpack__(self, **kwargs):
            return self.tensor.__dlpack__(**kwargs)

        def __dlpack_device__(self):
            return self.tensor.__dlpack_device__()

    x = torch.rand(3, 1, 2)
    same(LazyTensor(Array(x)).sum(axis=0), x.sum(0))


def test_bad_input():
    x, y = torch.rand(3, 1, 2), torch.rand(1, 4, 2)
    with pytest.raises(TypeError, match="LazyTensor: expected PyTorch tensors.*ndarray"):
        LazyTensor(np.ones((3, 1, 2)))
    for bad in (lambda: np.ones((1, 4, 2)) * LazyTensor(x), lambda: LazyTensor(x) * np.ones((1, 4, 2)),
                lambda: LazyTensor(x[..., :1]) @ np.ones(1), lambda: Genred("x", ["x=Vi(2)"], axis=1)(np.ones((3, 2)))):
        with pytest.raises(TypeError, match="PyTorch tensors.*ndarray"):
            bad()
    with pytest.raises(TypeError, match="x - y: .*float32 and float64"):
        LazyTensor(x) - LazyTensor(y.double())
    with pytest.raises(TypeError, match="y has the number type float64, the arrays before it float32"):
        Genred("x-y", ["x=Vi(2)", "y=Vj(2)"], axis=1)(x[:, 0], y[0].double())
    for dtype in (torch.float16, torch.bfloat16):
        with pytest.raises(TypeError, match=f"LazyTensor: .*{dtype}.*x.float"):
            LazyTensor(x.to(dtype))
    for dtype in (torch.int32, torch.bool, torch.uint8):
        with pytest.raises(TypeError, match=f"LazyTensor: .*{dtype}"):
            LazyTensor(x.to(dtype))
    with pytest.raises(TypeError, match="index"):
        LazyTensor(x.long()) + 1.0
    with pytest.raises(NotImplementedError, match="LazyTensor: .*to_dense"):
        LazyTensor(torch.eye(3).to_sparse())
    with pytest.raises(NotImplementedError, match="device meta"):
        LazyTensor(torch.empty(3, 1, 2, device="meta"))
    with pytest.raises(ValueError, match="axis -3 .*3 rows.*5"):
        LazyTensor(x) + LazyTensor(torch.rand(5, 1, 2))
    with pytest.raises(TypeError, match="of torch and of numpy"):
        LazyTensor(x) + keopscl.numpy.LazyTensor(y.numpy())
    with pytest.raises(ValueError, match="out"):
        LazyTensor(x).sum(axis=0, out=torch.empty(1, 3))


def test_what_a_glance_at_tensors_does_not_tell():
    """Calls of Genred after a call with the same number types, sizes and strides."""
    f = Genred("x*y", ["x = Vi(1)", "y = Vj(1)"], axis=1)
    y = torch.rand(3, 1)
    z = torch.randn(6, 1, dtype=torch.complex64)
    negated = z.conj().imag
    dense = torch.rand(12).as_strided((6, 1), negated.stride())
    for x in (dense, dense, negated, z.imag, torch.nn.Parameter(dense), torch.rand(6, 1), torch.rand(6, 1)):
        with torch.no_grad():
            same(f(x, y), x * y.sum())
    assert negated.is_neg()
    x = torch.rand(6, 1).requires_grad_()
    (gradient,) = torch.autograd.grad(f(x, y).sum(), [x])
    same(gradient, y.sum().expand(6, 1))
    x = torch.rand(6, 1)
    x.resize_(7, 1)[6] = 1.0
    same(f(x, y), x * y.sum())
    with pytest.raises(TypeError):
        f(torch.rand(6, 1).double(), y)
    with pytest.raises(TypeError):
        f(None, y)
    with pytest.raises(NotImplementedError):
        f(torch.rand(6, 1).to_sparse(), y)
    released = torch.rand(6, 1)
    released.storage().resize_(0)
    with pytest.raises(NotImplementedError, match="no memory"):
        f(released, y)


def test_tensors_of_other_devices_are_refused():
    with pytest.raises(NotImplementedError, match=r"the tensor of shape \(3, 1, 2\) is on the device meta"):
        LazyTensor(torch.rand(3, 1, 2, device="meta"))


def test_what_is_not_there_yet():
    x = torch.ones(3, 1, 1)
    for name in cluster.__all__:
        if name != "swap_axes":
            with pytest.raises(NotImplementedError, match=name):
                getattr(cluster, name)(None)
    with pytest.raises(NotImplementedError, match="ranges"):
        LazyTensor(x).sum(axis=1, ranges=(1, 2, 3, 4, 5, 6))


def test_pickles():
    x, y = torch.rand(3, 1, 2), torch.rand(1, 4, 2).requires_grad_()
    K = pickle.loads(pickle.dumps((LazyTensor(x) - LazyTensor(y)).sqnorm2().exp()))
    assert torch.equal(K.sum(axis=1), (LazyTensor(x) - LazyTensor(y)).sqnorm2().exp().sum(axis=1))
    assert K.sum(axis=1).requires_grad
    f = pickle.loads(pickle.dumps(generic_argmin("SqDist(x,y)", "a=Vi(1)", "x=Vi(2)", "y=Vj(2)")))
    assert f(x[:, 0], y[0]).shape == (3, 1)


@pytest.mark.parametrize("kernel", ["gaussian", "laplacian", "cauchy", "inverse_multiquadric"])
def test_stored_kernel_matrices(kernel):
    x, y = torch.rand(4, 3, dtype=torch.float64), torch.rand(5, 3, dtype=torch.float64)
    distances = torch.cdist(x, y)
    same(squared_distances(x, y), distances**2)
    formulas = {"gaussian": torch.exp(-((distances / 0.5) ** 2)), "laplacian": torch.exp(-distances / 0.5),
                "cauchy": 1 / (1 + (distances / 0.5) ** 2),
                "inverse_multiquadric": (1 + (distances / 0.5) ** 2) ** -0.5}
    same(torch_kernel(x, y, 0.5, kernel), formulas[kernel])
    assert not is_on_device(x)
    with pytest.raises(ValueError, match="kernel='none'"):
        torch_kernel(x, y, 0.5, "none")


def test_text():
    x = torch.rand(3, 1, 2)
    text = repr((LazyTensor(x) * Pm(2.0)).exp())
    assert "torch" in text and "(3, 1, 2)" in text and "float32" in text
    assert LazyTensor(x).dtype == "float32" and LazyTensor(x).shape == (3, 1, 2)


LOADER = """
import sys
import torch
from keopscl.torch import LazyTensor

class Points(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, k):
        x = torch.full((3, 1, 2), float(k))
        return LazyTensor(x).sum(axis=0)

Points()[0]
try:
    for batch in torch.utils.data.DataLoader(Points(), num_workers=2, timeout=60):
        print(batch.sum().item())
except Exception as error:
    print(type(error).__name__, "fork" in str(error))
"""


@pytest.mark.parametrize("device", ["host", None])
def test_workers_of_a_data_loader(device):
    """Workers are forked after the parent's first computation: an exception on an OpenCL device, results on the
    interpreter."""
    environment = {**os.environ, "KEOPSCL_DEVICE": device or ""}
    result = subprocess.run([sys.executable, "-c", LOADER], env=environment, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, universal_newlines=True, timeout=120)
    values = "\n".join(str(6.0 * k) for k in range(4))
    printed = result.stdout.strip()
    assert printed == values or (device is None and printed == "DeviceError True"), result.stderr


def test_programs_for_pykeops_find_the_names():
    program = """
import keopscl
keopscl.install_as_pykeops()
import pykeops, torch
from pykeops.torch import ComplexLazyTensor, Genred, KernelSolve, LazyTensor, Pm, Vi, Vj
from pykeops.torch import generic_argkmin, generic_argmin, generic_logsumexp, generic_sum
from pykeops.torch.cluster import cluster_centroids, cluster_ranges, from_matrix, grid_cluster, sort_clusters, swap_axes
from pykeops.torch.operations import KernelSolve
from pykeops.torch.utils import squared_distances, torch_kernel
pykeops.test_torch_bindings()
x = torch.rand(4, 2)
assert torch.allclose(torch_kernel(x, x, 0.5, "gaussian").sum(1), (-Vi(x).sqdist(Vj(x)) / 0.25).exp().sum(axis=1)[:, 0])
"""
    result = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            universal_newlines=True, timeout=120)
    assert result.returncode == 0 and "torch bindings is working" in result.stdout, result.stderr


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast(dtype):
    """Under autocast, tensors of half precision are computed with in float32; gradients have the tensor's type."""
    x, y, b = (torch.rand(n, d, generator=torch.Generator().manual_seed(n)).to(dtype).requires_grad_()
               for n, d in ((5, 3), (7, 3), (8, 1)))
    b = b[:7]
    genred = Genred("Exp(-SqDist(x,y))*b", ["x=Vi(3)", "y=Vj(3)", "b=Vj(1)"], axis=1)
    wide = [each.detach().float().requires_grad_() for each in (x, y, b)]
    expected = torch.exp(-((wide[0][:, None] - wide[1]) ** 2).sum(-1)) @ wide[2]
    gradients = torch.autograd.grad(expected.sum(), wide)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        results = [(-Vi(x).sqdist(Vj(y))).exp() @ b, genred(x, y, b),
                   (-LazyTensor(x[:, None]).sqdist(LazyTensor(y.float()[None]))).exp() @ b]
        mixed = (-(Vi(x) - Vj(y)).norm2()).exp().sum(axis=1, call=False)
        assert mixed().dtype == torch.float32
        with pytest.raises(keopscl.ArgumentError, match="out"):
            Vi(x).sqdist(Vj(y)).sum(axis=1, out=torch.empty(5, 1, dtype=dtype))
        with pytest.raises(TypeError, match="float64"):
            Vi(x).sqdist(Vj(y.double()))
    for result in results:
        assert result.dtype == torch.float32
        torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)
        for gradient, value in zip(torch.autograd.grad(result.sum(), (x, y, b)), gradients):
            assert gradient.dtype == dtype
            torch.testing.assert_close(gradient.float(), value, rtol=1e-2, atol=1e-2)
    with pytest.raises(TypeError, match="not there yet: convert it"):
        Vi(x)
    with torch.autocast("cpu", enabled=False), pytest.raises(TypeError, match="not there yet: convert it"):
        genred(x, y, b)
