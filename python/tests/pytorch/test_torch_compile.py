# SPDX-License-Identifier: MIT
"""torch.compile, torch.export and the operator keopscl::apply, against the same formulas of dense tensors."""
import io
import warnings

import pytest

torch = pytest.importorskip("torch")

if not hasattr(torch.library, "custom_op"):
    pytest.skip("needs PyTorch 2.4", allow_module_level=True)

import keopscl  # noqa: E402
from keopscl.torch import Genred, LazyTensor, Pm, Vi, Vj  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # of PyTorch's own code


def normal(seed, *shapes, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes]


def tensors_of(seed, rows=5):
    x, y, b, s = normal(seed, (rows, 3), (7, 3), (7, 2), (1,))
    return [x, y, b, 0.1 + s.abs()]


def same(results, expected, tolerance=1e-10):
    for result, value in zip(results, expected):
        assert result.shape == value.shape and result.dtype == value.dtype
        torch.testing.assert_close(result, value, rtol=tolerance, atol=tolerance)


def square_distances(x, y):
    return ((x[:, None] - y[None]) ** 2).sum(-1)


genred = Genred("Exp(-SqDist(x,y)*s)*b", ["x=Vi(3)", "y=Vj(3)", "b=Vj(2)", "s=Pm(1)"], axis=1)


def lazy(x, y, b, s):
    return (-Vi(x).sqdist(Vj(y)) * Pm(s)).exp() @ b


def with_genred(x, y, b, s):
    return genred(2 * x, y, b.sin(), s).cos()


def with_lazy(x, y, b, s):
    return lazy(2 * x, y, b.sin(), s).cos()


def dense(x, y, b, s):
    return (torch.exp(-square_distances(2 * x, y) * s) @ b.sin()).cos()


@torch.compiler.allow_in_graph
def node(x, y, b, s):
    return lazy(x, y, b, s)


def with_node(x, y, b, s):
    return node(2 * x, y, b.sin(), s).cos()


@pytest.fixture(autouse=True)
def fresh():
    torch._dynamo.reset()


def checks(compiled, reference, seed=1):
    """Values, first gradients, and values of other sizes."""
    tensors = tensors_of(seed)
    same([compiled(*tensors)], [reference(*tensors)])
    for each in tensors:
        each.requires_grad_()
    same(torch.autograd.grad(compiled(*tensors).sin().sum(), tensors),
         torch.autograd.grad(reference(*tensors).sin().sum(), tensors))
    tensors = tensors_of(seed + 1, rows=9)
    same([compiled(*tensors)], [reference(*tensors)])


@pytest.mark.parametrize("dynamic", [None, True])
@pytest.mark.parametrize("function", [with_genred, with_node])
def test_one_graph(function, dynamic):
    """The whole function is one graph, in which the reduction is one node."""
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    checks(torch.compile(function, backend=backend, fullgraph=True, dynamic=dynamic), dense)
    found = [str(each.target) for each in graphs[0].graph.nodes if each.op == "call_function"]
    assert sum("keopscl" in name or "node" in name for name in found) == 1


@pytest.mark.parametrize("function", [with_genred, with_node, with_lazy])
def test_gradients_in_the_graph(function):
    """Forward and backward passes are traced ahead of time."""
    checks(torch.compile(function, backend="aot_eager", fullgraph=function is not with_lazy), dense)


def test_the_default_backend():
    pytest.importorskip("torch._inductor")
    tensors = tensors_of(3)
    compiled = torch.compile(with_genred, fullgraph=True)
    try:
        result = compiled(*tensors)
    except Exception as error:
        if "compiler" in str(error).lower():
            pytest.skip(f"the backend finds no C++ compiler: {type(error).__name__}")
        raise
    same([result], [dense(*tensors)])


def test_lazy_tensors_between_graphs():
    """LazyTensors are left to Python: few parts are compiled, once."""
    from torch._dynamo.utils import counters

    compiled = torch.compile(with_lazy, backend="eager")
    counters.clear()
    compiled(*tensors_of(4))
    count = counters["stats"]["unique_graphs"]
    assert 1 <= count <= 6  # parts of the function, and with older PyTorch some that LazyTensors call
    for seed in range(5, 9):
        tensors = tensors_of(seed)
        same([compiled(*tensors)], [dense(*tensors)])
    assert counters["stats"]["unique_graphs"] == count


def test_why_lazy_tensors_are_no_graph():
    with pytest.raises(torch._dynamo.exc.Unsupported, match="allow_in_graph|disable"):
        torch.compile(lambda *tensors: lazy(*tensors) + 1, backend="eager", fullgraph=True)(*tensors_of(4))


def test_reductions_of_genred():
    """All kinds of results: indices beside values, lists, wider accumulators, complex numbers are real to Genred."""
    x, y, _, _ = tensors_of(10)
    distances = square_distances(x, y)
    cases = [
        (Genred("SqDist(x,y)", ["x=Vi(3)", "y=Vj(3)"], "KMin_ArgKMin", axis=1, opt_arg=2),
         list(distances.sort(1))),
        (Genred("SqDist(x,y)", ["x=Vi(3)", "y=Vj(3)"], "ArgMin", axis=1), [distances.argmin(1, keepdim=True)]),
        (Genred("Square(x-y)", ["x=Vi(3)", "y=Vj(3)"], "KMin", axis=1, opt_arg=2),
         [((x[:, None] - y) ** 2).sort(1).values[:, :2]]),
        (Genred("SqDist(x,y)", ["x=Vi(3)", "y=Vj(3)"], "LogSumExp", axis=0), [distances.logsumexp(0)[:, None]]),
    ]
    for function, expected in cases:
        compiled = torch.compile(lambda x, y: function(x, y), backend="eager", fullgraph=True)
        results = compiled(x, y)
        results = list(results) if isinstance(results, tuple) else [results]
        same(results, [each[:, :2] if len(cases[0][1]) == len(results) == 2 else each for each in expected])
        torch._dynamo.reset()
    wide = Genred("SqDist(x,y)", ["x=Vi(3)", "y=Vj(3)"], axis=1, use_double_acc=True)
    compiled = torch.compile(lambda x, y: wide(x, y), backend="eager", fullgraph=True)
    same([compiled(x.float(), y.float())],
         [square_distances(x.float().double(), y.float().double()).sum(1, keepdim=True).float()], 1e-6)


