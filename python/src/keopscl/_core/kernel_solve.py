# SPDX-License-Identifier: MIT
"""KernelSolve: linear systems whose matrix is a formula in text."""

from __future__ import annotations

import re
from typing import Any, ClassVar, List, Optional, Sequence, Tuple, Type

from .._errors import ArgumentError, ShapeError, UnsupportedError
from .evaluation import merged, options_of
from .genred import BARE, VAR, GenredBase, declaration
from .leaves import ROLE_I, ROLE_J, ArrayLeaf
from .solve import Wishes, solved

ROLE_NAMES = re.compile(r"\b(V)([ijxy])(?=\s*\()|\b(Index)([IJ])\b")
SWAPPED = {"i": "j", "j": "i", "x": "y", "y": "x", "I": "J", "J": "I"}
SWAPPED_NUMBERS = {"0": "1", "1": "0", "2": "2"}
WHAT = "KernelSolve"


def transposed(text: str) -> str:
    """A formula or declaration with i and j exchanged."""
    text = ROLE_NAMES.sub(lambda found: (found[1] or found[3]) + SWAPPED[found[2] or found[4]], text)
    return VAR.sub(lambda found: f"Var({found[1]},{found[2]},{SWAPPED_NUMBERS[found[3]]})", text)


def place_of(unknown: str, aliases: Sequence[str]) -> int:
    """The number of the argument that an alias, or Var(number, dim, role), names."""
    if not isinstance(unknown, str):
        raise ArgumentError(f"{WHAT}: varinvalias is the name of an argument, not {type(unknown).__name__}")
    match = VAR.match(unknown.strip())
    if match:
        return int(match[1])
    names = [declaration(alias, k).partition("=")[0].strip() for k, alias in enumerate(aliases)]
    if unknown.strip() not in names:
        raise ArgumentError(f"{WHAT}: varinvalias={unknown!r} is none of the arguments ({', '.join(names)})")
    for match in [BARE.match(alias.partition("=")[2]) for alias in aliases
                  if alias.partition("=")[0].strip() == unknown.strip()]:
        if match and match[2]:
            return int(match[2])
    return names.index(unknown.strip())


class KernelSolveBase:
    """The inverse of a sum that is linear in an argument: see keopscl.numpy.KernelSolve."""

    _genred: ClassVar[Type[GenredBase]]

    def __init__(self, formula: str, aliases: Sequence[str], varinvalias: str, axis: int = 0, dtype: Any = None,
                 opt_arg: Any = None, dtype_acc: str = "auto", use_double_acc: bool = False, sum_scheme: str = "auto",
                 enable_chunks: bool = True, rec_multVar_highdim: Any = None, cuda_type: Any = None,
                 use_fast_math: Optional[bool] = None) -> None:
        if axis not in (0, 1):
            raise ArgumentError(f"{WHAT}: axis={axis!r} is neither 0 (reduce over i) nor 1 (reduce over j)")
        self.aliases = list(aliases)
        self.varinvalias, self.axis, self.reduction_op = varinvalias, axis, "Sum"
        self.varinvpos = place_of(varinvalias, self.aliases)
        self.formula = f"Sum_Reduction({formula},{1 - axis})"
        # The library solves with sums over j; a sum over i is one of the formula with i and j exchanged.
        given: Tuple[str, List[str]] = formula, self.aliases
        if axis == 0:
            if "_Reduction" in formula:
                raise UnsupportedError(f"{WHAT}: a formula of reductions is solved with axis=1 only, not axis=0")
            declared = [declaration(alias, k) for k, alias in enumerate(self.aliases)]
            given = transposed(formula), [transposed(alias) for alias in declared]
        self._options = options_of({"dtype_acc": dtype_acc, "use_double_acc": use_double_acc, "sum_scheme": sum_scheme,
                                    "use_fast_math": use_fast_math}, WHAT)
        self._sum = self._genred(*given, reduction_op="Sum", axis=1, dtype_acc=dtype_acc, use_double_acc=use_double_acc,
                                 sum_scheme=sum_scheme, use_fast_math=use_fast_math)
        slots = self._sum._slots
        if not 0 <= self.varinvpos < len(slots):
            raise ArgumentError(f"{WHAT}: varinvalias={varinvalias!r} is none of the {len(slots)} arguments")
        name, role, dim = slots[self.varinvpos]
        if role != ROLE_J or dim != self._sum._program.dim:
            raise ShapeError(f"{WHAT}: {name} must have rows of {'ij'[axis]}, which axis={axis} reduces, and as many "
                             f"components as the formula: {self._sum._program.dim}, not {dim}")

    def __call__(self, *args: Any, backend: str = "auto", device_id: int = -1, alpha: Any = 1e-10,
                 eps: Optional[float] = None, ranges: Any = None, tol: Optional[float] = None,
                 max_iterations: Optional[int] = None, noise: Any = None, start: Any = None,
                 check_symmetry: bool = False, dtype: Any = None, info: bool = False, verbose: bool = False) -> Any:
        """The solution for arrays, one for each alias, b in the place of varinvalias: (batch axes..., M, D) for Vi,
        (batch axes..., N, D) for Vj, (batch axes..., D) for Pm. Returns (batch axes..., N, D); keyword arguments are
        those of LazyTensor.solve."""
        genred = self._sum
        library, slots = genred._library, genred._slots
        wishes = Wishes(alpha, eps, tol, max_iterations, noise, start, check_symmetry, dtype, info)
        given_options = {"backend": backend, "device_id": device_id, "ranges": ranges, "verbose": verbose}
        options = merged(self._options, given_options, WHAT)
        if len(args) != len(slots):
            raise ArgumentError(f"{WHAT}: {len(slots)} arrays are needed ({', '.join(slot[0] for slot in slots)}), not "
                                f"{len(args)}")
        leaves, signature = [], []
        for x, slot in zip(args, slots):
            array = library.as_array(x)
            if array is None:
                raise TypeError(f"{slot[0]}: expected one of {library.array_name}, not {type(x).__name__}")
            address, code, keep, shape, strides = library.describe(array, slot[0])
            signature.append((code, shape, strides))
            leaves.append((array, address, keep))
        code, shape, layouts = genred._check(signature)
        rows = {role: layout[1][-2] for (_, role, _), layout in zip(slots, layouts) if role in (ROLE_I, ROLE_J)}
        if ROLE_I in rows and rows[ROLE_I] != rows[ROLE_J]:
            raise ShapeError(f"{WHAT}: {rows[ROLE_J]} rows of {'ij'[self.axis]} and {rows[ROLE_I]} rows of "
                             f"{'ji'[self.axis]}: there must be as many")
        arguments = [ArrayLeaf(array, slot[1], (address, layout), layout[0], keep)
                     for (array, address, keep), layout, slot in zip(leaves, layouts, slots)]
        is_complex = library.is_complex(leaves[self.varinvpos][0])
        program = genred._program
        return solved(library, WHAT, program, self.varinvpos, [arguments[k] for k in program.order], code, shape,
                      is_complex, options, wishes)
