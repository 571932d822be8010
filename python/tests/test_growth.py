# SPDX-License-Identifier: MIT
"""Formulas of many operators: the time to build, to print, to pickle and to evaluate them grows in proportion."""

import functools
import gc
import operator
import pickle
import time
import weakref

import numpy as np
import pytest
from conftest import assert_close

import keopscl
from keopscl._core import chain, structure
from keopscl._core.leaves import NumbersLeaf
from keopscl.numpy import Pm, Vi, Vj

M, N = 3, 4
FEW, MANY = 2_000, 4_000
GROWTH = 2.6  # of the time, for twice as many operators
SECONDS = 5.0  # for MANY operators, on a slow machine with other work, under a sanitizer
ATTEMPTS = 8  # at a ratio that other work disturbs


@pytest.fixture(scope="module")
def arrays():
    """Points x and y, and an array for each operator."""
    rng = np.random.default_rng(3)
    return rng.random((M, 2)), rng.random((N, 2)), rng.random((10_000, M, 1))


# What is built of x, y and `more` with about so many operators: LazyTensors of Vi, Vj and Pm, or NumPy's arrays of
# NumPy functions with the same names.


class Lazy:
    Vi, Vj, Pm = staticmethod(Vi), staticmethod(Vj), staticmethod(Pm)

    @staticmethod
    def sqdist(x, y):
        return x.sqdist(y)

    @staticmethod
    def mean(K, axis):
        return K.mean(axis=axis, call=False)


class Dense:
    """The same on dense arrays of shape (M, N, D)."""

    @staticmethod
    def Vi(x):
        return x[:, None, :]

    @staticmethod
    def Vj(y):
        return y[None, :, :]

    @staticmethod
    def Pm(p):
        return np.asarray(p)

    @staticmethod
    def sqdist(x, y):
        return ((x - y) ** 2).sum(-1, keepdims=True)

    @staticmethod
    def mean(K, axis):
        return K.mean(axis, keepdims=True)


