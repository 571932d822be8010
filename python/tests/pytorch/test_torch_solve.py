# SPDX-License-Identifier: MIT
"""Linear systems of PyTorch tensors: solutions and gradients of any order, against torch.linalg.solve."""
import gc
import warnings
import weakref

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import keopscl  # noqa: E402
from keopscl.torch import KernelSolve, LazyTensor, Pm, Vi, Vj  # noqa: E402
from keopscl.torch.operations import KernelSolve as KernelSolveOfOperations  # noqa: E402
from torch.autograd import gradcheck, gradgradcheck  # noqa: E402

N = 6
TIGHT = {"tol": 1e-13}
EYE = torch.eye(N, dtype=torch.float64)
ALIASES = ["x = Vi(2)", "y = Vj(2)", "b = Vj(2)", "g = Pm(1)"]


@pytest.fixture(autouse=True)
def warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error", keopscl.SolveWarning)
        yield


def numbers(seed, *shapes, dtype=torch.float64, requires_grad=True):
    made = torch.Generator().manual_seed(seed)
    found = [torch.rand(shape, generator=made, dtype=dtype).requires_grad_(requires_grad) for shape in shapes]
    return found[0] if len(found) == 1 else tuple(found)


def lazy(x, g):
    return (-Vi(x).sqdist(Vj(x)) * Pm(g)).exp()


def dense(x, g):
    return (-((x[..., :, None, :] - x[..., None, :, :]) ** 2).sum(-1) * g[..., None]).exp()


def solve(x, b, g, alpha, noise):
    return lazy(x, g).solve(b, alpha=alpha, noise=noise, **TIGHT)


def solve_dense(x, b, g, alpha, noise):
    return torch.linalg.solve(dense(x, g) + alpha * EYE + torch.diag_embed(noise), b)


@pytest.fixture
def arguments():
    return numbers(0, (N, 2), (N, 2), (1,), (), (N,))


def assert_equal(ours, theirs, tolerance=1e-9):
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
    assert (ours - theirs).abs().max() <= tolerance * max(1.0, float(theirs.abs().max()))


def test_values_and_gradients(arguments):
    ours, theirs = solve(*arguments), solve_dense(*arguments)
    assert_equal(ours, theirs)
    cotangent = numbers(1, (N, 2), requires_grad=False)
    for one, other in zip(torch.autograd.grad(ours, arguments, cotangent, create_graph=True),
                          torch.autograd.grad(theirs, arguments, cotangent, create_graph=True)):
        assert_equal(one, other)


def test_first_and_second_derivatives_by_differences(arguments):
    assert gradcheck(solve, arguments)
    assert gradgradcheck(solve, arguments)


def test_third_derivatives():
    x, b, g, alpha, noise = numbers(0, (N, 2), (N, 2), (1,), (), (N,))

    def third(f):
        value = f(x, b, g, alpha, noise).square().sum()
        for leaf in (x, alpha, g):
            value = torch.autograd.grad(value, leaf, create_graph=True)[0].sum()
        return value

    assert_equal(third(solve), third(solve_dense), 1e-8)


def test_tangents(arguments):
    assert gradcheck(solve, arguments, check_forward_ad=True, check_backward_ad=False)


@pytest.mark.parametrize("axis", [0, 1])
def test_kernel_solve(axis, arguments):
    x, b, g, alpha, noise = arguments
    aliases = ["x = Vi(2)", "y = Vj(2)", f"b = V{'ij'[axis]}(2)", "g = Pm(1)"]
    f = KernelSolve("Exp(-g*SqDist(x,y))*b", aliases, "b", axis=axis)

    def ours(x, b, g, alpha, noise):
        return f(x, x, b, g, alpha=alpha, noise=noise, **TIGHT)

    assert_equal(ours(*arguments), solve_dense(*arguments))
    assert gradcheck(ours, arguments) and gradgradcheck(ours, arguments)
    assert KernelSolveOfOperations is KernelSolve


