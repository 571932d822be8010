# SPDX-License-Identifier: MIT
"""Gradients as PyTorch's users meet them, against PyTorch's own of dense formulas."""
import gc
import threading
import weakref

import pytest

torch = pytest.importorskip("torch")

from torch.autograd import gradcheck, gradgradcheck  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402

import keopscl  # noqa: E402
from keopscl._core import evaluation  # noqa: E402
from keopscl.torch import _autograd  # noqa: E402
from keopscl.torch import Genred, LazyTensor, Pm, Vi, Vj, generic_argkmin, generic_logsumexp, generic_sum  # noqa: E402


def normal(seed, *shapes, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes]


def same(results, expected, tolerance=1e-11):
    for result, value in zip(results, expected):
        assert result.shape == value.shape and result.dtype == value.dtype
        torch.testing.assert_close(result, value, rtol=tolerance, atol=tolerance * max(1.0, float(value.abs().max())))


def gaussian(x, y, b, s):
    return (-Vi(x).sqdist(Vj(y)) * Pm(s)).exp() @ b


def dense_gaussian(x, y, b, s):
    return torch.exp(-((x[:, None] - y[None]) ** 2).sum(-1) * s) @ b


@pytest.fixture
def calls(monkeypatch):
    """The number of results of each call of the library."""
    made = []
    real = evaluation.lib

    class Counting:
        def __getattr__(self, name):
            return getattr(real, name)

        def keopscl_apply(self, operator, context, arrays, addresses, outs, *rest):
            made.append(outs)
            return real.keopscl_apply(operator, context, arrays, addresses, outs, *rest)

    monkeypatch.setattr(evaluation, "lib", Counting())
    return made


def test_backward(calls):
    inputs = normal(1, (5, 3), (7, 3), (7, 2), (1,))
    e, = normal(2, (5, 2))
    result = gaussian(*inputs)
    assert calls == [1]
    result.backward(e)
    assert calls == [1, 4]  # one call for the gradients in all inputs
    expected = dense_gaussian(*inputs)
    same([result], [expected])
    same([each.grad for each in inputs], torch.autograd.grad(expected, inputs, e))


def test_only_inputs_that_require_a_gradient(calls):
    x, y, b, s = normal(1, (5, 3), (7, 3), (7, 2), (1,))
    gaussian(x.detach(), y, b.detach(), s.detach()).sum().backward()
    assert calls == [1, 1] and x.grad is None
    same([y.grad], torch.autograd.grad(dense_gaussian(x, y, b, s).sum(), [y]))


def test_third_derivatives():
    x, y, b, s = normal(3, (3, 2), (4, 2), (4, 1), (1,))

    def derivatives(function):
        first, = torch.autograd.grad((function(x, y, b, s) ** 2).sum(), [x], create_graph=True)
        second = torch.autograd.grad((first * x.detach() ** 2).sum(), [y, b], create_graph=True)
        third = torch.autograd.grad(sum((each**2).sum() for each in second), [x, y, b, s])
        return [first, *second, *third]

    same(derivatives(gaussian), derivatives(dense_gaussian), 1e-9)


def test_nothing_is_kept_where_no_gradient_is_required():
    x, y, b, s = normal(4, (5, 3), (7, 3), (7, 2), (1,))
    with torch.no_grad():
        assert gaussian(x, y, b, s).grad_fn is None
    plain = [each.detach() for each in (x, y, b, s)]
    assert not gaussian(*plain).requires_grad
    tensor = torch.ones(4, 1, 2)
    alive = weakref.ref(tensor)
    LazyTensor(tensor).sum(axis=0)
    del tensor
    gc.collect()
    assert alive() is None


def test_tensors_are_released_after_backward():
    x, y = torch.randn(4, 2), torch.randn(5, 2).requires_grad_()
    alive = weakref.ref(x)
    result = (Vi(x) - Vj(y)).sqnorm2().logsumexp(axis=1)
    del x
    gc.collect()
    assert alive() is not None
    result.sum().backward()
    gc.collect()
    assert alive() is None
    with pytest.raises(RuntimeError, match="second time"):
        result.sum().backward()


def test_operators_of_gradients_are_released():
    def stages():
        gc.collect()
        return sum(type(each) is _autograd.Stage for each in gc.get_objects())

    x, y = normal(29, (3, 2), (4, 2))
    before = stages()
    f = Genred("Exp(-SqDist(x,y))", ["x = Vi(2)", "y = Vj(2)"], axis=1)
    first, = torch.autograd.grad(f(x, y).sum(), [x], create_graph=True)
    torch.autograd.grad(first.sum(), [y])
    assert stages() > before
    del f, first
    assert stages() == before


