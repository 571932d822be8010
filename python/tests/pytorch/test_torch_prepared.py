# SPDX-License-Identifier: MIT
"""Calls that were made before, which are done in C (keopscl._core.prepared), on a card where there is one (cards.py),
else on the CPU, against dense results of PyTorch in float64."""
import gc
import random
import threading
import weakref

import pytest
from cards import PATH, REAL, card, storage_of  # noqa: F401

torch = pytest.importorskip("torch")

from torch.autograd import forward_ad  # noqa: E402

import keopscl  # noqa: E402
from keopscl._core import contexts  # noqa: E402
from keopscl._native import lib  # noqa: E402
from keopscl.torch import Genred, Vi, Vj, _cuda  # noqa: E402
from keopscl.torch._library import PYTORCH_2  # noqa: E402

M, N, D = 11, 14, 3
GAUSS = "Exp(-g*SqDist(x,y))*b"
ALIASES = ["x = Vi(3)", "y = Vj(3)", "b = Vj(2)", "g = Pm(1)"]


class Cpu:
    """Tensors in the memory of the host."""

    is_real = False
    device = torch.device("cpu")

    def put(self, tensor):
        return tensor

    def wait(self):
        pass


WAYS = ["attributes"]  # how tensors are looked at
if _cuda.exchange is not None:
    WAYS.append("functions")


@pytest.fixture(params=WAYS)
def where(request, monkeypatch):
    """Where tensors are put, and how they are looked at."""
    made = request.getfixturevalue("card") if REAL or PATH else Cpu()
    if request.param == "attributes":
        monkeypatch.setattr(_cuda, "exchange", None)
    return made