def test_errors_in_a_graph():
    x, y, b, s = tensors_of(11)
    compiled = torch.compile(lambda *tensors: genred(*tensors), backend="eager")
    with pytest.raises(keopscl.ShapeError, match=r"expected the shape \(rows, 3\)"):
        compiled(x[:, :2], y, b, s)


def test_vmap_and_grad_of_what_is_compiled():
    x, y, b, s = tensors_of(12)
    many = torch.stack([x, 2 * x, -x])
    dims = (0, None, None, None)
    expected = torch.vmap(dense, dims)(many, y, b, s)
    has_rule = hasattr(torch.library, "register_vmap")  # PyTorch 2.5
    if has_rule:
        same([torch.compile(torch.vmap(with_genred, dims), backend="aot_eager", fullgraph=True)(many, y, b, s)],
             [expected])
    for function in (with_genred, with_lazy) if has_rule else (with_lazy,):
        same([torch.compile(torch.vmap(function, dims), backend="aot_eager")(many, y, b, s)], [expected])
        gradient = torch.func.grad(lambda *t, function=function: function(*t).sum())
        same([torch.compile(gradient, backend="aot_eager")(x, y, b, s)],
             [torch.func.grad(lambda *t: dense(*t).sum())(x, y, b, s)])


@pytest.mark.parametrize("way", ["values", "gradients", "batch axes", "indices"])
def test_opcheck(way):
    """PyTorch's own tests of operators: the schema, gradients, shapes without values, and all of it traced."""
    tensors = tensors_of(13)
    plan = genred._text
    if way == "gradients":
        for each in tensors:
            each.requires_grad_()
    elif way == "batch axes":
        tensors = [tensors[0].expand(4, 5, 3).clone(), tensors[1], tensors[2].expand(2, 1, 7, 2), tensors[3]]
    elif way == "indices":
        tensors = tensors[:2]
        plan = Genred("SqDist(x,y)", ["x=Vi(3)", "y=Vj(3)"], "KMin_ArgKMin", axis=1, opt_arg=2)._text
    assert set(torch.library.opcheck(torch.ops.keopscl.apply.default, (tensors, plan)).values()) == {"SUCCESS"}


class Module(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x, y, b, s):
        return self.function(x, y, b, s)


@pytest.mark.parametrize("strict", [False, True])
def test_export_of_genred(strict):
    program = torch.export.export(Module(with_genred), tuple(tensors_of(14)), strict=strict)
    memory = io.BytesIO()
    torch.export.save(program, memory)
    memory.seek(0)
    tensors = tensors_of(15)
    same([torch.export.load(memory).module()(*tensors)], [dense(*tensors)])


def test_export_of_lazy_tensors():
    """With any number of rows, and by a text that makes the formula again where the program is loaded."""
    from keopscl.torch import _plans

    rows = torch.export.Dim("rows", min=2)
    program = torch.export.export(Module(with_lazy), tuple(tensors_of(16)), strict=False,
                                  dynamic_shapes=({0: rows}, None, None, None))
    names = [str(each.target) for each in program.graph.nodes]
    assert names.count("keopscl.apply.default") == 1
    _plans._plans.clear()
    for count in (4, 11):
        tensors = tensors_of(17, rows=count)
        same([program.module()(*tensors)], [dense(*tensors)])

    def others(x, y, b, s):
        """Numbers without a type, a reduction over batch axes, a transpose, complex numbers."""
        K = (LazyTensor(x[None, :, None]) - LazyTensor(torch.stack([y, 2 * y])[:, None])).sqnorm2() * 0.5
        first = K.exp().sum(axis=0, call=False).sum(axis=2)
        second = (Vi(x).sqdist(Vj(y)) * LazyTensor([0.5])).T @ x
        third = (LazyTensor(torch.complex(x, 2 * x)[:, None]) * Vj(y)).sum(axis=1)
        return first.sum() + second.sum() + torch.view_as_real(third).sum()

    tensors = tensors_of(18)
    program = torch.export.export(Module(others), tuple(tensors), strict=False)
    _plans._plans.clear()
    same([program.module()(*tensors)], [others(*tensors)])


def test_fake_tensors():
    from torch._subclasses import FakeTensorMode

    with warnings.catch_warnings(), FakeTensorMode() as mode:
        warnings.simplefilter("error")
        tensors = [mode.from_tensor(each) for each in tensors_of(19)]
        result = lazy(*tensors)
        assert result.shape == (5, 2) and result.dtype == torch.float64 and type(result) is not torch.Tensor
        assert Vi(tensors[0]).sqdist(Vj(tensors[1])).argKmin(2, axis=1).dtype == torch.int64
        with pytest.raises(keopscl.ShapeError, match="components"):
            Vi(tensors[0]).sqdist(Vj(tensors[2]))


def test_second_derivatives_of_the_operator():
    tensors = [each.requires_grad_() for each in tensors_of(20)]

    def apply(*tensors):
        return torch.ops.keopscl.apply(list(tensors), genred._text)[0]

    assert torch.autograd.gradcheck(apply, tensors) and torch.autograd.gradgradcheck(apply, tensors)
