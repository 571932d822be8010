# SPDX-License-Identifier: MIT
"""torch.func's transforms of functions that reduce LazyTensors, against the same transforms of dense formulas."""
import pytest

torch = pytest.importorskip("torch")

if not hasattr(torch, "func"):
    pytest.skip("needs PyTorch 2", allow_module_level=True)

from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vjp, vmap  # noqa: E402

import keopscl  # noqa: E402
from keopscl._core import contexts  # noqa: E402
from keopscl._native import ffi, lib  # noqa: E402
from keopscl.torch import Genred, LazyTensor, Pm, Vi, Vj  # noqa: E402


def normal(seed, *shapes, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes]


def tensors_of(seed, *more):
    """x, y, b and a positive s; with `more` axes in front of x."""
    x, y, b, s = normal(seed, more + SIZES[0], *SIZES[1:])
    return [x, y, b, 0.1 + s.abs()]


def same(results, expected, tolerance=1e-10):
    if isinstance(expected, (tuple, list)):
        assert len(results) == len(expected)
        for result, value in zip(results, expected):
            same(result, value, tolerance)
        return
    assert result_kind(results) == result_kind(expected)
    torch.testing.assert_close(results, expected, rtol=tolerance, atol=tolerance)


def result_kind(tensor):
    return tuple(tensor.shape), tensor.dtype


def evaluations():
    """How many calls have computed something, and how many kernels were started."""
    stats = ffi.new("kcl_context_stats *")
    assert lib.kcl_context_get_stats(contexts.current(), stats) == lib.KCL_OK
    return stats.evaluations, stats.launches


def spent(function):
    first = evaluations()
    function()
    return tuple(after - before for before, after in zip(first, evaluations()))


SIZES = ((5, 3), (7, 3), (7, 2), (1,))
genred = Genred("Exp(-SqDist(x,y)*s)*b", ["x=Vi(3)", "y=Vj(3)", "b=Vj(2)", "s=Pm(1)"], axis=1)


def square_distances(x, y):
    return ((x[:, None] - y[None]) ** 2).sum(-1)


def dense_gaussian(x, y, b, s):
    return torch.exp(-square_distances(x, y) * s) @ b


def bipartite(x, y):
    return LazyTensor(x[:, None]), LazyTensor(y[None])


# Functions of x, y, b, s: of LazyTensors, and dense.
REDUCTIONS = {
    "sum": (lambda x, y, b, s: (-Vi(x).sqdist(Vj(y)) * Pm(s)).exp() @ b, dense_gaussian),
    "genred": (genred, dense_gaussian),
    "over i": (lambda x, y, b, s: ((-Vi(x).sqdist(Vj(y)) * Pm(s)).exp() * Vi(x)).sum(axis=0),
               lambda x, y, b, s: torch.exp(-square_distances(x, y) * s).T @ x),
    "transposed": (lambda x, y, b, s: (Vi(x).sqdist(Vj(y)) * Pm(s)).sin().T @ x,
                   lambda x, y, b, s: (square_distances(x, y) * s).sin().T @ x),
    "of one row": (lambda x, y, b, s: (Pm(s) * Vj(y).sin() * Vj(b).sum(-1)).sum(axis=1),
                   lambda x, y, b, s: (s * y.sin() * b.sum(-1, keepdim=True)).sum(0, keepdim=True)),
    "logsumexp": (lambda x, y, b, s: (Pm(s) * Vi(x).sqdist(Vj(y))).logsumexp(axis=1, weight=Vj(b[:, :1]).exp()),
                  lambda x, y, b, s: (s * square_distances(x, y) + b[:, 0]).logsumexp(1, keepdim=True)),
    "softmax": (lambda x, y, b, s: (Pm(s) * Vi(x).sqdist(Vj(y))).sumsoftmaxweight(Vj(b), axis=1),
                lambda x, y, b, s: (s * square_distances(x, y)).softmax(1) @ b),
    "min": (lambda x, y, b, s: (Pm(s) * Vi(x).sqdist(Vj(y))).min(axis=1),
            lambda x, y, b, s: (s * square_distances(x, y)).amin(1, keepdim=True)),
    "max": (lambda x, y, b, s: (Pm(s) * Vi(x).sqdist(Vj(y))).max(axis=1),
            lambda x, y, b, s: (s * square_distances(x, y)).amax(1, keepdim=True)),
    "kmin": (lambda x, y, b, s: (Pm(s) * Vi(x).sqdist(Vj(y))).Kmin(3, axis=1),
             lambda x, y, b, s: (s * square_distances(x, y)).sort(1).values[:, :3]),
    "kmin of vectors": (lambda x, y, b, s: (Pm(s) * (Vi(x) - Vj(y)) ** 2).Kmin(2, axis=1),
                        lambda x, y, b, s: (s * (x[:, None] - y[None]) ** 2).sort(1).values[:, :2]),
    "twice": (lambda x, y, b, s: ((Vi(x) | Vj(y)).logsumexp(axis=1, call=False) * Vi(x)).sum(axis=0),
              lambda x, y, b, s: ((x @ y.T).logsumexp(1, keepdim=True) * x).sum(0, keepdim=True)),
    "numbers": (lambda x, y, b, s: (Vi(x) * LazyTensor([0.5, 2.0, -1.0])).sqdist(0.5 + Vj(y)).sqrt().sum(axis=1),
                lambda x, y, b, s: square_distances(x * torch.tensor([0.5, 2.0, -1.0], dtype=torch.float64), 0.5 + y)
                .sqrt().sum(1, keepdim=True)),
}
ALL = (0, 1, 2, 3)


