# SPDX-License-Identifier: MIT
"""generic_sum and its like: Genred with a declared output in the place of an axis."""
from __future__ import annotations

from typing import Any, Callable, Tuple

from .._errors import ArgumentError
from .genred import BARE, ROLES

Form = Callable[..., Any]


def output_of(output: str, what: str) -> Tuple[int, int]:
    """The axis that is reduced, and the dimension, of a declared output such as "a = Vi(3)"."""
    match = BARE.match(output.split("=")[-1])
    role = ROLES[match.group(1)] if match else 2
    if match is None or role == 2:
        raise ArgumentError(f"{what}: the output is declared as 'a = Vi(D)' or 'a = Vj(D)', not {output!r}")
    return 1 - role, int(match.group(3))


def short_forms(genred: Any) -> Tuple[Form, Form, Form, Form]:
    """generic_sum, generic_logsumexp, generic_argmin and generic_argkmin, made of a class Genred."""

    def generic_sum(formula: str, output: str, *aliases: str, **kwargs: Any) -> Any:
        """The sum of a formula, as a Genred. `output` declares the result: "a = Vi(D)" sums over j, "a = Vj(D)" over i;
        `aliases` declare the arrays."""
        return genred(formula, aliases, reduction_op="Sum", axis=output_of(output, "generic_sum")[0], **kwargs)

    def generic_logsumexp(formula: str, output: str, *aliases: str, **kwargs: Any) -> Any:
        """The logarithm of the sum of the exponentials of a formula; arguments as generic_sum has."""
        axis = output_of(output, "generic_logsumexp")[0]
        return genred(formula, aliases, reduction_op="LogSumExp", axis=axis, **kwargs)

    def generic_argmin(formula: str, output: str, *aliases: str, **kwargs: Any) -> Any:
        """The indices (int64) of the smallest values of a formula; arguments as generic_sum has."""
        return genred(formula, aliases, reduction_op="ArgMin", axis=output_of(output, "generic_argmin")[0], **kwargs)

    def generic_argkmin(formula: str, output: str, *aliases: str, **kwargs: Any) -> Any:
        """The indices (int64) of the K smallest values of a formula; K is the dimension of `output`."""
        axis, dim = output_of(output, "generic_argkmin")
        return genred(formula, aliases, reduction_op="ArgKMin", axis=axis, opt_arg=dim, **kwargs)

    return generic_sum, generic_logsumexp, generic_argmin, generic_argkmin
