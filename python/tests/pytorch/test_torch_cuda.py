# SPDX-License-Identifier: MIT
"""Tensors on a CUDA device, real or simulated (see cards.py), against dense results of PyTorch in float64."""
import ctypes
import gc
import threading
import warnings

import numpy as np
import pytest
from cards import PATH, REAL, card, storage_of  # noqa: F401

torch = pytest.importorskip("torch")

import keopscl  # noqa: E402
from keopscl._core import cards, contexts  # noqa: E402
from keopscl.torch import Genred, LazyTensor, Pm, Vi, Vj, _cuda, index_i, index_j, where  # noqa: E402

if not REAL and not PATH:
    pytest.skip("PyTorch finds no CUDA device", allow_module_level=True)

@pytest.fixture
def real(card):
    if not card.is_real:
        pytest.skip("of a real driver")
    return card


M, N, D, BATCH = 13, 17, 3, 2

TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-11, torch.complex64: 2e-5, torch.complex128: 1e-11}


def data(seed, *shape, dtype=torch.float32):
    """Numbers on the CPU."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def points(dtype, *batch):
    """x, y and b on the CPU."""
    return data(1, *batch, M, D, dtype=dtype), data(2, *batch, N, D, dtype=dtype), data(3, *batch, N, 2, dtype=dtype)


def same(result, expected, dtype):
    """A result on the card, and one in float64 or int64 on the CPU."""
    assert result.shape == expected.shape
    if REAL:
        assert result.is_cuda
    if expected.dtype == torch.int64:
        assert result.dtype == torch.int64
        assert torch.equal(result.cpu(), expected)
        return
    wanted = {torch.float64: dtype, torch.complex128: torch.complex64 if dtype == torch.float32 else torch.complex128}
    assert result.dtype == wanted[expected.dtype]
    scale = max(1.0, float(expected.detach().abs().max()) if expected.numel() else 1.0)
    torch.testing.assert_close(result.detach().cpu().to(expected.dtype), expected.detach(), rtol=TOLERANCE[dtype],
                               atol=TOLERANCE[dtype] * scale)


def lazy(x):
    return LazyTensor(x[..., :, None, :])


def lazy_j(y):
    return LazyTensor(y[..., None, :, :])


def distances(x, y):
    return ((x[..., :, None, :] - y[..., None, :, :]) ** 2).sum(-1)


def complex_of(x):
    return torch.complex(x, x.roll(1, -1))


# Name: what LazyTensors compute from x, y, b, and the same from tensors in float64.
FORMULAS = {
    "gauss": (lambda x, y, b: (-lazy(x).sqdist(lazy_j(y))).exp() @ b, lambda x, y, b: torch.exp(-distances(x, y)) @ b),
    "vector": (lambda x, y, b: ((lazy(x) - lazy_j(y)) * (lazy(x) | lazy_j(y))).sum(axis=x.dim() - 1),
               lambda x, y, b: ((x[..., :, None, :] - y[..., None, :, :])
                                * (x[..., :, None, :] * y[..., None, :, :]).sum(-1, keepdim=True)).sum(-2)),
    "over i": (lambda x, y, b: (lazy(x) * lazy_j(y)).sum(axis=x.dim() - 2),
               lambda x, y, b: (x[..., :, None, :] * y[..., None, :, :]).sum(-3)),
    "parameters": (lambda x, y, b: (Pm([0.5, -0.0, 2.0]) * lazy(x) * lazy_j(y) / 3.0 + 1).sum(axis=x.dim() - 1),
                   lambda x, y, b: (torch.tensor([0.5, 0.0, 2.0], dtype=torch.float64) * x[..., :, None, :]
                                    * y[..., None, :, :] / 3 + 1).sum(-2)),
    "logsumexp": (lambda x, y, b: (-lazy(x).sqdist(lazy_j(y))).logsumexp(axis=x.dim() - 1),
                  lambda x, y, b: (-distances(x, y)).logsumexp(-1, keepdim=True)),
    "argmin": (lambda x, y, b: lazy(x).sqdist(lazy_j(y)).argmin(axis=x.dim() - 1),
               lambda x, y, b: distances(x, y).argmin(-1, keepdim=True)),
    "min": (lambda x, y, b: lazy(x).sqdist(lazy_j(y)).min(axis=x.dim() - 1),
            lambda x, y, b: distances(x, y).min(-1, keepdim=True)[0]),
    "argkmin": (lambda x, y, b: lazy(x).sqdist(lazy_j(y)).argKmin(3, axis=x.dim() - 1),
                lambda x, y, b: distances(x, y).topk(3, dim=-1, largest=False)[1]),
    "complex": (lambda x, y, b: (LazyTensor(complex_of(x)[..., :, None, :]) * lazy_j(y)).sum(axis=x.dim() - 1),
                lambda x, y, b: (complex_of(x)[..., :, None, :] * y[..., None, :, :]).sum(-2)),
    "transposed": (lambda x, y, b: (-lazy(y).sqdist(lazy_j(x))).exp().T @ b,
                   lambda x, y, b: torch.exp(-distances(x, y)) @ b),
    "twice": (lambda x, y, b: (lazy(x).sqdist(lazy_j(y)).sum(axis=x.dim() - 1, call=False).log()
                               * (lazy(x) | lazy_j(y))).sum(axis=x.dim() - 1),
              lambda x, y, b: (distances(x, y).sum(-1, keepdim=True).log()[..., None]
                               * (x[..., :, None, :] * y[..., None, :, :]).sum(-1, keepdim=True)).sum(-2)),
    "dense": (lambda x, y, b: lazy(x).sqdist(lazy_j(y)).dense(), lambda x, y, b: distances(x, y)),
    "entries": (lambda x, y, b: lazy(x).sqdist(lazy_j(y))[..., [2, 0, 2], [1, 1, 3]],
                lambda x, y, b: distances(x, y)[..., [2, 0, 2], [1, 1, 3]]),
    "block": (lambda x, y, b: lazy(x).sqdist(lazy_j(y)).block([4, 1], slice(None, None, 3)),
              lambda x, y, b: distances(x, y)[..., [4, 1], :][..., ::3]),
    "diag": (lambda x, y, b: (lazy(x) * lazy_j(2 * x)).sum().diag(), lambda x, y, b: (2 * x * x).sum(-1)),
}


# A simulated card computes as the CPU does, whose results other tests look at: a few kernels are enough there.
DTYPES = [torch.float32, torch.float64] if REAL else [torch.float32]
DIFFERENTIATED = ["gauss", "parameters"]
if REAL:
    DIFFERENTIATED += ["vector", "logsumexp", "min", "complex", "twice", "dense", "entries"]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", FORMULAS)
def test_formulas(card, name, dtype):
    formula, dense = FORMULAS[name]
    for batch in ((), (BATCH,)):
        if batch and name == "block":
            continue
        given = points(dtype, *batch)
        expected = dense(*[each.double() for each in given])
        same(formula(*[card.put(each) for each in given]), expected, dtype)


@pytest.mark.parametrize("name", DIFFERENTIATED)
def test_gradients_to_second_order(card, name):
    formula, dense = FORMULAS[name]
    given = points(torch.float64)

    def derivatives(function, given):
        given = [each.clone().requires_grad_() for each in given]
        result = function(*given)
        result = torch.view_as_real(result) if result.is_complex() else result
        first = torch.autograd.grad((result**2).sum(), given, create_graph=True, allow_unused=True)
        found = [k for k, each in enumerate(first) if each is not None]
        second = torch.autograd.grad(sum((first[k] ** 2).sum() for k in found), given, allow_unused=True)
        return [each for each in (*first, *second)]

    for got, wanted in zip(derivatives(formula, [card.put(each) for each in given]), derivatives(dense, given)):
        assert (got is None) == (wanted is None)
        if got is not None:
            same(got, wanted, torch.float64)


def test_gradcheck(real):
    card = real
    x, y, b = [card.put(each[:4]).requires_grad_() for each in points(torch.float64)]
    p = card.put(torch.tensor([0.7], dtype=torch.float64)).requires_grad_()
    function = Genred("Exp(-p*SqDist(x,y))*b", ["x = Vi(3)", "y = Vj(3)", "b = Vj(2)", "p = Pm(1)"], axis=1)
    assert torch.autograd.gradcheck(function, (x, y, b, p))
    assert torch.autograd.gradgradcheck(function, (x, y, b, p))


def test_genred(card):
    x, y, b = points(torch.float32)
    on_card = [card.put(each) for each in (x, y, b)]
    g = torch.tensor([0.5])
    for backend, device_id in (("auto", -1), ("GPU", -1), ("GPU_1D", 0), ("GPU_2D_device", -1)):
        function = Genred("Exp(-g*SqDist(x,y))*b", ["x = Vi(3)", "y = Vj(3)", "b = Vj(2)", "g = Pm(1)"], axis=1)
        result = function(*on_card, card.put(g), backend=backend, device_id=device_id)
        same(result, torch.exp(-0.5 * distances(x.double(), y.double())) @ b.double(), torch.float32)
    nearest = Genred("SqDist(x,y)", ["x = Vi(3)", "y = Vj(3)"], reduction_op="ArgKMin", axis=1, opt_arg=2)
    same(nearest(*on_card[:2]), distances(x.double(), y.double()).topk(2, dim=1, largest=False)[1], torch.float32)


def test_many_tensors(card):
    """More than there are descriptions of memory that calls keep."""
    y = data(2, N, D)
    on_card = card.put(y)
    function = Genred("SqDist(x,y)", ["x = Vi(3)", "y = Vj(3)"], axis=1)
    tensors = [data(k, M, D) for k in range(300)]
    put = [card.put(x) for x in tensors]
    for _ in range(2):
        results = [function(x, on_card) for x in put]
        for x, result in zip(tensors[::30], results[::30]):
            same(result, distances(x.double(), y.double()).sum(1, keepdim=True), torch.float32)


def test_many_arguments(card):
    numbers = [card.put(torch.full((1,), float(k))) for k in range(40)]
    function = Genred("(" + "+".join(f"p{k}" for k in range(40)) + ")*x*y",
                      ["x = Vi(3)", "y = Vj(3)"] + [f"p{k} = Pm(1)" for k in range(40)], axis=1)
    x, y = data(1, M, D), data(2, N, D)
    for _ in range(2):
        result = function(card.put(x), card.put(y), *numbers)
        same(result, sum(range(40)) * x.double() * y.double().sum(0), torch.float32)


def test_strides_and_offsets(card):
    wide = card.put(data(5, 4 * M + 1, 2 * D + 1))
    flat = card.put(data(6, 1 + M * D))
    y = card.put(data(2, N, D))
    copies = wide.cpu(), flat.cpu(), y.cpu().double()
    for view in (lambda w, f: w[::4, ::2][:M, :D], lambda w, f: f[1:].view(M, D), lambda w, f: w[1 : M + 1, 1 : D + 1],
                 lambda w, f: f[1:].view(D, M).T, lambda w, f: w[:1, :D].expand(M, D)):
        x, expected = view(wide, flat), view(*copies[:2]).double()
        same(Vi(x).sqdist(Vj(y)).sum(axis=1), distances(expected, copies[2]).sum(1, keepdim=True), torch.float32)
    out = card.put(torch.zeros(M, 2))
    result = (Vi(flat[1:].view(M, D)) | Vj(y)).sum(axis=1, out=out[:, 1:])
    assert result.data_ptr() == out[:, 1:].data_ptr()
    expected = torch.zeros(M, 2, dtype=torch.float64)
    expected[:, 1] = (copies[1][1:].view(M, D).double() @ copies[2].T).sum(1)
    same(out, expected, torch.float32)
    x = card.put(data(7, N, D))
    before = x.cpu().double()
    (Vi(x) * Vj(y)).sum(axis=1, out=x)  # a result in the place of an argument
    same(x, before * copies[2].sum(0), torch.float32)


def test_no_rows(card):
    x, y = card.put(torch.empty(0, D)), card.put(data(2, N, D))
    same((Vi(x) * Vj(y)).sum(axis=1), torch.empty(0, D, dtype=torch.float64), torch.float32)
    same((Vi(y) * Vj(x)).sum(axis=1), torch.zeros(N, D, dtype=torch.float64), torch.float32)
    same(Vi(x).sqdist(Vj(y)).argmin(axis=1), torch.empty(0, 1, dtype=torch.int64), torch.float32)


def test_indices_of_the_card(card):
    table, x = data(8, 5, D), data(1, M, D)
    index = torch.tensor([k % 5 for k in range(M)])
    rows = Vj(card.put(table)).take(Vi(card.put(index[:, None])))
    same((rows * Vi(card.put(x)))(), table[index].double() * x.double(), torch.float32)
    K = (Vi(card.put(x)) | Vj(card.put(x)))
    dense = x.double() @ x.double().T
    same(K[:, card.put(torch.tensor([3, 0]))], dense[:, [3, 0]], torch.float32)
    mask = where(index_j() <= index_i(), K, 0.0)
    same(mask.sum(axis=1), dense.tril().sum(1, keepdim=True), torch.float32)


def test_signs_of_zero(card):
    x, one = card.put(torch.ones(2, 1)), card.put(torch.ones(1, 1))
    for zero in (0.0, -0.0, 0.0):
        result = (Pm([zero]) * Vi(x) * Vj(one)).sum(axis=1)
        assert torch.signbit(result.cpu()).tolist() == [[np.signbit(zero)]] * 2 or zero == 0.0
        angle = Pm([zero]).atan2(-1 * Vi(x)) + 0 * Vj(one)
        same(angle.sum(axis=1), torch.full((2, 1), np.arctan2(zero, -1.0), dtype=torch.float64), torch.float32)


def test_wider_accumulators(card):
    x, y, _ = points(torch.float32)
    result = (Vi(card.put(x)) | Vj(card.put(y))).exp().sum(axis=1, dtype_acc="float64")
    same(result, (x.double() @ y.double().T).exp().sum(1, keepdim=True), torch.float32)


def test_tensors_of_several_devices(card):
    x, y = card.put(data(1, M, D)), data(2, N, D)
    if not card.is_real:
        y = _cuda.to_host(y)
    with pytest.raises(ValueError, match=r"shape \(13, 3\) is on .* and the tensor of shape \(17, 3\) on cpu"):
        (Vi(x) * Vj(y)).sum(axis=1)
    with pytest.raises(ValueError, match=r"\(17, 3\) is on cpu and the tensor of shape \(13, 3\)"):
        Genred("x*y", ["y = Vi(3)", "x = Vj(3)"])(y, x)
    product = Genred("x*y", ["x = Vi(3)", "y = Vj(3)"], axis=1)
    there = card.put(data(2, N, D))
    for arguments in ((x, there), (x, there), (x, y), (y, there), (x, there)):
        if any(each is y for each in arguments):
            with pytest.raises(ValueError, match="all on one device"):
                product(*arguments)
        else:
            same(product(*arguments), x.cpu().double() * there.cpu().double().sum(0), torch.float32)
    with pytest.raises(ValueError, match="all on one device"):
        (Vi(x) * Vj(y)).dense()
    with pytest.raises(ValueError, match="all on one device"):
        out = torch.empty(M, D)
        (Vi(x) * Vj(x)).sum(axis=1, out=out if card.is_real else _cuda.to_host(out))
    with pytest.raises(TypeError, match="number types"):
        (Vi(x) * Vj(card.put(data(2, N, D, dtype=torch.float64)))).sum(axis=1)


def second(card, tensor):
    """The tensor on another card."""
    if not card.is_real:
        made = tensor.clone()
        card.on_second.append(storage_of(made))
        return made
    if torch.cuda.device_count() < 2:
        pytest.skip("there is one CUDA device")
    return tensor.to("cuda:1")


def test_two_cards(card):
    x, y = data(1, M, D), data(2, N, D)
    other = second(card, x)
    with pytest.raises(ValueError, match="all on one device"):
        (Vi(other) * Vj(card.put(y))).sum(axis=1)
    product = Genred("x*y", ["x = Vi(3)", "y = Vj(3)"], axis=1)
    product(card.put(x), card.put(y))
    product(card.put(x), card.put(y))
    with pytest.raises(ValueError, match="all on one device"):
        product(card.put(x), second(card, y))
    if card.is_real:
        result = (Vi(other) * Vj(second(card, y))).sum(axis=1)
        assert result.device == torch.device("cuda", 1)
        same(result, x.double() * y.double().sum(0), torch.float32)


def test_devices_that_are_asked_for(card, monkeypatch):
    x, y = data(1, M, D), data(2, N, D)
    K = Vi(card.put(x)) | Vj(card.put(y))
    expected = (x.double() @ y.double().T).sum(1, keepdim=True)
    for name in ("cuda", "CUDA:0", "gpu", None):
        monkeypatch.delenv("KEOPSCL_DEVICE", raising=False)
        monkeypatch.setattr(contexts, "_default", name)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            same(K.sum(axis=1), expected, torch.float32)
    monkeypatch.setattr(contexts, "_default", "cuda:1")
    with pytest.raises(ValueError, match="cuda:0 .* cuda:1"):
        K.sum(axis=1)


def test_another_device_is_asked_for(card, monkeypatch):
    monkeypatch.setattr(contexts, "_default", "host")
    x, y = data(1, M, D), data(2, N, D)
    on_card = card.put(x).requires_grad_(card.is_real)
    K = Vi(on_card) | Vj(card.put(y))
    expected = (x.double() @ y.double().T).sum(1, keepdim=True)
    with pytest.warns(_cuda.CopyWarning, match='"host" is asked for'):
        result = K.sum(axis=1)
    same(result, expected, torch.float32)
    if card.is_real:  # of a simulated card the copies have no gradients
        (gradient,) = torch.autograd.grad(result.sum(), [on_card])
        same(gradient, y.double().sum(0).expand(M, D), torch.float32)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("error")
        out = card.put(torch.empty(M, 1))
        K.sum(axis=1, out=out)
        same(out, expected, torch.float32)
        same(K.argmin(axis=1), (x.double() @ y.double().T).argmin(1, keepdim=True), torch.float32)
        same(K.dense(), x.double() @ y.double().T, torch.float32)
    monkeypatch.setattr(contexts, "_default", "cuda")
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("error")
        same(K.sum(axis=1, backend="CPU"), expected, torch.float32)


def test_a_card_that_cannot_be_used(card, monkeypatch):
    monkeypatch.setattr(cards, "_problems", {0: keopscl.DeviceError("there is no compiler")})
    monkeypatch.setattr(contexts, "_default", None)
    monkeypatch.setenv("KEOPSCL_DEVICE", "")
    x, y = data(1, M, D), data(2, N, D)
    with pytest.warns(_cuda.CopyWarning, match="there is no compiler"):
        result = (Vi(card.put(x)) | Vj(card.put(y))).sum(axis=1)
    same(result, (x.double() @ y.double().T).sum(1, keepdim=True), torch.float32)


class State(ctypes.Structure):
    """The beginning of fake_cuda_state."""

    _fields_ = [("devices", ctypes.c_int), ("memory", ctypes.c_size_t), ("delay", ctypes.c_int),
                ("envreg", ctypes.c_int)]


def test_programs_that_run_by_opencl_alone(card, monkeypatch):
    if card.is_real:
        pytest.skip("of a simulated driver")
    state = State.in_dll(card.library, "fake_cuda")
    monkeypatch.setattr(state, "envreg", 17)
    monkeypatch.setattr(contexts, "_default", None)
    monkeypatch.setenv("KEOPSCL_DEVICE", "")
    x, y = data(1, M, D), data(2, N, D)

    def compute():
        return (Vi(card.put(x)) * Vj(card.put(y)).tanh()).sum(axis=1)

    expected = x.double() * y.double().tanh().sum(0)
    with pytest.warns(_cuda.CopyWarning, match="envreg17"):
        same(compute(), expected, torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same(compute(), expected, torch.float32)


def test_other_vendors(card, monkeypatch):
    monkeypatch.setattr(_cuda, "is_of_nvidia", lambda number: False)
    monkeypatch.setattr(contexts, "_default", "host")
    x, y = data(1, M, D), data(2, N, D)
    with pytest.warns(_cuda.CopyWarning, match="pinned memory"):
        same((Vi(card.put(x)) * Vj(card.put(y))).sum(axis=1), x.double() * y.double().sum(0), torch.float32)


def test_memory_is_pytorchs(card):
    x, y = card.put(data(1, 1000, D)), card.put(data(2, 3000, D))
    K = (-Vi(x).sqdist(Vj(y))).exp()
    if card.is_real:
        K.sum(axis=1)
        held = torch.cuda.memory_allocated()
        for size in range(1000, 3000, 100):
            x = card.put(data(1, size, D))
            (-Vi(x).sqdist(Vj(y))).exp().sum(axis=1)
        del x
        gc.collect()
        assert torch.cuda.memory_allocated() < held + (8 << 20)  # what waits for the next call is little
        before = torch.cuda.memory_stats()["allocation.all.allocated"]
        (-Vi(y).sqdist(Vj(y)) * 1.5).exp().sum(axis=1)
        assert torch.cuda.memory_stats()["allocation.all.allocated"] >= before + 2  # the result, and temporaries
    else:
        K.sum(axis=1)
        assert card.allocations
        held = sum(memory.numel() for memory, _ in card.temporaries.values())
        assert held < 1 << 21


def test_no_memory_is_pytorchs_exception(card, monkeypatch):
    x, y = data(1, M, D), data(2, 5000, D)
    on_card = [card.put(each) for each in (x, y)]
    true, asked = _cuda.allocate, []

    def refuse(size, number, stream):
        asked.append(size)
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate as a test")

    def compute():
        return (Vi(on_card[0]) * Vj(on_card[1]) / 7.25).sum(axis=1)

    _cuda._streams.known.clear()
    monkeypatch.setattr(_cuda, "allocate", refuse)
    with pytest.raises(torch.cuda.OutOfMemoryError, match="Tried to allocate as a test"):
        compute()
    assert asked
    monkeypatch.setattr(_cuda, "allocate", true)
    same(compute(), x.double() * y.double().sum(0) / 7.25, torch.float32)
    _cuda._streams.known.clear()

    def interrupt(size, number, stream):
        raise KeyboardInterrupt

    monkeypatch.setattr(_cuda, "allocate", interrupt)
    with pytest.raises(KeyboardInterrupt):
        compute()
    monkeypatch.setattr(_cuda, "allocate", true)
    same(compute(), x.double() * y.double().sum(0) / 7.25, torch.float32)
    if card.is_real:
        long = card.put(data(3, 2_000_000, 1))
        with pytest.raises(torch.cuda.OutOfMemoryError):
            (Vi(long) * Vj(long)).dense()
        same(compute(), x.double() * y.double().sum(0) / 7.25, torch.float32)


def test_calls_are_shown(card, capsys):
    x = card.put(data(1, M, D))
    same((Vi(x) * Vj(x)).sum(axis=1, verbose=True), x.cpu().double() * x.cpu().double().sum(0), torch.float32)


def test_what_is_run(card):
    x = card.put(data(1, M, D))
    K = Vi(x) | Vj(x)
    assert "schedule" in K.plan() and "kernel" in K.kernel()
    assert "(13, 13)" in repr(K)


def test_threads(card):
    x, y, _ = points(torch.float32)
    expected = x.double() * y.double().sum(0)
    problems = []

    def work(k):
        try:
            a, b = card.put(x), card.put(y)
            for _ in range(20):
                if card.is_real:
                    stream = torch.cuda.Stream()
                    stream.wait_stream(torch.cuda.current_stream())
                    with torch.cuda.stream(stream):
                        result = (Vi(a) * Vj(b) * float(k)).sum(axis=1)
                    stream.synchronize()
                else:
                    result = (Vi(a) * Vj(b) * float(k)).sum(axis=1)
                same(result, k * expected, torch.float32)
        except BaseException as error:  # told by the thread that waits
            problems.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(3 if card.is_real else 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems


@pytest.mark.parametrize("short", [True, False])
def test_a_graph_of_a_call(card, short):
    """Calls that are captured take no memory that others may use, and leave none behind. Long distances too, whose form
    the card decides."""
    if card.is_real:
        pytest.skip("of a simulated driver")

    def driver(name, *arguments):
        assert getattr(card.library, name)(*arguments) == 0

    context, stream, graph, executable = (ctypes.c_void_p() for _ in range(4))
    driver("cuDevicePrimaryCtxRetain", ctypes.byref(context), 0)
    driver("cuCtxPushCurrent_v2", context)
    driver("cuStreamCreate", ctypes.byref(stream), 1)
    card.stream = stream.value
    x, y = (data(1, 300, D), data(2, 4000, D)) if short else (data(1, 1024, 48), data(2, 16384, 48))

    def compute():
        if not short:
            return (-Vi(x).sqdist(Vj(y)) / 96.0).exp().sum(axis=1)
        return ((Vi(x) | Vj(y)) * Pm([0.5, 2.0])).sum(axis=1)

    def expected():
        if not short:
            return torch.exp(-torch.cdist(x.double(), y.double()) ** 2 / 96).sum(1, keepdim=True)
        return (x.double() @ y.double().sum(0))[:, None] * torch.tensor([0.5, 2.0], dtype=torch.float64)

    same(compute(), expected(), torch.float32)
    allocations = card.allocations
    driver("cuStreamBeginCapture_v2", stream, 0)
    card.is_captured = True
    result = compute()
    driver("cuStreamEndCapture", stream, ctypes.byref(graph))
    assert card.allocations > allocations and not card.temporaries
    driver("cuGraphInstantiateWithFlags", ctypes.byref(executable), graph, ctypes.c_ulonglong(0))
    for scale in (2.0, 3.0):
        x.mul_(scale)
        driver("cuGraphLaunch", executable, stream)
        driver("cuStreamSynchronize", stream)
        same(result, expected(), torch.float32)
    card.is_captured = False
    driver("cuGraphExecDestroy", executable)
    driver("cuGraphDestroy", graph)
    driver("cuCtxPopCurrent_v2", ctypes.byref(context))


# ---- Real cards only: streams, order, graphs -------------------------------------------------------------------------


@pytest.mark.parametrize("rows, dim", [(500, D), (4200, 64)])
def test_nobody_waits(real, rows, dim):
    x, y = real.put(data(1, rows, dim)).requires_grad_(), real.put(data(2, rows, dim))

    def step():
        result = ((-Vi(x).sqdist(Vj(y)) / (0.2 * dim)).exp() * Pm([1.5, 2.5, 3.5])).sum(axis=1)
        return torch.autograd.grad(result.sum(), [x])

    step()
    torch.cuda.synchronize()
    torch.cuda._sleep(2_000_000_000)  # about a second
    step()
    assert not torch.cuda.current_stream().query()
    torch.cuda.synchronize()


def test_streams_in_turn(real):
    """Each result is the next argument, on the other stream; events alone keep the order."""
    streams = [torch.cuda.Stream(), torch.cuda.Stream()]
    y = real.put(data(2, 400, 2, dtype=torch.float64))
    start = real.put(data(1, 300, 2, dtype=torch.float64))
    torch.cuda.synchronize()

    def step(x, dense):
        if dense:
            K = torch.exp(-distances(x, y))
            return (K @ y) / K.sum(1, keepdim=True)
        K = (-Vi(x).sqdist(Vj(y))).exp()
        return (K * Vj(y)).sum(axis=1) / K.sum(axis=1)

    x = expected = start
    for k in range(1000):
        stream, other = streams[k % 2], streams[1 - k % 2]
        stream.wait_stream(other)
        with torch.cuda.stream(stream):
            if k % 50 == 0:
                torch.cuda._sleep(1_000_000)
            x.record_stream(stream)
            x = step(x, False) + 0.01 * start
            if k % 100 == 99:
                stream.synchronize()
                # A step of dense matrices from the same point, so that rounding does not grow.
                assert torch.isfinite(x).all()
    torch.cuda.synchronize()
    for k in range(1000):
        expected = step(expected, True) + 0.01 * start
    torch.testing.assert_close(x, expected, rtol=1e-9, atol=1e-9)


def test_tensors_that_are_freed_while_they_are_used(real):
    y = real.put(data(2, 20000, D))
    total = y.double().sum(0)
    for k in range(50):
        x = torch.full((20000, D), float(k), device=real.device)
        result = (Vi(x) * Vj(y)).sum(axis=1)
        del x
        x = torch.full((20000, D), -1.0, device=real.device)  # most likely in the same memory
        torch.testing.assert_close(result[::1000].double(), (k * total).expand(20, D), rtol=1e-4, atol=1e-2 * (k + 1))


@pytest.mark.parametrize("rows, columns, dim, width", [(500, 700, D, 0.9), (4200, 4100, 64, 8.0)])
def test_a_graph_of_a_training_step(real, rows, columns, dim, width):
    y, b = real.put(data(2, columns, dim)), real.put(data(3, columns, 1))
    x = real.put(data(1, rows, dim)).requires_grad_()
    target = real.put(data(4, rows, 1))
    sigma = torch.full((1,), width, device=real.device)

    def step():
        K = (-Vi(x).sqdist(Vj(y)) / (2.0 * Pm(sigma) ** 2)).exp()
        loss = ((K @ b - target) ** 2).mean()
        (gradient,) = torch.autograd.grad(loss, [x])
        with torch.no_grad():
            x.sub_(0.5 * gradient)
        return loss

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    start = x.detach().clone()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = step()
    captured = []
    with torch.no_grad():
        x.copy_(start)
    for _ in range(5):
        graph.replay()
        captured.append(float(loss))
        # Calls between replays, of other sizes, must not meet the memory of the graph.
        (-Vi(y).sqdist(Vj(y)) / 3.0).exp().sum(axis=1)
    after = x.detach().clone()
    with torch.no_grad():
        x.copy_(start)
    eager = [float(step()) for _ in range(5)]
    assert captured == pytest.approx(eager, rel=1e-5) and captured[-1] < captured[0]
    torch.testing.assert_close(after, x.detach(), rtol=1e-4, atol=1e-5)


def test_backward_on_the_stream_of_the_call(real):
    x, y = real.put(data(1, 300, D, dtype=torch.float64)), real.put(data(2, 300, D, dtype=torch.float64))
    expected = torch.autograd.grad(torch.exp(-distances(x.requires_grad_(), y)).sum(), [x])[0]
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    for _ in range(20):
        with torch.cuda.stream(stream):
            result = (-Vi(x).sqdist(Vj(y))).exp().sum(axis=1).sum()
        (gradient,) = torch.autograd.grad(result, [x])  # PyTorch waits for the stream
        torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-9)