def loss(function):
    """A number whose second derivatives are not 0."""
    return lambda *tensors: (function(*tensors) ** 2).mean().sin()


TRANSFORMS = {
    "grad": lambda function: grad(loss(function), ALL),
    "vjp": lambda function: lambda *t: vjp(function, *t)[1](torch.ones_like(function(*t).detach())),
    "jvp": lambda function: lambda *t: jvp(function, t, tuple(each.cos() for each in t)),
    "jacrev": lambda function: jacrev(function, ALL),
    "jacfwd": lambda function: jacfwd(function, ALL),
    "hessian": lambda function: hessian(loss(function), (0, 1)),
    "jacrev of grad": lambda function: jacrev(grad(loss(function), 1), (0, 3)),
    "grad of jvp": lambda function: grad(lambda *t: jvp(loss(function), t, tuple(each.cos() for each in t))[1], ALL),
    "vmap of x": lambda function: lambda x, y, b, s: vmap(function, (0, None, None, None))(
        torch.stack([x, 2 * x, -x, x + 1]), y, b, s),
    "vmap of grad": lambda function: lambda x, y, b, s: vmap(grad(loss(function), ALL), (None, 0, None, 0))(
        x, torch.stack([y, 2 * y]), b, torch.stack([s, 3 * s])),
    "grad of vmap": lambda function: lambda x, y, b, s: grad(lambda *t: (vmap(function, (0, None, 1, None), 1)(*t) ** 2)
                                                             .sum(), ALL)(torch.stack([x, -x]), y,
                                                                          torch.stack([b, b + 1], 1), s),
    "vmap of vmap": lambda function: lambda x, y, b, s: vmap(vmap(function, (0, None, None, None), 1),
                                                             (None, 0, None, 0), 2)(
        torch.stack([x, 2 * x, 3 * x]), torch.stack([y, y + 1]), b, torch.stack([s, 2 * s])),
}


@pytest.mark.filterwarnings("ignore:.*torch.jit.script")
@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_transforms(reduction, transform):
    tensors = tensors_of(1)
    lazy, dense = (TRANSFORMS[transform](function) for function in REDUCTIONS[reduction])
    same(lazy(*tensors), dense(*tensors))