def with_numbers(of, x, y, more, count):
    K = of.sqdist(of.Vi(x), of.Vj(y))
    for k in range(count // 2):
        K = K * 0.999 + 0.001 * k / count
    return K


def with_numbers_in_front(of, x, y, more, count):
    K = of.sqdist(of.Vi(x), of.Vj(y))
    for _ in range(count):
        K = 0.7 - K
    return K


def with_arrays(of, x, y, more, count):
    K = of.sqdist(of.Vi(x), of.Vj(y))
    for k in range(count):
        K = K + of.Vi(more[k])
    return K


def with_arrays_in_front(of, x, y, more, count):
    K = of.sqdist(of.Vi(x), of.Vj(y))
    for k in range(count):
        K = of.Vi(more[k]) + K
    return K


def with_the_same_array(of, x, y, more, count):
    K = of.sqdist(of.Vi(x), of.Vj(y))
    column = of.Vj(y[:, :1])
    for _ in range(count // 2):
        K += column * 0.25
    return K


def sum_of_terms(of, x, y, more, count):
    return sum(of.sqdist(of.Vi(x), of.Vj(y) * (k / count)) for k in range(count // 3))


def tree_of_terms(of, x, y, more, count):
    terms = [of.sqdist(of.Vi(x), of.Vj(y)) * of.Pm([k / count]) for k in range(count // 4)]
    while len(terms) > 1:
        terms = [functools.reduce(operator.add, terms[k : k + 2]) for k in range(0, len(terms), 2)]
    return terms[0]


def two_that_grow_together(of, x, y, more, count):
    """Each takes the other one in, as potentials that are averaged do."""
    a, b = of.Vi(x[:, :1]), of.Vj(y[:, :1])
    for _ in range(count // 8):
        a = (a + of.mean(a - b * 0.5, 1)) * 0.5
        b = (b + of.mean(b - a * 0.5, 0)) * 0.5
    return a - b


def sinkhorn(of, x, y, more, count):
    """Potentials of the two sides, each from the other one."""
    cost = of.sqdist(of.Vi(x), of.Vj(y))
    a, b = of.Vi(np.zeros((M, 1))), of.Vj(np.zeros((N, 1)))
    for _ in range(count // 8):
        a = -0.5 * of.mean((b - cost) / 0.5, 1)
        b = -0.5 * of.mean((a - cost) / 0.5, 0)
    return a + b - cost


KINDS = [
    with_numbers,
    with_numbers_in_front,
    with_arrays,
    with_arrays_in_front,
    with_the_same_array,
    sum_of_terms,
    tree_of_terms,
    two_that_grow_together,
    sinkhorn,
]


def times(make, arrays, count):
    """Process time of building, and of what is done with the formula the first time."""
    structure._table.clear()
    gc.collect()
    gc.disable()  # a collection goes through all objects of the process, whoever made them
    try:
        start = time.process_time()
        K = make(Lazy, *arrays, count)
        built = time.process_time()
        repr(K)
        pickle.loads(pickle.dumps(K))
        K.sum(axis=1)
        K.rows([0])
        return built - start, time.process_time() - built
    finally:
        gc.enable()


@pytest.fixture
def interpreter():
    keopscl.set_device("host")
    yield
    keopscl.set_device(None)


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_time_grows_in_proportion(make, arrays, interpreter):
    for _ in range(ATTEMPTS):
        few, many = ([times(make, arrays, count) for _ in range(2)] for count in (FEW, MANY))
        seconds = [min(each) for each in zip(*many)]
        ratios = [one / min(half) for one, half in zip(seconds, zip(*few))]
        if max(ratios) <= GROWTH:
            break
    assert max(ratios) <= GROWTH, f"to build, to use: {ratios} times as long"
    assert max(seconds) < SECONDS


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_ten_thousand_operators(make, arrays, interpreter):
    K, dense = make(Lazy, *arrays, 10_000), make(Dense, *arrays, 10_000)
    assert_close(K.sum(axis=1), dense.sum(1), 1e3)
    assert_close(K.rows([2, 0]), dense[[2, 0], :, 0], 1e3)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(K)).sum(axis=1), K.sum(axis=1))
    # Texts repeat what a formula shares, and have a largest length.
    assert len(repr(K)) > 10_000 or "longer than" in repr(K)


def leaves(first, count):
    return tuple(NumbersLeaf([k]) for k in range(first, first + count))


def joined(one, two):
    """join, checked: all leaves are there once, at the places that are told."""
    together, of_one, of_two = chain.join(one, two)
    listed = list(together)
    assert len(together) == len(listed) == len({leaf.key for leaf in listed})
    for part, places in ((one, of_one), (two, of_two)):
        places = range(len(part)) if places is None else places
        assert [listed[place] for place in places] == list(part)
    return together


@pytest.mark.parametrize("seed", range(5))
def test_leaves_are_joined(seed):
    """Random joins of what was joined before, with fewer and with more leaves than a tuple has."""
    rng = np.random.default_rng(seed)
    known = [leaves(0, 1), leaves(10, 3), ()]
    for k in range(300):
        one, two = (known[int(place)] for place in rng.integers(max(len(known) - 20, 0), len(known), 2))
        known.append(joined(one, two if k % 3 else leaves(100 + k, int(rng.integers(1, 4)))))
        assert set(known[-1]) >= set(one)
    assert isinstance(known[-1], chain.Chain) and len(known[-1]) > 2 * chain.FEW


def test_a_chain_holds_nothing_that_came_later():
    first = chain.join(leaves(0, chain.FEW), leaves(100, 1))[0]
    array = np.ones((3, 1))
    second = chain.join(first, Vi(array)._leaves)[0]
    gone = weakref.ref(array)
    del array
    gc.collect()
    assert gone() is not None and second.begins_with(first) and not first.begins_with(second)
    del second
    gc.collect()
    assert gone() is None and len(first) == chain.FEW + 1


def test_symbolic_variables_among_many(arrays, interpreter):
    x, _, more = arrays
    K, dense = Vi(0, 1) * 1.0, more[-1][:, :1] * 1.0
    for k in range(100):
        K, dense = K * 0.5 + Vi(more[k]), dense * 0.5 + more[k]
    assert K.symbolic_variables == ((0, 1, 0),)
    total = (K + Vi(0, 1)).sum(axis=0)
    assert_close(total(more[-1]), (dense + more[-1]).sum(0)[None])
