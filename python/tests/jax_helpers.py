# SPDX-License-Identifier: MIT
"""What the tests of keopscl.jax have in common."""

from contextlib import contextmanager

from keopscl._core import contexts
from keopscl._native import ffi, lib


def squares(x, y):
    """|x_i - y_j|^2 as a LazyTensor."""
    from keopscl.jax import LazyTensor

    return ((LazyTensor(x[:, None, :]) - LazyTensor(y[None, :, :])) ** 2).sum(-1)


def dense_squares(x, y):
    """The same as an array."""
    return ((x[:, None, :] - y[None, :, :]) ** 2).sum(-1)


def all_contexts():
    """The calling thread's contexts and the contexts that are lent to other threads."""
    found = [contexts.current()]
    for each in contexts._lent:
        found.extend(each.values())
    return found


@contextmanager
def counted():
    """Counts what the library has done meanwhile, by the names of kcl_context_stats."""
    names = ("evaluations", "launches", "programs_built", "programs_loaded")

    def sums():
        stats, totals = ffi.new("kcl_context_stats *"), dict.fromkeys(names, 0)
        for context in all_contexts():
            lib.kcl_context_get_stats(context, stats)
            for name in names:
                totals[name] += getattr(stats, name)
        return totals

    before, counts = sums(), {}
    yield counts
    counts.update({name: total - before[name] for name, total in sums().items()})