def data(seed, *shape, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def arguments(seed=0, dtype=torch.float32, m=M, n=N):
    return [data(seed + k, *shape, dtype=dtype) for k, shape in enumerate([(m, D), (n, D), (n, 2)])] + [
        torch.tensor([0.3 + 0.1 * (seed % 7)], dtype=dtype)]


def distances(x, y):
    return ((x[:, None, :] - y[None, :, :]) ** 2).sum(-1)


def dense(x, y, b, g):
    x, y, b, g = [each.double().cpu() for each in (x, y, b, g)]
    return torch.exp(-g * distances(x, y)) @ b


def same(result, expected, tolerance=2e-5):
    assert result.shape == expected.shape
    scale = max(1.0, float(expected.detach().abs().max()))
    torch.testing.assert_close(result.detach().cpu().double(), expected.detach().double(), rtol=tolerance,
                               atol=tolerance * scale)


class Counted:
    """How many calls of a block were prepared ones."""

    def __enter__(self):
        self.before = lib.keopscl_calls
        return self

    def __exit__(self, *error):
        self.number = lib.keopscl_calls - self.before


def build(x, y, b, number=0.5):
    return ((-Vi(x).sqdist(Vj(y)) * number).exp() * Vj(b)).sum(axis=1, call=False)


# Arguments of Genred, and the same of tensors in float64: a result or several.
REDUCTIONS = {
    "Sum": ({}, lambda d: (-d).exp().sum(1, keepdim=True)),
    "LogSumExp": ({}, lambda d: (-d).exp().logsumexp(1, keepdim=True)),
    "ArgMin": ({}, lambda d: (-d).exp().argmin(1, keepdim=True)),
    "Min_ArgMin": ({}, lambda d: tuple((-d).exp().min(1, keepdim=True))),
    "KMin": ({"opt_arg": 2}, lambda d: (-d).exp().topk(2, dim=1, largest=False)[0]),
}


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(where, name):
    keywords, expected = REDUCTIONS[name]
    function = Genred("Exp(-SqDist(x,y))", ALIASES[:2], reduction_op=name, axis=1, **keywords)
    for seed in range(3):
        x, y, _, _ = arguments(10 * seed)
        with Counted() as counted:
            results = function(where.put(x), where.put(y))
        assert counted.number == (seed > 0)
        wanted = expected(distances(x.double(), y.double()))
        assert type(results) is type(wanted)
        for result, each in zip(*[r if isinstance(r, tuple) else (r,) for r in (results, wanted)]):
            if each.dtype == torch.int64:
                assert torch.equal(result.cpu(), each)
            else:
                same(result, each)


def test_what_changes_between_calls(where):
    """Sizes, number types, strides, offsets, tensors with axes in front, in any order; each call again and again."""
    function = Genred(GAUSS, ALIASES, axis=1)

    def variants():
        for dtype in (torch.float32, torch.float64):
            for m, n in ((M, N), (N, M), (1, N), (M, 1), (2, 2)):
                yield [where.put(each) for each in arguments(m, dtype, m, n)]
        x, y, b, g = arguments(3)
        wide = where.put(data(8, M, 2 * D))
        yield wide[:, ::2], where.put(y), where.put(b), where.put(g)
        yield wide[:, 1:1 + D], where.put(y), where.put(b), where.put(g)
        yield where.put(data(9, D, M)).t(), where.put(y), where.put(b), where.put(g)
        yield where.put(x), where.put(y[:1]).expand(N, D), where.put(b), where.put(g)
        yield where.put(x), where.put(y), where.put(b[:, :1]).expand(N, 2), where.put(g)[0]
        yield where.put(x), where.put(y)[1:], where.put(b)[:-1], where.put(g)
        imaginary = torch.complex(where.put(y), where.put(y)).conj().imag  # negated where it is read
        yield where.put(x), imaginary, where.put(b), where.put(g)
        yield where.put(x), imaginary.as_strided((N, D), (D, 1)), where.put(b), where.put(g)

    cases = list(variants())
    generator = random.Random(4)
    for k in range(4):
        generator.shuffle(cases)
        with Counted() as counted:
            for case in cases:
                same(function(*case), dense(*case))
        assert counted.number >= (len(cases) - 3 if k else 0)
    x, y, b, g = arguments(3)
    with pytest.raises(ValueError, match="rows"):
        function(where.put(x), where.put(y), where.put(b[1:]), where.put(g))
    with pytest.raises(TypeError, match="number type"):
        function(where.put(x), where.put(y), where.put(b.double()), where.put(g))


def test_more_calls_than_are_kept(where):
    function = Genred("x*y", ["x = Vi(3)", "y = Vj(3)"], axis=1)
    y = data(1, N, D)
    on_device = where.put(y)
    for k in range(2):
        for m in range(1, 80):
            x = data(m, m, D)
            same(function(where.put(x), on_device), x.double() * y.double().sum(0))


def test_memory_that_is_shared(where):
    function = Genred("x*y", ["x = Vi(3)", "y = Vj(3)"], axis=1)
    x = where.put(data(1, M, D))
    expected = x.cpu().double() * x.cpu().double().sum(0)
    results = [function(x, x) for _ in range(3)]
    for result in results:
        same(result, expected)
    results[1].zero_()
    same(results[2], expected)
    state = where.put(data(2, M, D) / 5)
    expected = state.cpu().double()
    for _ in range(6):  # a result is the next argument, and the argument is freed
        state = function(state, state)
        state = state / state.norm()
        expected = expected * expected.sum(0)
        expected = expected / expected.norm()
    same(state, expected, 1e-3)


def test_memory_that_changes_hands(where):
    x, y, b, _ = arguments()
    on_device = [where.put(each.clone()) for each in (x, y, b)]
    formula = build(*on_device)

    def check(x):
        wanted = dense(x, y, b, torch.tensor(0.5))
        with Counted() as counted:
            same(formula(), wanted)
        return counted.number

    assert [check(x) for _ in range(4)] == [0, 0, 1, 1]
    on_device[0].mul_(0.5)
    assert check(0.5 * x) == 1
    other = data(7, M, D)
    on_device[0].data = where.put(other.clone())
    assert check(other) == 1
    on_device[0].data = where.put(other.t().contiguous()).t()
    check(other)
    check(other)
    assert check(other) == 1
    on_device[0].data = where.put(data(5, M + 1, D))
    with pytest.raises(ValueError, match="since its LazyTensor was made"):
        formula()
    on_device[0].data = where.put(other.clone())
    assert check(other) == 1
    storage_of(on_device[0]).resize_(0)
    with pytest.raises((ValueError, NotImplementedError, RuntimeError)):
        formula()


def test_gradients_come_and_go(where):
    given = arguments(dtype=torch.float64)
    x, y, b, g = [where.put(each) for each in given]
    function = Genred(GAUSS, ALIASES, axis=1)
    wanted = [each.detach().clone().requires_grad_() for each in given]
    expected = dense(*wanted)
    first = torch.autograd.grad((expected**2).sum(), wanted)
    for round in range(3):
        for each in (x, y, b, g):
            each.requires_grad_(False)
        assert not function(x, y, b, g).requires_grad
        x.requires_grad_()
        with torch.no_grad():
            assert not function(x, y, b, g).requires_grad
        with torch.inference_mode():
            same(function(x, y, b, g), expected, 1e-11)
        result = function(x, y, b, g)
        same(result, expected, 1e-11)
        same(torch.autograd.grad((result**2).sum(), x)[0], first[0], 1e-10)
        b.requires_grad_()
        g.requires_grad_()
        for _ in range(3):
            result = function(x, y, b, g)
            gradients = torch.autograd.grad((result**2).sum(), (g, b, x), retain_graph=True)
            for gradient, k in zip(gradients, (3, 2, 0)):
                same(gradient, first[k], 1e-10)
            same(torch.autograd.grad(result.sum(), b)[0], torch.autograd.grad(dense(*wanted).sum(), wanted[2])[0],
                 1e-10)


def test_repeated_gradients_are_prepared(where):
    """Forward and backward, with cotangents of any strides, of two formulas."""
    given = arguments(dtype=torch.float64)
    on_device = [where.put(each).requires_grad_() for each in given]
    wanted = [each.detach().clone().requires_grad_() for each in given]
    function = Genred(GAUSS, ALIASES, axis=1)
    formula = build(*on_device[:3])
    half = torch.tensor([0.5], dtype=torch.float64)
    for call, expected in ((lambda: function(*on_device), lambda: dense(*wanted)),
                           (formula, lambda: dense(*wanted[:3], half))):
        for k in range(6):
            for each in wanted + on_device:
                each.grad = None
            with Counted() as counted:
                result = call()
                if k % 2:
                    result.sum().backward()  # of cotangents that are one number in memory
                else:
                    result.backward(where.put(data(k, M, 2, dtype=torch.float64)))
            assert k < 4 or counted.number == 2
            same(result, expected(), 1e-11)
            if k % 2:
                expected().sum().backward()
            else:
                expected().backward(data(k, M, 2, dtype=torch.float64))
            for one, other in zip(on_device, wanted):
                assert (one.grad is None) == (other.grad is None)
                if one.grad is not None:
                    assert one.grad.is_contiguous() and one.grad.shape == one.shape
                    same(one.grad, other.grad, 1e-10)


def test_second_derivatives_after_prepared_calls(where):
    given = arguments(dtype=torch.float64)
    on_device = [where.put(each).requires_grad_() for each in given]
    wanted = [each.detach().clone().requires_grad_() for each in given]
    function = Genred(GAUSS, ALIASES, axis=1)

    def derivatives(call, tensors):
        first = torch.autograd.grad((call(*tensors)**2).sum(), tensors, create_graph=True)
        return [*first, *torch.autograd.grad(sum((each**2).sum() for each in first), tensors)]

    expected = derivatives(dense, wanted)
    for _ in range(3):
        torch.autograd.grad((function(*on_device)**2).sum(), on_device)
    for _ in range(2):
        for got, each in zip(derivatives(function, on_device), expected):
            same(got, each, 1e-9)


def test_gradients_of_several_results(where):
    """Of values beside indices, where a result has no cotangent, and of lists of values with an axis of their own."""
    x, y = data(1, M, D, dtype=torch.float64), data(2, N, D, dtype=torch.float64)
    on_device = [where.put(each).requires_grad_() for each in (x, y)]
    wanted = [x.clone().requires_grad_(), y.clone().requires_grad_()]
    pair = Genred("SqDist(x,y)", ALIASES[:2], reduction_op="Min_ArgMin", axis=1)
    list_of = Genred("SqDist(x,y)", ALIASES[:2], reduction_op="KMin", axis=1, opt_arg=3)
    values, indices = distances(*wanted).min(1, keepdim=True)
    first = torch.autograd.grad((values**2).sum(), wanted)
    lists = distances(*wanted).topk(3, dim=1, largest=False)[0]
    second = torch.autograd.grad((lists**3).sum(), wanted)
    for _ in range(4):
        value, index = pair(*on_device)
        assert torch.equal(index.cpu(), indices) and not index.requires_grad
        for got, each in zip(torch.autograd.grad((value**2).sum(), on_device), first):
            same(got, each, 1e-10)
        for got, each in zip(torch.autograd.grad((list_of(*on_device)**3).sum(), on_device), second):
            same(got, each, 1e-10)


def test_indices_of_tensors_with_gradients(where):
    x, y = data(1, M, D), data(2, N, D)
    function = Genred("SqDist(x,y)", ALIASES[:2], reduction_op="ArgMin", axis=1)
    on_device = [where.put(x).requires_grad_(), where.put(y)]
    with Counted() as counted:
        for _ in range(4):
            result = function(*on_device)
            assert not result.requires_grad
            assert torch.equal(result.cpu(), distances(x.double(), y.double()).argmin(1, keepdim=True))
    assert counted.number >= 2


def test_tangents_and_transforms_after_prepared_calls(where):
    given = [where.put(each) for each in arguments(dtype=torch.float64)]
    function = Genred(GAUSS, ALIASES, axis=1)
    for _ in range(3):
        function(*given)
    direction = where.put(data(5, M, D, dtype=torch.float64))
    step = 1e-5
    moved = [dense(given[0] + sign * step * direction, *given[1:]) for sign in (1, -1)]
    expected = (moved[0] - moved[1]) / (2 * step)
    with forward_ad.dual_level():
        result = function(forward_ad.make_dual(given[0], direction), *given[1:])
        same(forward_ad.unpack_dual(result).tangent, expected, 1e-7)
    if PYTORCH_2:
        result = torch.func.jvp(lambda x: function(x, *given[1:]), (given[0],), (direction,))[1]
        same(result, expected, 1e-7)
        stacked = torch.stack([given[0], 2 * given[0]])
        results = torch.func.vmap(lambda x: function(x, *given[1:]))(stacked)
        for result, x in zip(results, (given[0], 2 * given[0])):
            same(result, dense(x, *given[1:]), 1e-11)


def test_keywords_after_prepared_calls(where):
    given = [where.put(each) for each in arguments()]
    function = Genred(GAUSS, ALIASES, axis=1)
    for _ in range(2):
        function(*given)
    out = where.put(torch.zeros(M, 2))
    with Counted() as counted, torch.no_grad():
        assert function(*given, out=out) is out
        same(out, dense(*given))
        same(function(*given, verbose=True), dense(*given))
        with pytest.raises(NotImplementedError, match="ranges"):
            function(*given, ranges=())
    assert counted.number == 0
    for arguments_ in ((), given[:3], [*given, given[0]]):
        with pytest.raises(ValueError, match="4 arrays are needed"):
            function(*arguments_)
    with pytest.raises(TypeError, match="expected one of"):
        function(None, *given[1:])


def test_tensors_of_other_classes(where):
    class Marked(torch.Tensor):
        pass

    given = arguments()
    function = Genred(GAUSS, ALIASES, axis=1)
    on_device = [where.put(each) for each in given]
    for _ in range(2):
        function(*on_device)
    if not (PATH or REAL):
        same(function(on_device[0].as_subclass(Marked), *on_device[1:]).as_subclass(torch.Tensor), dense(*given))
    parameter = torch.nn.Parameter(on_device[0], requires_grad=False)
    with Counted() as counted:
        result = function(parameter, *on_device[1:])
    same(result, dense(*given))
    assert counted.number == 1 and type(result) is torch.Tensor


def test_another_device_is_asked_for(where, monkeypatch):
    """What set_device asks for between calls is done by the next one."""
    if PATH or REAL:
        devices = ("cuda", None, "cuda:0")
        monkeypatch.delenv("KEOPSCL_DEVICE", raising=False)
    else:
        devices = (None, "host")
    given = [where.put(each) for each in arguments()]
    function = Genred(GAUSS, ALIASES, axis=1)
    for device in devices * 2:
        monkeypatch.setattr(contexts, "_default", device)
        numbers = []
        for _ in range(3):
            with Counted() as counted:
                same(function(*given), dense(*given))
            numbers.append(counted.number)
        assert numbers == [0, 1, 1]


def test_threads(where):
    if where.is_real or not PATH:
        count = 4
    else:
        count = 1  # calls on simulated devices are waited for by one thread
    function = Genred(GAUSS, ALIASES, axis=1)
    problems = []
    start = threading.Barrier(count)

    def work(k):
        try:
            cases = [arguments(10 * k + n, torch.float64, M + n, N) for n in range(3)]
            on_device = [[where.put(each).requires_grad_() for each in case] for case in cases]
            start.wait()
            for turn in range(30):
                case, tensors = cases[turn % 3], on_device[turn % 3]
                result = function(*tensors)
                same(result, dense(*case), 1e-11)
                with torch.no_grad():
                    same(function(*tensors), dense(*case), 1e-11)
                (gradient,) = torch.autograd.grad(result.sum(), tensors[2])
                x, y, _, g = [each.double() for each in case]
                same(gradient, torch.exp(-g * distances(x, y)).sum(0)[:, None].expand(N, 2), 1e-10)
        except BaseException as error:  # told by the thread that waits
            problems.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    with Counted() as counted:  # contexts of threads that have ended are not used
        given = [where.put(each) for each in arguments(0, torch.float64, M, N)]
        for _ in range(3):
            same(function(*given), dense(*given), 1e-11)
    assert counted.number >= 2


def test_nothing_is_kept(where):
    """What calls are prepared from lives no longer than what they are calls of."""
    gc.collect()
    gc.disable()
    try:
        given = [where.put(each).requires_grad_() for each in arguments()]
        function = Genred(GAUSS, ALIASES, axis=1)
        for _ in range(4):
            function(*given).sum().backward()
        with torch.no_grad():
            function(*given)
        formula = build(*given[:3])
        for _ in range(4):
            formula().sum().backward()
        for each in given:
            each.grad = None
        references = [weakref.ref(each) for each in given] + [weakref.ref(function)]
        del given, function, formula, each
        assert [reference() for reference in references] == [None] * 5
    finally:
        gc.enable()


# ---- Cards -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def simulated(where):
    if where.is_real or not PATH:
        pytest.skip("of a simulated driver")
    return where


def test_streams(simulated):
    """Calls on two streams in turn have a context each."""
    import ctypes

    context, stream = ctypes.c_void_p(), ctypes.c_void_p()
    library = simulated.library
    assert library.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0) == 0
    assert library.cuCtxPushCurrent_v2(context) == 0
    assert library.cuStreamCreate(ctypes.byref(stream), 1) == 0
    function = Genred(GAUSS, ALIASES, axis=1)
    numbers = []
    for turn in range(8):
        simulated.stream = stream.value if turn % 2 else 0
        given = arguments(turn)
        with Counted() as counted:
            same(function(*given), dense(*given))
        numbers.append(counted.number)
    assert numbers == [0, 0, 1, 1, 1, 1, 1, 1]
    assert len(_cuda._streams.known) == 2
    _cuda._streams.known.clear()
    gc.collect()  # their contexts are gone: the next calls make others
    given = arguments(9)
    for _ in range(2):
        same(function(*given), dense(*given))
    assert library.cuCtxPopCurrent_v2(ctypes.byref(context)) == 0


