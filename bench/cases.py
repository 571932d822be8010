# SPDX-License-Identifier: MIT
"""The reductions that the benchmarks time: data, formulas for both libraries, results in double on sampled rows."""
import numpy as np

import keopscl

GAUSS = "Exp(-g*SqDist(x,y))*b"
REAL = {"f32": np.float32, "f64": np.float64}

# kind: (reduction, formula, arguments)
KINDS = {
    "sum": ("Sum", GAUSS, "xybg"),
    "grad": ("Sum", GAUSS, "xybg"),  # the gradient in x of the sum, times e
    "logsumexp": ("LogSumExp", "-g*SqDist(x,y)", "xyg"),
    "argmin": ("ArgMin", "SqDist(x,y)", "xy"),
}


class Data:
    """Uniform random points x and y in the unit cube, weights b, cotangents e of one case."""

    def __init__(self, kind, d, dtype, m, n, seed):
        random, real = np.random.default_rng(seed), REAL[dtype]
        self.kind, self.d, self.dtype, self.m, self.n = kind, d, dtype, m, n
        self.reduction, self.formula, names = KINDS[kind]
        arrays = {"x": random.random((m, d), dtype=real), "y": random.random((n, d), dtype=real),
                  "b": random.random((n, 1), dtype=real) - real(0.3),
                  "g": np.array([2 if d <= 3 else 6 / d], dtype=real)}
        self.e = random.random((m, 1), dtype=real) - real(0.3)
        self.inputs = {name: arrays[name] for name in names}
        declarations = {"x": f"x=Vi({d})", "y": f"y=Vj({d})", "b": "b=Vj(1)", "g": "g=Pm(1)"}
        self.aliases = [declarations[name] for name in names]
        self.out_shape = (m, d) if kind == "grad" else (m, 1)
        self.out_real = np.int64 if kind == "argmin" else real

    def arguments(self):
        return list(self.inputs.values()) + ([self.e] if self.kind == "grad" else [])

    def operator(self, library, schedule=None, form=None):
        operator = library.operator(f"{self.reduction}_Reduction({self.formula},0)", self.aliases, schedule, form)
        return operator.gradient("x") if self.kind == "grad" else operator

    def genred(self, Genred):
        """The same as a function of pykeops."""
        formula, aliases = self.formula, self.aliases
        if self.kind == "grad":
            formula, aliases = f"Grad({formula},x,e)", aliases + ["e=Vi(1)"]
        return Genred(formula, aliases, reduction_op=self.reduction, axis=1)

    def tolerance(self):
        """Of largest_error. An index is right where its distance is the smallest, up to the rounding of both."""
        if self.kind == "argmin":
            return 2 * (self.d + 2) * float(np.finfo(REAL[self.dtype]).eps) / 2
        return {"f32": 1e-5, "f64": 1e-12}[self.dtype]

    def reference(self, count):
        """Row number: (value, scale of its error) of up to `count` rows, in double precision."""
        y = self.inputs["y"].astype(np.float64)
        b = self.inputs["b"].astype(np.float64) if "b" in self.inputs else None
        g = float(self.inputs["g"][0]) if "g" in self.inputs else None
        rows = {}
        for i in np.unique(np.linspace(0, self.m - 1, count).astype(int)):
            difference = self.inputs["x"][i].astype(np.float64) - y
            distance = np.einsum("jk,jk->j", difference, difference)
            if self.kind == "argmin":
                rows[int(i)] = distance.min(), distance.min()
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

    def row(self, result, i):
        """Row i of a result; of an index, the distance that it stands for."""
        if self.kind != "argmin":
            return result[i].astype(np.float64)
        j = int(result[i, 0])
        if not 0 <= j < self.n:
            return np.inf
        difference = self.inputs["x"][i].astype(np.float64) - self.inputs["y"][j].astype(np.float64)
        return difference @ difference

    def largest_error(self, result, reference):
        """Relative to the sum of |terms|, to max(1, |value|) of a logsumexp, to the distance of an argmin."""
        result, worst = np.asarray(result).reshape(self.out_shape), 0.0
        for i, (value, scale) in reference.items():
            error = np.abs(self.row(result, i) - value) / scale
            worst = max(worst, float(np.where(np.isnan(error), np.inf, error).max()))
        return worst


def describe(array):
    """A NumPy array for keopscl.py."""
    dtype = {np.dtype(np.float32): keopscl.F32, np.dtype(np.float64): keopscl.F64, np.dtype(np.int64): keopscl.I64}
    return keopscl.array(array.ctypes.data, dtype[array.dtype], *array.shape)