def test_a_tensor_that_was_changed_has_no_gradient():
    x, y, b, s = normal(5, (5, 3), (7, 3), (7, 2), (1,))
    result = gaussian(x, y, b, s)
    with torch.no_grad():
        y += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        result.sum().backward()


def test_cotangents_of_any_strides(calls):
    inputs = normal(6, (5, 3), (7, 3), (7, 2), (1,))
    expected = dense_gaussian(*inputs)
    result = gaussian(*inputs)
    one, row, wide, large = (each.detach() for each in normal(26, (), (5, 1), (2, 5), (10, 4)))
    cotangents = [one.expand(5, 2), row.expand(5, 2), wide.T, large[::2, ::2]]
    for e in cotangents:
        same(torch.autograd.grad(result, inputs, e, retain_graph=True),
             torch.autograd.grad(expected, inputs, e, retain_graph=True))


def test_inputs_of_any_strides():
    x, y, b = normal(7, (2, 5), (3, 8, 3), (1, 2))

    def function(x, y, b, library):
        x, y, b = x.T, y[0, ::2, ::2], b.expand(4, 2)
        if library:
            return (Vi(x) - Vj(y)).square().sum(-1).logsumexp(axis=1) * (Vi(x) * Vj(y) * Vj(b)).sum(axis=1)
        d = x[:, None] - y[None]
        return (d**2).sum(-1).logsumexp(1)[:, None] * (x[:, None] * y[None] * b[None]).sum(1)

    results, expected = function(x, y, b, True), function(x, y, b, False)
    same([results], [expected])
    same(torch.autograd.grad(results.sum(), [x, y, b]), torch.autograd.grad(expected.sum(), [x, y, b]))
    assert x.data_ptr() == Vi(x.T).variables[0].data_ptr()


BATCHES = [((2,), (2,), (2,)), ((2, 1), (1, 3), ()), ((), (2,), (1,)), ((1,), (), (3,)), ((2, 3), (3,), (2, 1)),
           ((), (), (4,))]


@pytest.mark.parametrize("batches", BATCHES, ids=str)
@pytest.mark.parametrize("over", [0, 1])
def test_batch_axes_that_broadcast(batches, over):
    """A gradient has the shape of its input."""
    of_x, of_y, of_s = batches
    x, y, s = normal(8, of_x + (3, 1, 2), of_y + (1, 4, 2), of_s + (1, 1, 1))
    axis = max(map(len, batches)) + over

    def lazy(x, y, s):
        return (-(LazyTensor(x) - LazyTensor(y)).sqnorm2() * LazyTensor(s) ** 2).exp().sum(axis=axis)

    expected = torch.exp(-((x - y) ** 2).sum(-1, keepdim=True) * s**2).sum(axis)
    result = lazy(x, y, s)
    same([result], [expected])
    e, = normal(9, expected.shape)
    same(torch.autograd.grad(result, [x, y, s], e), torch.autograd.grad(expected, [x, y, s], e))
    assert gradgradcheck(lazy, (x, y, s))


def test_reductions_over_batch_axes():
    x, y = normal(10, (3, 4, 1, 2), (3, 1, 5, 2))

    def function(x, y):
        return (LazyTensor(x) * LazyTensor(y)).logsumexp(axis=2, call=False).exp().sum(axis=0)

    expected = (x * y).logsumexp(2).exp().sum(0, keepdim=True)
    same([function(x, y)], [expected])
    same(torch.autograd.grad(function(x, y).sum(), [x, y]), torch.autograd.grad(expected.sum(), [x, y]))
    assert gradcheck(function, (x, y)) and gradgradcheck(function, (x, y))


def test_parameters_of_all_shapes():
    x, = normal(11, (4, 1, 2))
    for shape in [(), (1,), (2,), (1, 1, 2), (1, 1, 1), (3, 1, 1, 2)]:
        p, = normal(12, shape)
        result = (LazyTensor(x) * LazyTensor(p)).exp().sum(axis=1 if p.ndim == 4 else 0)
        expected = (x * p).exp().sum(-3 if p.ndim < 4 else 1, keepdim=False)
        gradient, = torch.autograd.grad(result.sum(), [p])
        same([gradient], torch.autograd.grad(expected.sum(), [p]))


