# SPDX-License-Identifier: MIT
"""Forward-mode differentiation: tensors that have tangents."""
import pytest

torch = pytest.importorskip("torch")

from torch.autograd import forward_ad, gradcheck, gradgradcheck  # noqa: E402

import keopscl  # noqa: E402
from keopscl.torch import Genred, LazyTensor, Pm, Vi, Vj  # noqa: E402

# PyTorch's own code, which imports what is deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script")


def normal(seed, *shapes, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes]


def same(results, expected, tolerance=1e-10):
    assert len(results) == len(expected)
    for result, value in zip(results, expected):
        assert result.shape == value.shape and result.dtype == value.dtype
        torch.testing.assert_close(result, value, rtol=tolerance, atol=tolerance)


def forward(function, tensors, tangents):
    """The value and the tangent of a function."""
    with forward_ad.dual_level():
        duals = [each if tangent is None else forward_ad.make_dual(each, tangent)
                 for each, tangent in zip(tensors, tangents)]
        return tuple(forward_ad.unpack_dual(function(*duals)))


def square_distances(x, y):
    return ((x[:, None] - y[None]) ** 2).sum(-1)


genred = Genred("Exp(-SqDist(x,y)*s)*b", ["x=Vi(3)", "y=Vj(3)", "b=Vj(2)", "s=Pm(1)"], axis=1)
FUNCTIONS = {
    "sum": (lambda x, y, b, s: (-Vi(x).sqdist(Vj(y)) * Pm(s)).exp() @ b,
            lambda x, y, b, s: torch.exp(-square_distances(x, y) * s) @ b),
    "genred": (genred, lambda x, y, b, s: torch.exp(-square_distances(x, y) * s) @ b),
    "logsumexp": (lambda x, y, b, s: (Pm(s) * Vi(x).sqdist(Vj(y))).logsumexp(axis=0),
                  lambda x, y, b, s: (s * square_distances(x, y)).logsumexp(0)[:, None]),
    "softmax": (lambda x, y, b, s: (Pm(s) * Vi(x).sqdist(Vj(y))).sumsoftmaxweight(Vj(b), axis=1),
                lambda x, y, b, s: (s * square_distances(x, y)).softmax(1) @ b),
    "kmin": (lambda x, y, b, s: (Pm(s) * Vi(x).sqdist(Vj(y))).Kmin(3, axis=1),
             lambda x, y, b, s: (s * square_distances(x, y)).sort(1).values[:, :3]),
    "max": (lambda x, y, b, s: (Pm(s) * Vi(x).sqdist(Vj(y))).max(axis=1),
            lambda x, y, b, s: (s * square_distances(x, y)).max(1, keepdim=True).values),
    "values": (lambda x, y, b, s: (Pm(s) * Vi(x).sqdist(Vj(y)))[1:, [0, 2]],
               lambda x, y, b, s: (s * square_distances(x, y))[1:, [0, 2]]),
}


def inputs(seed):
    x, y, b, s = normal(seed, (5, 3), (7, 3), (7, 2), (1,))
    return [x, y, b, 0.1 + s.abs()], normal(seed + 1, (5, 3), (7, 3), (7, 2), (1,))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_tangents(name):
    tensors, tangents = inputs(1)
    lazy, dense = FUNCTIONS[name]
    same(forward(lazy, tensors, tangents), forward(dense, tensors, tangents))
    some = [tangents[0], None, None, None]
    same(forward(lazy, tensors, some), forward(dense, tensors, some))


def test_complex_tangents():
    x, y, z = normal(3, (5, 2), (6, 2), (6, 2))
    tangents = normal(4, (5, 2), (6, 2), (6, 2))

    def lazy(x, y, z):
        return torch.view_as_real((LazyTensor(x[:, None]) * LazyTensor(torch.complex(y, z)[None])).sum(axis=1))

    def dense(x, y, z):
        return torch.view_as_real((x[:, None] * torch.complex(y, z)[None]).sum(1))

    same(forward(lazy, [x, y, z], tangents), forward(dense, [x, y, z], tangents))


def test_tangents_of_gradients_and_gradients_of_tangents():
    tensors, tangents = inputs(5)
    for each in tensors:
        each.requires_grad_()
    results = []
    for function in FUNCTIONS["sum"]:
        with forward_ad.dual_level():
            duals = [forward_ad.make_dual(each, tangent) for each, tangent in zip(tensors, tangents)]
            gradients = torch.autograd.grad(function(*duals).sin().sum(), duals, create_graph=True)
            hessian = [forward_ad.unpack_dual(each).tangent for each in gradients]  # times the tangents
            tangent = forward_ad.unpack_dual(function(*duals)).tangent
            results.append([*hessian, tangent, *torch.autograd.grad(tangent.sin().sum(), tensors)])
    same(results[0], results[1])


@pytest.mark.parametrize("name", ["sum", "logsumexp", "kmin"])
def test_gradcheck(name):
    tensors, _ = inputs(7)
    for each in tensors:
        each.requires_grad_()
    assert gradcheck(FUNCTIONS[name][0], tensors, check_forward_ad=True)
    assert gradgradcheck(FUNCTIONS[name][0], tensors, check_fwd_over_rev=True, check_rev_over_rev=True)


def test_what_has_no_tangent():
    tensors, tangents = inputs(9)
    x, y = tensors[:2]
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, tangents[0])
        assert forward_ad.unpack_dual(Vi(dual).sqdist(Vj(y)).argmin(axis=1)).tangent is None
        assert forward_ad.unpack_dual(Vi(x).sqdist(Vj(y)).sum(axis=1)).tangent is None
        with pytest.raises(keopscl.ArgumentError, match="out"):
            Vi(dual).sqdist(Vj(y)).sum(axis=1, out=torch.empty(5, 1, dtype=torch.float64))
        with pytest.raises(keopscl.DerivativeError, match="tangent"):
            (Vi(dual).sqdist(Vj(y)).sum(axis=1, call=False) + Vj(y)).dense()
        if not hasattr(torch, "func"):
            with pytest.raises(NotImplementedError, match="PyTorch 2"):
                Vi(dual).sqdist(Vj(y)).min_argmin(axis=1)
            pytest.skip("the tangents of values beside indices need PyTorch 2")
        values, indices = Vi(dual).sqdist(Vj(y)).min_argmin(axis=1)
        dense = square_distances(dual, y).min(1, keepdim=True)
        same([forward_ad.unpack_dual(values).tangent, indices],
             [forward_ad.unpack_dual(dense.values).tangent, dense.indices])


def test_wider_accumulators():
    (x, y, _, _), (dx, _, _, _) = inputs(11)
    x, y, dx = x.float(), y.float(), dx.float()
    tangent = forward(lambda x: Vi(x).sqdist(Vj(y)).sum(axis=1, use_double_acc=True), [x], [dx])
    expected = forward(lambda x: square_distances(x, y.double()).sum(1, keepdim=True), [x.double()], [dx.double()])
    same(tangent, [each.float() for each in expected], 1e-6)


def test_shared_tensors():
    """A tensor as rows of i and of j moves in both."""
    (x, _, _, _), (dx, _, _, _) = inputs(13)
    same(forward(lambda x: (-Vi(x).sqdist(Vj(x))).exp().sum(axis=1), [x], [dx]),
         forward(lambda x: torch.exp(-square_distances(x, x)).sum(1, keepdim=True), [x], [dx]))