def test_batches_are_summed_over():
    """Gradients in arrays that all elements of a batch share."""
    x, b, g, noise = numbers(2, (3, N, 2), (N, 1), (3, 1, 1), (3, N))
    shared = numbers(3, (N,))

    def ours(x, b, g, noise):
        K = (-((LazyTensor(x[:, :, None, :]) - LazyTensor(x[:, None, :, :])) ** 2).sum(-1) * LazyTensor(
            g[:, :, None, :])).exp()
        return K.solve(b, alpha=0.1, noise=noise, **TIGHT)

    def theirs(x, b, g, noise):
        return torch.linalg.solve(dense(x, g[..., 0]) + 0.1 * EYE + torch.diag_embed(noise), b.expand(3, N, 1))

    for of_noise in (noise, shared):
        given = (x, b, g, of_noise)
        assert_equal(ours(*given), theirs(*given))
        cotangent = numbers(4, (3, N, 1), requires_grad=False)
        for one, other in zip(torch.autograd.grad(ours(*given), given, cotangent),
                              torch.autograd.grad(theirs(*given), given, cotangent)):
            assert_equal(one, other)
    assert gradgradcheck(ours, (x, b, g, noise))


def test_vectors_and_complex_numbers():
    x, b = numbers(5, (N, 2), (N,))

    def ours(x, b):
        return lazy(x, torch.ones(1, dtype=x.dtype)).solve(b, alpha=0.1, **TIGHT)

    assert ours(x, b).shape == (N,)
    assert gradcheck(ours, (x, b)) and gradgradcheck(ours, (x, b))
    z = torch.complex(*numbers(6, (N, 1), (N, 1), requires_grad=False)).requires_grad_()

    def hermitian(x, z):
        K = lazy(x, torch.ones(1, dtype=x.dtype)) * (2.0 * (Vi(x)[0] - Vj(x)[0])).exp1j()
        return K.solve(z, alpha=0.1, **TIGHT)

    phase = torch.exp(2j * x[:, 0])
    matrix = phase[:, None] * dense(x, torch.ones(1, dtype=x.dtype)) * phase.conj() + 0.1 * EYE
    assert_equal(hermitian(x, z), torch.linalg.solve(matrix, z))
    assert gradcheck(hermitian, (x, z)) and gradgradcheck(hermitian, (x, z))


def test_kernels_of_matrices():
    x, b = numbers(7, (N, 2), (N, 2))
    v = Vj(0, 2)

    def ours(x, b):
        d = Vi(x) - Vj(x)
        return ((v - 2 * d * (d | v)) * (-(d | d)).exp()).solve(b, var=v, alpha=0.1, **TIGHT)

    d = x[:, None] - x[None]
    blocks = torch.eye(2, dtype=x.dtype) - 2 * d[..., :, None] * d[..., None, :]
    matrix = (blocks * (-(d**2).sum(-1)).exp()[..., None, None]).permute(0, 2, 1, 3).reshape(2 * N, 2 * N)
    expected = torch.linalg.solve(matrix + 0.1 * torch.eye(2 * N, dtype=x.dtype), b.reshape(-1, 1)).reshape(N, 2)
    assert_equal(ours(x, b), expected)
    assert gradcheck(ours, (x, b)) and gradgradcheck(ours, (x, b))


def test_float32_and_its_solution_in_float64():
    x, b, g = numbers(8, (40, 2), (40, 2), (1,), dtype=torch.float32)
    wide = [each.detach().double().requires_grad_() for each in (x, b, g)]
    expected = torch.linalg.solve(dense(wide[0], wide[2]) + 0.1 * torch.eye(40, dtype=torch.float64), wide[1])
    cotangent = 1e-8 * numbers(9, (40, 2), requires_grad=False)  # tolerances of gradients are relative
    theirs = torch.autograd.grad(expected, wide, cotangent)
    for keywords in ({}, {"eps": 1e-4}, {"dtype": torch.float64, "tol": 1e-12}, {"use_double_acc": True}):
        a = lazy(x, g).solve(b, alpha=0.1, **keywords)
        assert a.dtype == keywords.get("dtype", torch.float32)
        within = 1e-10 if "dtype" in keywords else 1e-3
        assert (a - expected).abs().max() <= within * expected.abs().max()
        for one, other in zip(torch.autograd.grad(a, (x, b, g), cotangent.to(a.dtype)), theirs):
            assert one.dtype == torch.float32 and (one - other).abs().max() <= 5e-3 * other.abs().max()


