# SPDX-License-Identifier: MIT
"""First and second derivatives of every method, against finite differences in float64."""
import os
import random

import pytest

torch = pytest.importorskip("torch")

from torch.autograd import gradcheck, gradgradcheck  # noqa: E402

import keopscl  # noqa: E402
from keopscl._core import contexts  # noqa: E402
from keopscl.torch import ComplexLazyTensor, LazyTensor, index_i, index_j  # noqa: E402

# Formulas of x_i and y_j with two components each, between 0.2 and 0.9, and none of the components equal.
ARITHMETIC = {
    "+": lambda x, y: x + y, "-": lambda x, y: x - y, "*": lambda x, y: x * y, "/": lambda x, y: x / y,
    "2-": lambda x, y: 2 - x * y,
    "1/": lambda x, y: 1 / (x + y), "0.5/": lambda x, y: 0.5 / (x + y), "neg": lambda x, y: -(x * y),
    "pos": lambda x, y: +(x * y),
    "abs()": lambda x, y: abs(x - y), "**2": lambda x, y: (x - y) ** 2, "**3": lambda x, y: (x - y) ** 3,
    "**0.5": lambda x, y: (x + y) ** 0.5,
    "**-0.5": lambda x, y: (x + y) ** -0.5, "**": lambda x, y: x**y, "2**": lambda x, y: 2.0**(x * y),
    "|": lambda x, y: x | y, "@": lambda x, y: x * y[0], "[]": lambda x, y: (x * y)[1],
    "[:]": lambda x, y: (x * y)[::-1], "<": lambda x, y: (x < y) * x * y, "<=": lambda x, y: (x <= y) * x * y,
    ">": lambda x, y: (x > y) * x * y, ">=": lambda x, y: (x >= y) * x * y, "==": lambda x, y: (x == y) * x + y,
    "!=": lambda x, y: (x != y) * x * y, "&": lambda x, y: ((x < y) & (x < 0.5)) * x * y,
    "~": lambda x, y: (~(x < y)) * x * y,
}