def test_a_tensor_in_both_roles():
    x, = normal(13, (5, 2))
    e, = normal(14, (5, 1))
    result = (-Vi(x).sqdist(Vj(x))).exp().sum(axis=1)
    expected = torch.exp(-((x[:, None] - x[None]) ** 2).sum(-1)).sum(1)[:, None]
    same(torch.autograd.grad(result, [x], e), torch.autograd.grad(expected, [x], e, retain_graph=True))
    f = Genred("Exp(-SqDist(x,y))", ["x = Vi(2)", "y = Vj(2)"], axis=1)
    same(torch.autograd.grad(f(x, x), [x], e), torch.autograd.grad(expected, [x], e))


def test_indices_have_no_gradient():
    x, y = normal(15, (5, 2), (7, 2))
    distance = Vi(x).sqdist(Vj(y))
    for result in (distance.argmin(axis=1), distance.argKmin(3, axis=1), distance.Kmin_argKmin(3, axis=1)[1]):
        assert result.dtype == torch.int64 and not result.requires_grad
    values, indices = distance.Kmin_argKmin(3, axis=1)
    dense = ((x[:, None] - y[None]) ** 2).sum(-1)
    expected = dense.topk(3, dim=1, largest=False)
    assert torch.equal(indices, expected.indices)
    same(torch.autograd.grad((values**2).sum(), [x, y]),
         torch.autograd.grad((expected.values**2).sum(), [x, y], retain_graph=True))
    smallest, _ = Genred("SqDist(x,y)", ["x = Vi(2)", "y = Vj(2)"], reduction_op="Min_ArgMin", axis=1)(x, y)
    same(torch.autograd.grad(smallest.sum(), [x, y]), torch.autograd.grad(dense.min(1).values.sum(), [x, y]))


def test_rows_by_number():
    table, x = normal(16, (6, 2), (4, 2))
    index = torch.tensor([[5], [0], [3], [3]])
    result = (Vj(table).take(Vi(index)) * Vi(x)).sum(axis=1)
    expected = table[index[:, 0]] * x
    same([result], [expected])
    same(torch.autograd.grad(result.sum(), [table, x]), torch.autograd.grad(expected.sum(), [table, x]))


def test_genred():
    x, y, b, g = normal(17, (5, 3), (7, 3), (7, 2), (1,))
    f = Genred("Exp(-g*SqDist(x,y))*b", ["x = Vi(3)", "y = Vj(3)", "b = Vj(2)", "g = Pm(1)"], axis=1)
    assert gradcheck(f, (x, y, b, g)) and gradgradcheck(f, (x, y, b, g))
    same([f(x, y, b, g)], [dense_gaussian(x, y, b, g)])
    dot = generic_sum("a*(x|y)", "r = Vj(1)", "x = Vi(3)", "y = Vj(3)", "a = Vi(1)")
    a, = normal(18, (5,))  # one axis for a dimension of 1
    result, expected = dot(x, y, a), (a[:, None] * (x @ y.T)).sum(0)[:, None]
    same(torch.autograd.grad(result.exp().sum(), [a, x]), torch.autograd.grad(expected.exp().sum(), [a, x]))
    lse = generic_logsumexp("SqDist(x,y)", "r = Vi(1)", "x = Vi(3)", "y = Vj(3)")
    assert gradcheck(lse, (x, y)) and gradgradcheck(lse, (x, y))
    assert generic_argkmin("SqDist(x,y)", "r = Vi(4)", "x = Vi(3)", "y = Vj(3)")(x, y).shape == (5, 4)
    kmin = Genred("SqDist(x,y)", ["x = Vi(3)", "y = Vj(3)"], reduction_op="KMin", opt_arg=2, axis=1)
    assert gradcheck(kmin, (x, y)) and gradgradcheck(kmin, (x, y))
    weighted = Genred("SqDist(x,y)", ["x = Vi(3)", "y = Vj(3)", "b = Vj(2)"], reduction_op="SumSoftMaxWeight",
                      formula2="b", axis=1)
    assert gradcheck(weighted, (x, y, b)) and gradgradcheck(weighted, (x, y, b))


def test_symbolic_variables():
    x, y = normal(19, (5, 3), (7, 3))
    f = (-Vi(0, 3).sqdist(Vj(1, 3))).exp().sum(axis=1)
    assert gradcheck(f, (x, y)) and gradgradcheck(f, (x, y))