def test_errors_and_warnings_of_backward_passes(arguments):
    x, b, g, alpha, noise = arguments
    cotangent = torch.ones(N, 2, dtype=torch.float64)
    cotangent[0] = float("nan")
    with pytest.raises(keopscl.SolveError, match="NaN"):
        torch.autograd.grad(lazy(x, g).solve(b, alpha=alpha), b, cotangent)
    with pytest.warns(keopscl.SolveWarning, match="limit of iterations"):
        a = lazy(x, g).solve(b, alpha=alpha, max_iterations=2)
    with pytest.warns(keopscl.SolveWarning, match="limit of iterations"):
        torch.autograd.grad(a.sum(), b)


def test_nothing_is_kept_without_need(arguments):
    x, b, g, alpha, noise = arguments
    with torch.no_grad():
        assert solve(*arguments).grad_fn is None
    assert solve(*[each.detach() for each in arguments]).grad_fn is None
    a = solve(x, *[each.detach() for each in (b, g, alpha, noise)])
    assert torch.autograd.grad(a.sum(), x)[0].shape == x.shape
    held = weakref.ref(a.grad_fn)
    del a
    gc.collect()
    assert held() is None


def test_the_record_and_a_start(arguments):
    x, b, g, alpha, noise = arguments
    a, record = lazy(x, g).solve(b, alpha=alpha, noise=noise, info=True, **TIGHT)
    assert isinstance(record.residual, np.ndarray) and record.converged.all() and record.reason.shape == (2,)
    again, record = lazy(x, g).solve(b, alpha=alpha, noise=noise, start=a, tol=1e-12, info=True)
    assert (record.iterations <= 2).all()
    assert_equal(torch.autograd.grad(again.sum(), x)[0], torch.autograd.grad(a.sum(), x)[0])


def test_symbolic_variables(arguments):
    x, b, g, alpha, noise = arguments
    f = (-Vi(0, 2).sqdist(Vj(1, 2)) * Pm(2, 1)).exp().solve(Vi(3, 2), alpha=alpha, noise=noise, call=False, **TIGHT)
    assert_equal(f(x, x, g, b), solve_dense(*arguments))
    assert_equal(torch.autograd.grad(f(x, x, g, b).sum(), g)[0],
                 torch.autograd.grad(solve_dense(*arguments).sum(), g)[0])


def test_errors(arguments):
    x, b, g, alpha, noise = arguments
    K = lazy(x, g)
    with pytest.raises(keopscl.SolveError, match="no positive curvature") as told:
        (-K).solve(b)
    assert set(told.value.result.reason) == {"not_positive_definite"}
    with pytest.raises(TypeError, match="b is one of PyTorch tensors"):
        K.solve(b.detach().numpy())
    with pytest.raises(TypeError, match="float64 and float32|float32, the other arrays float64"):
        K.solve(b.float())
    with pytest.raises(ValueError, match=r"alpha has the shape \(6,\)"):
        K.solve(b, alpha=noise)
    with pytest.raises(ValueError, match="alpha=-1.0"):
        K.solve(b, alpha=-torch.ones((), dtype=torch.float64))


@pytest.mark.skipif(not hasattr(torch, "func"), reason="PyTorch has torch.func since 2.0")
def test_transforms_are_refused(arguments):
    x, b, g, alpha, noise = [each.detach() for each in arguments]
    for transformed, at in ((lambda b: solve(x, b, g, alpha, noise).sum(), b),
                            (lambda x: solve(x, b, g, alpha, noise).sum(), x),
                            (lambda alpha: solve(x, b, g, alpha, noise).sum(), alpha)):
        with pytest.raises(NotImplementedError, match="not solved under torch.func's transforms"):
            torch.func.grad(transformed)(at)
    with pytest.raises(NotImplementedError, match="not solved under torch.func's transforms"):
        torch.vmap(lambda b: solve(x, b, g, alpha, noise))(b.expand(2, N, 2))


@pytest.mark.skipif(not hasattr(torch, "compile"), reason="PyTorch has torch.compile since 2.0")
def test_compiled_programs_solve_between_graphs(arguments):
    x, b, g, alpha, noise = [each.detach() for each in arguments]
    f = KernelSolve("Exp(-g*SqDist(x,y))*b", ALIASES, "b", axis=1)

    def program(x, b):
        first = lazy(2 * x, g).solve(b + 1, alpha=0.1, **TIGHT)
        return 2 * f(x, x, first, g, alpha=0.1, **TIGHT)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert_equal(torch.compile(program, backend="eager")(x, b), program(x, b))