def test_two_cards_in_turn(where):
    if where.is_real and torch.cuda.device_count() < 2:
        pytest.skip("there is one CUDA device")
    if not where.is_real and not PATH:
        pytest.skip("of cards")
    function = Genred(GAUSS, ALIASES, axis=1)
    first, second = [where.put(each) for each in arguments(1)], [each.clone() for each in arguments(2)]
    if where.is_real:
        second = [each.to("cuda:1") for each in second]
    else:
        where.on_second += [storage_of(each) for each in second]
    numbers = []
    for given in (first, second) * 3 if where.is_real else (first,) * 3:  # results are on the simulated card 0
        with Counted() as counted:
            result = function(*given)
        same(result, dense(*given))
        assert not where.is_real or result.device == given[0].device
        numbers.append(counted.number)
    assert sum(numbers) == len(numbers) * 2 // 3
    for mixed in ([first[0], *second[1:]], [second[0], *first[1:]]):
        with Counted() as counted, pytest.raises(ValueError, match="all on one device"):
            function(*mixed)
        assert counted.number == 0


def test_no_memory(simulated, monkeypatch):
    """PyTorch's exception, whoever asks for the memory; the call after it is right."""
    x, y = data(1, M, D), data(2, 5000, D)
    function = Genred("Exp(x|y)*y", ALIASES[:2], axis=1)
    expected = torch.exp(x.double() @ y.double().t()) @ y.double()
    for _ in range(2):
        same(function(x, y), expected, 1e-4)
    true = _cuda.allocate

    def refuse(size, number, stream):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory, as a test")

    def interrupt(size, number, stream):
        raise KeyboardInterrupt

    for raises, error in ((refuse, torch.cuda.OutOfMemoryError), (interrupt, KeyboardInterrupt)):
        monkeypatch.setattr(_cuda, "allocate", raises)
        longer = data(3, 30000, D)
        with pytest.raises(error):
            for size in (5000, 30000):  # temporaries of a size that no call has had
                function(x, longer[:size])
                function(data(4, 40 * M, D), longer[:size])
        monkeypatch.setattr(_cuda, "allocate", true)
        same(function(x, y), expected, 1e-4)
        same(function(x, y), expected, 1e-4)


def test_graphs_have_numbers_of_their_own(simulated, monkeypatch):
    """The numbers of a captured call are put into memory by the graph: calls that are not captured read others."""
    true = _cuda.Stream.filled

    def filled(place, values, code):
        made = true(place, values, code)
        if simulated.is_captured:
            made[2].zero_()  # what is there before the graph is launched
        return made

    monkeypatch.setattr(_cuda.Stream, "filled", filled)
    monkeypatch.setattr(_cuda, "is_capturing", lambda card: simulated.is_captured)
    x, y, b, _ = arguments()
    formula = build(x, y, b, 0.25)
    expected = dense(x, y, b, torch.tensor(0.25))
    for captures in (True, False, False, True, False, False):
        simulated.is_captured = captures
        with Counted() as counted:
            result = formula()
        if captures:
            assert counted.number == 0
            simulated.is_captured = False
            lib.kcl_context_finish(_cuda.current_stream(0).context)
        else:
            same(result, expected)
    assert counted.number == 1