METHODS = {
    "abs": lambda x, y: (x - y).abs(), "acos": lambda x, y: (x * y).acos(), "acosh": lambda x, y: (1 + x * y).acosh(),
    "asin": lambda x, y: (x * y).asin(), "asinh": lambda x, y: (x - y).asinh(), "atan": lambda x, y: (x - y).atan(),
    "atan2": lambda x, y: x.atan2(y), "atanh": lambda x, y: (x * y).atanh(),
    "auto_factorize": lambda x, y: (x * y).auto_factorize(),
    "bspline": lambda x, y: LazyTensor([0.0, 0.1, 0.3, 0.45, 0.6, 0.8, 0.95, 1.0]).bspline((x * y)[0], 3),
    "cat": lambda x, y: LazyTensor.cat((x, y * x), -1), "ceil": lambda x, y: (3 * x).ceil() * y,
    "clamp": lambda x, y: (x - y).clamp(-0.1, 0.2), "concat": lambda x, y: x.concat(x * y),
    "concatenate": lambda x, y: LazyTensor.concatenate((x, y, x * y)), "cos": lambda x, y: (x * y).cos(),
    "cosh": lambda x, y: (x - y).cosh(), "diff": lambda x, y: (x * x * y).diff(x, y * x),
    "difference_matrix": lambda x, y: x.difference_matrix(x * y),
    "divergence": lambda x, y: (x * x * x * y).divergence(x), "elem": lambda x, y: (x * y).elem(1),
    "erf": lambda x, y: (x - y).erf(), "erfc": lambda x, y: (x - y).erfc(), "exp": lambda x, y: (x * y).exp(),
    "exp1j": lambda x, y: (x * y).exp1j().real, "expm1": lambda x, y: (x * y).expm1(),
    "extract": lambda x, y: (x * y).concat(x).extract(1, 2), "factorize": lambda x, y: (x * y).factorize(x),
    "floor": lambda x, y: (3 * x).floor() * y, "grad": lambda x, y: (x * x * y).grad(x, y * y),
    "grad_matrix": lambda x, y: (x * x * y).grad_matrix(x), "hypot": lambda x, y: x.hypot(y),
    "ifelse": lambda x, y: (x - y).ifelse(x * x, y), "imag2complex": lambda x, y: (x * y).imag2complex().imag,
    "inv": lambda x, y: (x + y).inv(), "keops_kron": lambda x, y: x.keops_kron(y, (2, 1), (1, 2)),
    "keops_tensordot": lambda x, y: x.keops_tensordot(y * x, (2,), (2,), (0,), (0,)),
    "laplacian": lambda x, y: ((x * x * y) ** 2).sum(-1).laplacian(x), "log": lambda x, y: (x + y).log(),
    "log1p": lambda x, y: (x * y).log1p(), "logical_and": lambda x, y: (x < y).logical_and(x < 0.5) * x * y,
    "logical_not": lambda x, y: (x < y).logical_not() * x * y,
    "logical_or": lambda x, y: (x < y).logical_or(x < 0.5) * x * y,
    "matvecmult": lambda x, y: x.tensorprod(y).matvecmult(x), "maximum": lambda x, y: x.maximum(y * 1.1),
    "minimum": lambda x, y: x.minimum(y * 1.1), "mod": lambda x, y: (x * y).mod(0.31),
    "norm": lambda x, y: (x - y).norm(-1), "norm2": lambda x, y: (x - y).norm2(),
    "normalize": lambda x, y: (x - y).normalize(), "one_hot": lambda x, y: (3 * x[0]).one_hot(4) * y[0],
    "power": lambda x, y: x.power(y), "real2complex": lambda x, y: (x * y).real2complex().real,
    "relu": lambda x, y: (x - y).relu(), "round": lambda x, y: (3 * x).round(1) * y,
    "rsqrt": lambda x, y: (x + y).rsqrt(), "sigmoid": lambda x, y: (x - y).sigmoid(),
    "sign": lambda x, y: (x - y).sign() * x, "sin": lambda x, y: (x * y).sin(), "sinc": lambda x, y: (x - y).sinc(),
    "sinh": lambda x, y: (x - y).sinh(), "sinxdivx": lambda x, y: (x - y).sinxdivx(),
    "softdtw_sqdist": lambda x, y: x.softdtw_sqdist(y, 0.6), "softplus": lambda x, y: (x - y).softplus(),
    "sqdist": lambda x, y: x.sqdist(y), "sqnorm2": lambda x, y: (x - y).sqnorm2(), "sqrt": lambda x, y: (x + y).sqrt(),
    "square": lambda x, y: (x - y).square(), "step": lambda x, y: (x - y).step() * x,
    "T": lambda x, y: ((x - y).T * (x * y).T), "t": lambda x, y: (x - y).t() * (x * y).t(),
    "take": lambda x, y: x.take((2.2 * y[0]).floor()) * x, "tan": lambda x, y: (x * y).tan(),
    "tanh": lambda x, y: (x - y).tanh(), "tensorprod": lambda x, y: x.tensorprod(y),
    "trace_operator": lambda x, y: (x * y * y).trace_operator(x) * x, "trunc": lambda x, y: (3 * x).trunc() * y,
    "vecmatmult": lambda x, y: x.vecmatmult(x.tensorprod(y)), "weightedsqdist": lambda x, y: x.weightedsqdist(y, x * y),
    "weightedsqnorm": lambda x, y: (x - y).weightedsqnorm(x), "where": lambda x, y: (x < y).where(x * x, y * x),
    "xlogx": lambda x, y: (x * y).xlogx(), "index_i": lambda x, y: (index_j() <= index_i()) * x * y,
}

