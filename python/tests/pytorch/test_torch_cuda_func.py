# SPDX-License-Identifier: MIT
"""torch.func, forward mode, torch.compile, autocast and linear systems of tensors on a CUDA device, real or simulated
(cards.py)."""
import pytest
from cards import PATH, REAL, card  # noqa: F401

torch = pytest.importorskip("torch")

from torch.autograd import forward_ad  # noqa: E402

import keopscl  # noqa: E402
from keopscl._core import evaluation  # noqa: E402
from keopscl.torch import Genred, KernelSolve, LazyTensor, Pm, Vi, Vj, _cuda  # noqa: E402

if not REAL and not PATH:
    pytest.skip("PyTorch finds no CUDA device", allow_module_level=True)

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script")
needs_func = pytest.mark.skipif(not hasattr(torch, "func"), reason="needs PyTorch 2")
needs_operator = pytest.mark.skipif(not hasattr(torch.library, "custom_op"), reason="needs PyTorch 2.4")


def tensors_of(card, seed=1, *more):
    generator = torch.Generator().manual_seed(seed)
    x, y, b, s = (torch.randn(shape, generator=generator, dtype=torch.float64)
                  for shape in (more + (5, 3), (7, 3), (7, 2), (1,)))
    return [card.put(each) for each in (x, y, b, 0.1 + s.abs())]


def same(results, expected):
    if isinstance(expected, (tuple, list)):
        for result, value in zip(results, expected):
            same(result, value)
        return
    assert results.device == expected.device and results.dtype == expected.dtype
    torch.testing.assert_close(results, expected, rtol=1e-9, atol=1e-9)


def lazy(x, y, b, s):
    return (-Vi(x).sqdist(Vj(y)) * Pm(s) * 0.5).exp() @ b


def dense(x, y, b, s):
    return torch.exp(-((x[:, None] - y[None]) ** 2).sum(-1) * s * 0.5) @ b


genred = Genred("Exp(-IntInv(2)*SqDist(x,y)*s)*b", ["x=Vi(3)", "y=Vj(3)", "b=Vj(2)", "s=Pm(1)"], axis=1)


@pytest.fixture
def on_cards(monkeypatch):
    """For each call of the library whether it was computed by a card."""
    seen = []
    monkeypatch.setattr(evaluation, "compute", lambda program, device, place, *rest, true=evaluation.compute:
                        (seen.append(place is not None), true(program, device, place, *rest))[1])
    return seen


@needs_func
@pytest.mark.parametrize("function", [lazy, genred])
@pytest.mark.parametrize("name", ["grad", "jvp", "jacrev", "jacfwd", "hessian", "vmap", "vmap of grad"])
def test_transforms(card, on_cards, function, name):
    from torch.func import grad, hessian, jacfwd, jacrev, jvp, vmap

    every = (0, 1, 2, 3)
    transform = {
        "grad": lambda f: grad(lambda *t: f(*t).sin().sum(), every), "jacrev": lambda f: jacrev(f, every),
        "jacfwd": lambda f: jacfwd(f, every), "hessian": lambda f: hessian(lambda *t: f(*t).sin().sum(), (0, 3)),
        "jvp": lambda f: lambda *t: jvp(f, t, tuple(each.cos() for each in t)),
        "vmap": lambda f: lambda x, *t: vmap(f, (0, None, None, None))(torch.stack([x, 2 * x, -x]), *t),
        "vmap of grad": lambda f: lambda x, *t: vmap(grad(lambda *t: f(*t).sin().sum(), every), (0, None, None, None))(
            torch.stack([x, 2 * x, -x]), *t),
    }[name]
    tensors = tensors_of(card)
    same(transform(function)(*tensors), transform(dense)(*tensors))
    assert on_cards and all(on_cards)


def test_forward_mode(card, on_cards):
    tensors, tangents = tensors_of(card, 2), tensors_of(card, 3)
    results = []
    for function in (lazy, dense):
        with forward_ad.dual_level():
            duals = [forward_ad.make_dual(each, tangent) for each, tangent in zip(tensors, tangents)]
            results.append(list(forward_ad.unpack_dual(function(*duals))))
    same(results[0], results[1])
    assert on_cards and all(on_cards)


@needs_operator
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compile(card, on_cards, backend):
    torch._dynamo.reset()
    tensors = [each.requires_grad_() for each in tensors_of(card, 4)]
    compiled = torch.compile(lambda x, y, b, s: genred(2 * x, y, b, s).sin(), backend=backend, fullgraph=True)
    expected = dense(2 * tensors[0], *tensors[1:]).sin()
    result = compiled(*tensors)
    same(result, expected)
    same(torch.autograd.grad(result.sum(), tensors), torch.autograd.grad(expected.sum(), tensors))
    assert on_cards and all(on_cards)


@needs_operator
@pytest.mark.filterwarnings("ignore")
def test_opcheck(card):
    tensors = [each.requires_grad_() for each in tensors_of(card, 5)]
    checked = torch.library.opcheck(torch.ops.keopscl.apply.default, (tensors, genred._text))
    assert set(checked.values()) == {"SUCCESS"}


