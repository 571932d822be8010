# SPDX-License-Identifier: MIT
"""The reductions that the benchmarks time: data, formulas for both libraries, results in double on sampled rows."""
import numpy as np

import binding

GAUSS = "Exp(-g*SqDist(x,y))*b"
REAL = {"f32": np.float32, "f64": np.float64}

# kind: (reduction, formula, arguments)
KINDS = {
    "sum": ("Sum", GAUSS, "xybg"),
    "grad": ("Sum", GAUSS, "xybg"),  # the gradient in x of the sum, times e
    "logsumexp": ("LogSumExp", "-g*SqDist(x,y)", "xyg"),
    "argmin": ("ArgMin", "SqDist(x,y)", "xy"),
    "argkmin": ("ArgKMin", "SqDist(x,y)", "xy"),  # the K nearest
    "wide": ("Sum", GAUSS, "xybg"),  # b has COLUMNS columns
}

K, COLUMNS = 10, 64


class Data:
    """
    Uniform random points x and y in the unit cube, weights b, cotangents e of one case. With `batches` every array but
    g has that many, in front.
    """

    def __init__(self, kind, d, dtype, m, n, seed, batches=None):
        random, real = np.random.default_rng(seed), REAL[dtype]
        self.kind, self.d, self.dtype, self.m, self.n, self.batches = kind, d, dtype, m, n, batches
        self.reduction, self.formula, names = KINDS[kind]
        lead, columns = (batches,) if batches else (), COLUMNS if kind == "wide" else 1
        arrays = {"x": random.random((*lead, m, d), dtype=real), "y": random.random((*lead, n, d), dtype=real),
                  "b": random.random((*lead, n, columns), dtype=real) - real(0.3),
                  "g": np.array([2 if d <= 3 else 6 / d], dtype=real)}
        self.e = random.random((m, 1), dtype=real) - real(0.3)
        self.inputs = {name: arrays[name] for name in names}
        declarations = {"x": f"x=Vi({d})", "y": f"y=Vj({d})", "b": f"b=Vj({columns})", "g": "g=Pm(1)"}
        self.aliases = [declarations[name] for name in names]
        self.out_shape = (*lead, m, {"grad": d, "argkmin": K, "wide": COLUMNS}.get(kind, 1))
        self.is_index = kind in ("argmin", "argkmin")
        self.out_real = np.int64 if self.is_index else real

    def pairs(self):
        return (self.batches or 1) * self.m * self.n

    def arguments(self):
        return list(self.inputs.values()) + ([self.e] if self.kind == "grad" else [])

    def operator(self, library, schedule=None, form=None):
        formula = f"{self.formula},{K}" if self.kind == "argkmin" else self.formula
        operator = library.operator(f"{self.reduction}_Reduction({formula},0)", self.aliases, schedule, form)
        return operator.gradient("x") if self.kind == "grad" else operator

    def genred(self, Genred):
        """The same as a function of pykeops."""
        formula, aliases = self.formula, self.aliases
        if self.kind == "grad":
            formula, aliases = f"Grad({formula},x,e)", aliases + ["e=Vi(1)"]
        opt_arg = K if self.kind == "argkmin" else None
        return Genred(formula, aliases, reduction_op=self.reduction, axis=1, opt_arg=opt_arg)

    def tolerance(self):
        """Of largest_error. An index is right where its distance is the smallest, up to the rounding of both."""
        if self.is_index:
            return 2 * (self.d + 2) * float(np.finfo(REAL[self.dtype]).eps) / 2
        return {"f32": 1e-5, "f64": 1e-12}[self.dtype]

    def reference(self, count):
        """Row number: (value, scale of its error) of up to `count` rows, in double precision."""
        g = float(self.inputs["g"][0]) if "g" in self.inputs else None
        rows = {}
        for i in np.unique(np.linspace(0, (self.batches or 1) * self.m - 1, count).astype(int)):
            x, y, b = self.around(int(i))
            difference = x - y
            distance = np.einsum("jk,jk->j", difference, difference)
            if self.is_index:
                nearest = np.sort(distance)[:self.out_shape[-1]]
                rows[int(i)] = nearest, nearest
            elif self.kind == "logsumexp":
                largest = (-g * distance).max()
                value = largest + np.log(np.exp(-g * distance - largest).sum())
                rows[int(i)] = value, max(1.0, abs(value))
            else:
                terms = np.exp(-g * distance)[:, None] * b
                if self.kind == "grad":
                    terms = -2 * g * float(self.e[i, 0]) * terms * difference
                rows[int(i)] = terms.sum(axis=0), np.abs(terms).sum(axis=0)
        return rows

    def around(self, i):
        """Point i of x, counted through all batches, and all of y and b that it meets, in double precision."""
        batch, inside = divmod(i, self.m)
        arrays = {name: array[batch] if self.batches and name != "g" else array for name, array in self.inputs.items()}
        b = arrays["b"].astype(np.float64) if "b" in arrays else None
        return arrays["x"][inside].astype(np.float64), arrays["y"].astype(np.float64), b

    def row(self, result, i):
        """Row i of a result; of indices, the distances that they stand for."""
        if not self.is_index:
            return result[i].astype(np.float64)
        columns = result[i].astype(np.int64)
        if columns.min() < 0 or columns.max() >= self.n:
            return np.inf
        x, y, _ = self.around(i)
        return np.square(x - y[columns]).sum(axis=-1)

    def largest_error(self, result, reference):
        """Relative to the sum of |terms|, to max(1, |value|) of a logsumexp, to the distance of an argmin."""
        result, worst = np.asarray(result).reshape(-1, self.out_shape[-1]), 0.0
        for i, (value, scale) in reference.items():
            error = np.abs(self.row(result, i) - value) / scale
            worst = max(worst, float(np.where(np.isnan(error), np.inf, error).max()))
        return worst


def describe(array):
    """A NumPy array for binding.py."""
    dtype = {np.dtype(np.float32): binding.F32, np.dtype(np.float64): binding.F64, np.dtype(np.int64): binding.I64}
    return binding.array(array.ctypes.data, dtype[array.dtype], *array.shape)