# Reductions over j, each of a formula; results that are pairs give their values.
REDUCTIONS = {
    "sum": lambda K, w: K.sum(axis=1), "sum_reduction": lambda K, w: K.sum_reduction(axis=1),
    "mean": lambda K, w: K.mean(axis=1),
    "logsumexp": lambda K, w: K.logsumexp(axis=1), "logsumexp_reduction": lambda K, w: K.logsumexp_reduction(axis=1),
    "logsumexp with weights": lambda K, w: K[0].logsumexp(axis=1, weight=w),
    "sumsoftmaxweight": lambda K, w: K[0].sumsoftmaxweight(w, axis=1),
    "sumsoftmaxweight_reduction": lambda K, w: K[0].sumsoftmaxweight_reduction(weight=w, axis=1),
    "min": lambda K, w: K.min(axis=1), "min_reduction": lambda K, w: K.min_reduction(axis=1),
    "max": lambda K, w: K.max(axis=1), "max_reduction": lambda K, w: K.max_reduction(axis=1),
    "min_argmin": lambda K, w: K.min_argmin(axis=1)[0],
    "min_argmin_reduction": lambda K, w: K.min_argmin_reduction(axis=1)[0],
    "max_argmax": lambda K, w: K.max_argmax(axis=1)[0],
    "max_argmax_reduction": lambda K, w: K.max_argmax_reduction(axis=1)[0], "Kmin": lambda K, w: K.Kmin(2, axis=1),
    "Kmin_reduction": lambda K, w: K.Kmin_reduction(K=2, axis=1),
    "Kmin_argKmin": lambda K, w: K.Kmin_argKmin(2, axis=1)[0], "min_argKmin": lambda K, w: K.min_argKmin(2, axis=1)[0],
    "Kmin_argKmin_reduction": lambda K, w: K.Kmin_argKmin_reduction(K=2, axis=1)[0],
    "Kmax": lambda K, w: K.Kmax(2, axis=1), "Kmax_reduction": lambda K, w: K.Kmax_reduction(K=2, axis=1),
    "Kmax_argKmax": lambda K, w: K.Kmax_argKmax(2, axis=1)[0],
    "Kmax_argKmax_reduction": lambda K, w: K.Kmax_argKmax_reduction(K=2, axis=1)[0],
    "reduction": lambda K, w: K.reduction("LogSumExp", axis=1), "matvec": lambda K, w: K[0].matvec(w.variables[0][0]),
    "rmatvec": lambda K, w: K[0].T.rmatvec(w.variables[0][0]),
    "rmatmat": lambda K, w: K[0].T.rmatmat(w.variables[0][0]), "over i": lambda K, w: K.sum(axis=0),
    "over i, min": lambda K, w: K.min(axis=0), "over both": lambda K, w: K.exp().sum(axis=1, call=False).sum(axis=0),
    "of a reduction": lambda K, w: (K.sum(axis=1, call=False).exp() * w).sum(axis=0),
    "of a minimum": lambda K, w: (K.min(axis=1, call=False) * w).logsumexp(axis=0),
}

# Values that are written out.
VALUES = {
    "dense": lambda K: K.dense(), "diag": lambda K: K.diag(), "K[i]": lambda K: K[1], "K[:, j]": lambda K: K[:, 2],
    "K[i, j]": lambda K: K[2, 0], "K[slices]": lambda K: K[1:, ::2], "K[list]": lambda K: K[[2, 0, 2]],
    "K[lists]": lambda K: K[[0, 2, 2], [1, 1, 0]], "K[mask]": lambda K: K[:, torch.tensor([True, False, True])],
    "rows": lambda K: K.rows([2, 0]), "columns": lambda K: K.columns([1, 1]),
    "block": lambda K: K.block([2, 1], slice(None, None, 2)), "entries": lambda K: K.entries([0, 2], [1, 0]),
}

COMPLEX = {
    "*": lambda z, w: z * w, "/": lambda z, w: z / w, "+": lambda z, w: z + w, "-": lambda z, w: z - w,
    "exp": lambda z, w: (z * w).exp(),
    "conj": lambda z, w: z.conj() * w, "abs": lambda z, w: abs(z - w), "angle": lambda z, w: (z * w).angle(),
    "real": lambda z, w: (z * w).real, "imag": lambda z, w: (z * w).imag, "[]": lambda z, w: (z * w)[1],
    "sum": lambda z, w: (z * w).sum(-1), "real * complex": lambda z, w: abs(z)[0] * w,
}

# Methods without second derivatives.
FIRST_ONLY = {"softdtw_sqdist"}

# What has no derivative, makes no result, or is tested by another name.
OTHERS = {"argKmax", "argKmax_reduction", "argKmin", "argKmin_reduction", "argmax", "argmax_reduction", "argmin",
          "argmin_reduction", "axis", "backend", "batchdims", "dim", "dtype", "is_complex", "kernel", "nbatchdims",
          "ndim", "ni", "nj", "plan", "ranges", "shape", "solve", "symbolic_variables", "variables"}