def test_one_batched_call_for_all():
    """As many calls as for a single problem, whatever the number of problems is, and kernels as well."""
    x, y, b, s = tensors_of(2, 7)
    function = vmap(REDUCTIONS["sum"][0], (0, None, None, None))
    of = {}
    for count in (2, 7):
        function(x[:count], y, b, s)  # kernels are compiled
        of[count] = spent(lambda: function(x[:count], y, b, s))
    assert of[2] == of[7] and of[2][0] == 1
    derived = vmap(grad(loss(REDUCTIONS["sum"][0]), ALL), (0, None, None, None))
    derived(x, y, b, s)
    assert spent(lambda: derived(x, y, b, s))[0] == 2  # the values and the gradients
    rows = jacrev(lambda x: REDUCTIONS["sum"][0](x, y, b, s))
    assert spent(lambda: rows(x[0]))[0] == 2
    columns = jacfwd(lambda x: REDUCTIONS["sum"][0](x, y, b, s))
    assert spent(lambda: columns(x[0]))[0] == 2


def test_what_problems_share_is_not_repeated(monkeypatch):
    """y and b, which have no axis of problems, reach the library without one."""
    from keopscl.torch import _autograd

    seen = []
    real = _autograd.apply
    monkeypatch.setattr(_autograd, "apply", lambda stage, descriptions, *rest:
                        (seen.append([layout[1] for _, layout in descriptions[len(stage.indices):]]),
                         real(stage, descriptions, *rest))[1])
    x, y, b, s = tensors_of(3, 4)
    vmap(REDUCTIONS["sum"][0], (0, None, None, None))(x, y, b, s)
    assert sorted(seen.pop(), key=len)[:-1] == sorted([(1,), (7, 3), (7, 2)], key=len) and not seen


def test_batch_axes_and_vmap():
    """Batch axes of the problems themselves, which are broadcast, and axes that are reduced."""
    x, y, s = normal(4, (3, 2, 5, 1, 2), (3, 4, 1, 1, 6, 2), (3, 4, 1, 1, 1, 1))
    s = s.abs()

    def lazy(x, y, s):
        K = (-((LazyTensor(x) - LazyTensor(y)) ** 2).sum(-1) * LazyTensor(s)).exp()
        return K.sum(axis=-2)

    def dense(x, y, s):
        return (-((x - y) ** 2).sum(-1, keepdim=True) * s).exp().sum(-2)

    same(vmap(lazy)(x, y, s), vmap(dense)(x, y, s))
    same(vmap(grad(loss(lazy), (0, 1, 2)))(x, y, s), vmap(grad(loss(dense), (0, 1, 2)))(x, y, s))
    same(jacrev(lazy, 1)(x[0], y[0], s[0]), jacrev(dense, 1)(x[0], y[0], s[0]))

    def lazy_sums(x, y, s):
        return (LazyTensor(x) * LazyTensor(y) * LazyTensor(s)).sin().sum(axis=0, call=False).sum(axis=-3)

    def dense_sums(x, y, s):
        return (x * y * s).sin().sum(0, keepdim=True).sum(-3)

    same(lazy_sums(x[0], y[0], s[0]), dense_sums(x[0], y[0], s[0]))
    same(grad(loss(lazy_sums), (0, 1, 2))(x[0], y[0], s[0]), grad(loss(dense_sums), (0, 1, 2))(x[0], y[0], s[0]))
    for dims in ((0, 0, 0), (0, None, None), (None, None, 0)):
        given = [each if dim == 0 else each[0] for each, dim in zip((x, y, s), dims)]
        same(vmap(lazy_sums, dims)(*given), vmap(dense_sums, dims)(*given))
        same(vmap(grad(loss(lazy_sums), (0, 1, 2)), dims)(*given),
             vmap(grad(loss(dense_sums), (0, 1, 2)), dims)(*given))
        same(vmap(jacfwd(lazy_sums), dims)(*given), vmap(jacfwd(dense_sums), dims)(*given))


def test_too_many_axes_are_told():
    x, y = normal(5, (2, 1, 1, 1, 1, 1, 1, 3, 1, 2), (4, 2))
    with pytest.raises(keopscl.ShapeError, match="6 are possible"):
        vmap(lambda x: LazyTensor(x).sqdist(Vj(y)).sum(axis=7))(x)


