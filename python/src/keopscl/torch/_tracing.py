# SPDX-License-Identifier: MIT
"""What torch.compile does not read.

LazyTensors are built by Python, not by a graph of tensors: torch.compile calls their methods as they are, between the
parts of a program that it compiles. Without a mark it would read and compile them, function by function, which takes
seconds and gains nothing. Marks cost calls nothing, and need no import of torch._dynamo, which takes seconds as well.
"""
from __future__ import annotations

import types
from typing import Any, Iterator, Set

import torch

REASON = ("LazyTensors are built by Python, not in a graph: torch.compiler.allow_in_graph(f) makes a function f of "
          "tensors that builds and reduces LazyTensors one node of the graph")


def functions_of(thing: Any) -> Iterator[types.FunctionType]:
    """The functions of a class that are written in Python: methods, properties, class methods; or those that a module
    defines."""
    for value in vars(thing).values():
        if isinstance(thing, types.ModuleType) and getattr(value, "__module__", "") != thing.__name__:
            continue
        for function in (value, getattr(value, "__func__", None), getattr(value, "fget", None)):
            if isinstance(function, types.FunctionType):
                yield function


def leave_to_python(*things: Any) -> None:
    """Marks the methods of classes, and of the classes of this package that they are made of, and the functions of
    modules."""
    package = __name__.partition(".")[0]
    modules = [thing for thing in things if not isinstance(thing, type)]
    classes = [cls for cls in things if isinstance(cls, type)]
    found: Set[Any] = {base for cls in classes for base in cls.__mro__ if base.__module__.partition(".")[0] == package}
    for base in [*found, *modules]:
        for function in functions_of(base):
            # As torch._dynamo.skip does.
            function.__dict__.update(_torchdynamo_disable=True, _torchdynamo_disable_msg=REASON)
            skip_frames(function.__code__)


def skip_frames(code: Any) -> None:
    """Tells torch.compile to run a function as it is, and all that the function calls, where PyTorch can say so."""
    frames: Any = getattr(getattr(torch._C, "_dynamo", None), "eval_frame", None)
    if hasattr(frames, "set_code_exec_strategy"):
        skip = frames._FrameAction.SKIP
        frames.set_code_exec_strategy(code, frames._FrameExecStrategy(skip, skip))
    elif hasattr(frames, "skip_code"):
        frames.skip_code(code)