def test_wider_accumulators():
    x, y = normal(20, (5, 3), (7, 3), dtype=torch.float32)
    result = Vi(x).sqdist(Vj(y)).exp().sum(axis=1, dtype_acc="float64")
    wide = [each.detach().double().requires_grad_() for each in (x, y)]
    expected = torch.exp(((wide[0][:, None] - wide[1][None]) ** 2).sum(-1)).sum(1)[:, None]
    assert torch.equal(result, expected.float())
    result.sum().backward()
    expected.sum().backward()
    same([x.grad, y.grad], [each.grad.float() for each in wide], 1e-6)


def test_results_in_given_tensors():
    x, y = normal(21, (5, 3), (7, 3))
    K = Vi(x).sqdist(Vj(y))
    out = torch.empty(5, 1, dtype=torch.float64)
    with pytest.raises(ValueError, match="out"):
        K.sum(axis=1, out=out)
    with torch.no_grad():
        version = out._version
        assert K.sum(axis=1, out=out) is out
        same([out], [K.sum(axis=1)])
        assert out._version > version
        number = torch.empty((), dtype=torch.float64)
        assert Vi(x).sqnorm2().sum(axis=0, out=number) is number
        torch.testing.assert_close(number, (x**2).sum())
        with pytest.raises(ValueError, match="out"):
            K.sum(axis=1, out=torch.empty(5, 1, dtype=torch.float64).requires_grad_())


def test_second_derivatives_of_one_of_two_gradients():
    x, y = normal(22, (3, 2), (4, 2))
    first = torch.autograd.grad(Vi(x).sqdist(Vj(y)).exp().sum(axis=1).sum(), [x, y], create_graph=True)
    dense = torch.autograd.grad(torch.exp(((x[:, None] - y[None]) ** 2).sum(-1)).sum(), [x, y], create_graph=True)
    same(torch.autograd.grad(first[0].sum(), [x, y]), torch.autograd.grad(dense[0].sum(), [x, y]))


def test_checkpoints_and_hooks_of_saved_tensors():
    x, y, b, s = normal(23, (5, 3), (7, 3), (7, 2), (1,))
    expected = torch.autograd.grad(dense_gaussian(x, y, b, s).sum(), [x, y, b, s])
    result = checkpoint(gaussian, x, y, b, s, use_reentrant=True)
    same(torch.autograd.grad(gaussian(x, y, b, s).sum(), [x, y, b, s]), expected)
    result.sum().backward()
    same([each.grad for each in (x, y, b, s)], expected)
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor.clone(), lambda tensor: tensor):
        result = gaussian(x, y, b, s)
    same(torch.autograd.grad(result.sum(), [x, y, b, s]), expected)


def test_backward_in_other_threads():
    inputs = normal(24, (5, 3), (7, 3), (7, 2), (1,))
    expected = torch.autograd.grad(dense_gaussian(*inputs).sum(), inputs)
    results = [gaussian(*inputs).sum() for _ in range(4)]
    gradients = [None] * 4

    def work(k):
        gradients[k] = torch.autograd.grad(results[k], inputs)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for gradient in gradients:
        same(gradient, expected)


def test_an_operation_without_a_derivative_is_told_in_backward():
    x, y = normal(25, (3, 2), (4, 2))
    first, = torch.autograd.grad(Vi(x).softdtw_sqdist(Vj(y), 0.5).sum(axis=1).sum(), [x], create_graph=True)
    with pytest.raises(keopscl.DerivativeError, match="SoftDTW"):
        torch.autograd.grad(first.sum(), [x])


def test_jacobians_and_hessians():
    x, y = normal(28, (3, 2), (4, 2))

    def lazy(x):
        return Vi(x).sqdist(Vj(y.detach())).logsumexp(axis=1)

    def dense(x):
        return ((x[:, None] - y[None].detach()) ** 2).sum(-1, keepdim=True).logsumexp(1)

    functional = torch.autograd.functional
    same([functional.jacobian(lazy, x)], [functional.jacobian(dense, x)])
    same([functional.hessian(lambda x: lazy(x).sum(), x)], [functional.hessian(lambda x: dense(x).sum(), x)])


def test_training():
    """A module whose parameters are moved and replaced between steps."""
    torch.manual_seed(0)
    points = torch.rand(40, 1)
    values = torch.sin(6 * points)
    module = torch.nn.ParameterDict({"a": torch.nn.Parameter(torch.zeros(40, 1)),
                                     "s": torch.nn.Parameter(torch.ones(1))})
    optimizer = torch.optim.Adam(module.parameters(), lr=0.1)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = ((gaussian(points, points, module["a"], 10 * module["s"]) - values) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.05 * losses[0]