def test_indices():
    x, y = normal(6, (4, 5, 3), (7, 3))
    nearest = vmap(lambda x: Vi(x).sqdist(Vj(y)).argKmin(2, axis=1))(x)
    expected = ((x[:, :, None] - y) ** 2).sum(-1).argsort(-1)[..., :2]
    same(nearest, expected)

    def lazy(x):
        values, indices = Vi(x).sqdist(Vj(y)).Kmin_argKmin(2, axis=1)
        return values.sum(), indices

    gradient, indices = grad(lazy, has_aux=True)(x[0])
    dense = grad(lambda x: square_distances(x, y).sort(1).values[:, :2].sum())(x[0])
    same([gradient, indices], [dense, expected[0]])
    values, tangent, indices = jvp(lazy, (x[0],), (x[1],), has_aux=True)
    same([tangent, indices], [(dense * x[1]).sum(), expected[0]])


@pytest.mark.filterwarnings("ignore:.*torch.jit.script")
def test_complex_numbers():
    x, y, z = normal(7, (5, 2), (6, 2), (6, 2))

    def lazy(x, y, z):
        numbers = LazyTensor(torch.complex(y, z)[None])
        return torch.view_as_real((LazyTensor(x[:, None]) * numbers).sum(axis=1))

    def dense(x, y, z):
        return torch.view_as_real((x[:, None] * torch.complex(y, z)[None]).sum(1))

    same(lazy(x, y, z), dense(x, y, z))
    for name in ("grad", "jvp", "jacrev", "jacfwd"):
        transform = {"grad": lambda f: grad(loss(f), (0, 1, 2)), "jacrev": lambda f: jacrev(f, (0, 1, 2)),
                     "jacfwd": lambda f: jacfwd(f, (0, 1, 2)), "jvp": TRANSFORMS["jvp"]}[name]
        same(transform(lazy)(x, y, z), transform(dense)(x, y, z))
    same(vmap(lazy, (0, None, None))(torch.stack([x, 2 * x]), y, z), vmap(dense, (0, None, None))(
        torch.stack([x, 2 * x]), y, z))


def sinkhorn(x, y, lazy, steps=4):
    """Potentials of entropic optimal transport, by steps that each depend on the last one."""
    f, g = x.new_zeros(len(x), 1), y.new_zeros(len(y), 1)
    for _ in range(steps):
        if lazy:
            cost = Vi(x).sqdist(Vj(y)) / 2
            f = -(Vj(g) - cost).logsumexp(axis=1)
            g = -(Vi(f) - cost).logsumexp(axis=0)
        else:
            cost = square_distances(x, y) / 2
            f = -(g.T - cost).logsumexp(1, keepdim=True)
            g = -(f - cost).logsumexp(0, keepdim=True).T
    return f.sum() + (g**2).sum()


@pytest.mark.filterwarnings("ignore:.*torch.jit.script")
def test_sinkhorn_loops():
    x, y = normal(8, (5, 2), (6, 2))
    for transform in (lambda f: jacrev(f, (0, 1)), lambda f: jacfwd(f, (0, 1)), lambda f: hessian(f)):
        same(transform(lambda x, y: sinkhorn(x, y, True))(x, y), transform(lambda x, y: sinkhorn(x, y, False))(x, y),
             1e-9)
    many = torch.stack([x, 2 * x, x - 1])
    same(vmap(grad(lambda x: sinkhorn(x, y, True)))(many), vmap(grad(lambda x: sinkhorn(x, y, False)))(many), 1e-9)


def test_gradients_around_transforms():
    """Tensors that require gradients of autograd, inside of transforms; vector-Jacobian products called later."""
    x, y, b, s = [each.requires_grad_() for each in tensors_of(9)]
    lazy, dense = REDUCTIONS["sum"]
    results = []
    for function in (lazy, dense):
        inner = grad(loss(function))(x, y, b, s)
        results.append([inner, *torch.autograd.grad((inner**2).sum(), [x, y, b, s])])
    same(results[0], results[1])
    results = []
    for function in (lazy, dense):
        _, pull_back = vjp(lambda x: function(x, y, b, s), x)
        cotangent = torch.ones(5, 2, dtype=torch.float64, requires_grad=True)
        product, = pull_back(cotangent)
        results.append([product, *torch.autograd.grad(product.sin().sum(), [x, y, cotangent])])
    same(results[0], results[1])