def arrays(seed, *shapes, dtype=torch.float64):
    """Tensors that require gradients, of numbers from 0.2 to 0.9."""
    made = torch.Generator().manual_seed(seed)
    return tuple((0.2 + 0.7 * torch.rand(shape, generator=made, dtype=dtype)).requires_grad_() for shape in shapes)


def check(function, inputs):
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


def total(method, **options):
    return lambda x, y: method(LazyTensor(x), LazyTensor(y)).sum_reduction(axis=1, **options)


@pytest.mark.parametrize("name", [*ARITHMETIC, *METHODS])
def test_methods(name):
    function, inputs = total({**ARITHMETIC, **METHODS}[name]), arrays(20, (3, 1, 2), (1, 4, 2))
    if name in FIRST_ONLY:
        assert gradcheck(function, inputs)
        with pytest.raises(keopscl.DerivativeError, match="second"):
            gradgradcheck(function, inputs)
    else:
        check(function, inputs)


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(name):
    def function(x, y, w):
        return REDUCTIONS[name]((LazyTensor(x) - LazyTensor(y)) ** 2 * LazyTensor(x), LazyTensor(w))

    check(function, arrays(21, (3, 1, 2), (1, 4, 2), (1, 4, 2)))


@pytest.mark.parametrize("name", COMPLEX)
def test_complex_numbers(name):
    x, y = arrays(22, (3, 1, 2), (1, 4, 2), dtype=torch.complex128)

    def function(x, y):
        assert isinstance(LazyTensor(x), ComplexLazyTensor)
        return COMPLEX[name](LazyTensor(x), LazyTensor(y)).sum_reduction(axis=1)

    check(function, (x, y))


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("batch", [(), (2,)], ids=["", "batch"])
def test_values_that_are_written_out(name, batch):
    inputs = arrays(23, batch + (3, 1, 2), (1, 3, 2), (1,))

    def function(x, y, s):
        K = (LazyTensor(x) - LazyTensor(y)).sqnorm2() * LazyTensor(s)
        return VALUES[name](Behind(K) if batch and name.startswith("K[") else K)

    class Behind:
        def __init__(self, K):
            self.K = K

        def __getitem__(self, key):
            return self.K[(slice(None), *(key if isinstance(key, tuple) else (key,)))]

    class Dense:
        def __init__(self, stored):
            self.stored = stored

        def dense(self):
            return self.stored

        def diag(self):
            return self.stored.diagonal(dim1=-2, dim2=-1)

        def rows(self, i):
            return self[i]

        def columns(self, j):
            return self[:, j]

        def block(self, i, j):
            return self[i][..., j]

        def entries(self, i, j):
            return self[i, j]

        def __getitem__(self, key):
            return self.stored[(slice(None),) * len(batch) + (key if isinstance(key, tuple) else (key,))]

    x, y, s = inputs
    expected = VALUES[name](Dense(((x - y) ** 2).sum(-1) * s))
    torch.testing.assert_close(function(*inputs), expected)
    check(function, inputs)


def test_every_method_is_checked():
    """A method that is added later needs a line here."""
    public = {name for name in dir(ComplexLazyTensor) if not name.startswith("_")}
    assert public - set(METHODS) - set(REDUCTIONS) - set(COMPLEX) - set(VALUES) == OTHERS


@pytest.mark.skipif(not contexts.has("cpu"), reason="no OpenCL driver for CPUs")
def test_a_sample_on_a_device():
    seed = int(os.environ.get("KEOPSCL_SEED", random.randrange(10**6)))
    names = random.Random(seed).sample(sorted(METHODS), 3)
    print(f"KEOPSCL_SEED={seed}: {names}")
    for name in set(names) - FIRST_ONLY:
        check(total(METHODS[name], backend="CPU"), arrays(20, (3, 1, 2), (1, 4, 2)))
    check(lambda x, y: LazyTensor(x).sqdist(LazyTensor(y)).Kmin(2, axis=1, backend="CPU"),
          arrays(20, (3, 1, 2), (1, 4, 2)))