@needs_func
def test_copies_where_a_card_is_not_to_compute(card, on_cards, monkeypatch):
    monkeypatch.setattr(_cuda, "copies", lambda number, keyword: True)
    x, y, b, s = tensors_of(card, 6)
    many = torch.stack([x, 2 * x])
    same(torch.func.vmap(lazy, (0, None, None, None))(many, y, b, s),
         torch.func.vmap(dense, (0, None, None, None))(many, y, b, s))
    assert on_cards == [False]


def test_autocast(card):
    if not card.is_real:
        pytest.skip("of a real driver")
    x, y, b, s = (each.half().requires_grad_() for each in tensors_of(card, 7))
    with torch.autocast("cuda", dtype=torch.float16):
        results = [lazy(x, y, b, s), genred(x, y, b, s), LazyTensor(x[:, None]).sqdist(Vj(y)).sum(axis=1)]
    assert all(each.dtype == torch.float32 and each.is_cuda for each in results)
    wide = [each.detach().float() for each in (x, y, b, s)]
    torch.testing.assert_close(results[0], dense(*wide), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(results[1], dense(*wide), rtol=1e-5, atol=1e-5)
    assert torch.autograd.grad(results[0].sum(), x)[0].dtype == torch.float16
    with pytest.raises(TypeError, match="float16"):
        lazy(x, y, b, s)


@needs_func
def test_streams(card):
    """Transforms give their calls to PyTorch's current stream."""
    if not card.is_real:
        pytest.skip("of a real driver")
    x, y, b, s = tensors_of(card, 8)
    many = torch.stack([x * k for k in range(1, 9)])
    expected = torch.func.vmap(torch.func.grad(lambda *t: dense(*t).sum()), (0, None, None, None))(many, y, b, s)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(50):
            moved = many + 0.0
            result = torch.func.vmap(torch.func.grad(lambda *t: lazy(*t).sum()), (0, None, None, None))(moved, y, b, s)
            moved.zero_()
    stream.synchronize()
    same(result, expected)


# ---- Linear systems --------------------------------------------------------------------------------------------------


def test_linear_systems_and_their_gradients(card):
    rows = 6
    generator = torch.Generator().manual_seed(5)
    x, b, g, alpha, noise = [torch.rand(shape, generator=generator, dtype=torch.float64)
                             for shape in ((rows, 3), (rows, 2), (1,), (), (rows,))]
    solver = KernelSolve("Exp(-g*SqDist(x,y))*b", ["x = Vi(3)", "y = Vj(3)", "b = Vj(2)", "g = Pm(1)"], "b", axis=1)

    def derivatives(function):
        given = [card.put(each).requires_grad_() for each in (x, b, g, alpha, noise)]
        a = function(*given)
        first = torch.autograd.grad((a ** 2).sum(), given, create_graph=REAL)
        second = torch.autograd.grad(sum([(each ** 2).sum() for each in first]), given) if REAL else ()
        return [a, *first, *second]

    def dense(x, b, g, alpha, noise):
        K = (-((x[:, None] - x[None]) ** 2).sum(-1) * g).exp()
        return torch.linalg.solve(K + alpha * torch.eye(rows, dtype=x.dtype, device=x.device) + torch.diag(noise), b)

    def by_methods(x, b, g, alpha, noise):
        return (-Vi(x).sqdist(Vj(x)) * Pm(g)).exp().solve(b, alpha=alpha, noise=noise, tol=1e-13)

    def by_text(x, b, g, alpha, noise):
        return solver(x, x, b, g, alpha=alpha, noise=noise, tol=1e-13)

    expected = derivatives(dense)
    # A simulated card computes as the CPU does: a few kernels are enough there.
    for function in (by_methods, by_text) if REAL else (by_text,):
        for got, wanted in zip(derivatives(function), expected):
            assert got.device == wanted.device
            torch.testing.assert_close(got, wanted, rtol=1e-8, atol=1e-8)


def test_linear_systems_of_float32(card):
    x, b = [torch.rand(shape, generator=torch.Generator().manual_seed(6)) for shape in ((40, 3), (40, 1))]
    matrix = (-((x[:, None] - x[None]).double() ** 2).sum(-1)).exp() + 0.1 * torch.eye(40, dtype=torch.float64)
    K = (-Vi(card.put(x)).sqdist(Vj(card.put(x)))).exp()
    start = None
    for keywords in ({}, {"dtype": "float64", "tol": 1e-10}, {"use_double_acc": True}):
        a, record = K.solve(card.put(b), alpha=0.1, info=True, start=start, **keywords)
        start = a
        assert a.dtype == (torch.float64 if "dtype" in keywords else torch.float32) and record.converged.all()
        residual = (matrix @ a.cpu().double() - b.double()).norm() / b.double().norm()
        assert residual <= (1.1e-10 if "dtype" in keywords else 1e-5)
    with pytest.raises(keopscl.SolveError, match="no positive curvature"):
        (-K).solve(card.put(b))