def test_lazy_tensors_made_outside():
    """A LazyTensor of constants meets tensors of a transform."""
    x, y, b = normal(12, (5, 3), (7, 3), (4, 7, 2))
    K = (-Vi(x).sqdist(Vj(y))).exp()
    matrix = torch.exp(-square_distances(x, y))
    same(vmap(lambda b: K @ b)(b), vmap(lambda b: matrix @ b)(b))
    same(jacrev(lambda b: K @ b)(b[0]), jacrev(lambda b: matrix @ b)(b[0]))
    same(vmap(lambda b: K.sum(axis=1) + b.sum())(b), vmap(lambda b: matrix.sum(1, keepdim=True) + b.sum())(b))


def test_values_written_out():
    x, y = normal(13, (3, 5, 2), (6, 2))
    lazy, dense = (lambda x: (-Vi(x).sqdist(Vj(y))).exp()[1:4, [0, 5]],
                   lambda x: torch.exp(-square_distances(x, y))[1:4, [0, 5]])
    same(vmap(lazy)(x), vmap(dense)(x))
    same(jacrev(lazy)(x[0]), jacrev(dense)(x[0]))
    with pytest.raises(NotImplementedError, match="written out|no memory"):
        vmap(lambda x: (Vi(x).sqdist(Vj(y)).argmin(axis=1, call=False)).dense())(x)


def test_wider_accumulators_and_out():
    x, y, b, s = [each.float() for each in tensors_of(14)]
    both = torch.stack([x, 2 * x])
    wide = vmap(lambda x: (-Vi(x).sqdist(Vj(y)) * Pm(s)).exp().sum(axis=1, use_double_acc=True))(both)
    expected = torch.exp(-((both.double()[:, :, None] - y.double()) ** 2).sum(-1) * s.double())
    same(wide, expected.sum(-1, keepdim=True).float(), 1e-6)
    with pytest.raises(keopscl.ArgumentError, match="out: not together with torch.func"):
        vmap(lambda x: Vi(x).sqdist(Vj(y)).sum(axis=1, out=torch.empty(5, 1)))(torch.stack([x, x]))


def test_modules():
    """The gradient in a module's parameters for each sample."""

    class Kernel(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.y, self.b = (torch.nn.Parameter(each) for each in normal(15, (7, 3), (7, 1)))
            self.lazy = True

        def forward(self, x):
            if self.lazy:
                return (-Vi(x).sqdist(Vj(self.y))).exp() @ self.b
            return torch.exp(-square_distances(x, self.y)) @ self.b

    module = Kernel()
    samples, = normal(16, (4, 1, 3))
    parameters = {name: each.detach() for name, each in module.named_parameters()}

    def of_sample(parameters, x):
        return functional_call(module, parameters, (x,)).sum()

    results = []
    for module.lazy in (True, False):
        results.append(list(vmap(grad(of_sample), (None, 0))(parameters, samples).values()))
    same(results[0], results[1])


def test_errors_name_sizes_as_ever():
    x, y = normal(17, (4, 5, 3), (7, 2))
    with pytest.raises(keopscl.ShapeError, match="3 components in the first operand"):
        vmap(lambda x: Vi(x).sqdist(Vj(y)).sum(axis=1))(x)
    with pytest.raises(keopscl.DtypeError, match="float32.*float64|float64.*float32"):
        vmap(lambda x: Vi(x).sqdist(Vj(torch.ones(7, 3))).sum(axis=1))(x)


def test_threads_have_transforms_of_their_own():
    import threading

    x, y, b, s = tensors_of(18, 3)
    lazy, dense = (vmap(grad(loss(function)), (0, None, None, None)) for function in REDUCTIONS["sum"])
    expected, results = dense(x, y, b, s), []
    threads = [threading.Thread(target=lambda: results.append(lazy(x, y, b, s))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    for result in results:
        same(result, expected)
