# SPDX-License-Identifier: MIT
"""Lists of what is not expected to pass.

The lines of a list have four columns, separated by "|": what, with * for anything; where the line holds (`always`,
`CUDA`, `no CUDA`, or a comparison such as `torch < 2`); a text of the failure, or nothing for any; why. What a line
names runs all the same. The line is wrong if that passes, if it fails with another text, or if there is nothing of this
name, and the tests say so.
"""
import fnmatch
import importlib.metadata
import operator
import re

COMPARE = {"<": operator.lt, ">=": operator.ge}


def version(package):
    """(major, minor) of an installed package; (0, 0) where there is none."""
    try:
        return tuple(int(part) for part in re.findall(r"\d+", importlib.metadata.version(package))[:2])
    except importlib.metadata.PackageNotFoundError:
        return 0, 0


def has_cuda():
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()


def holds(condition):
    if condition == "always":
        return True
    if condition in ("CUDA", "no CUDA"):
        return has_cuda() == (condition == "CUDA")
    package, comparison, bound = condition.split()
    return COMPARE[comparison](version(package), tuple(int(part) for part in bound.split(".")))


class Line:
    """A line of a list."""

    def __init__(self, text):
        self.text = text
        self.pattern, condition, self.failure, self.reason = (part.strip() for part in text.split("|"))
        self.holds = holds(condition)
        self.used = False

    def names(self, name):
        return fnmatch.fnmatchcase(name, self.pattern)


class Skips:
    """The lines of a list that hold here."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            lines = [Line(text.rstrip("\n")) for text in file if text.strip() and not text.startswith("#")]
        self.lines = [line for line in lines if line.holds]

    def find(self, name):
        """The line that names something, or None."""
        for line in self.lines:
            if line.names(name):
                line.used = True
                return line
        return None

    def judge(self, name, problem):
        """(outcome, what to say) of something whose failure is described by `problem`, "" where it has passed."""
        line = self.find(name)
        if line is None:
            return ("failed", problem) if problem else ("passed", "")
        if not problem:
            return "failed", f"passes: take this line from the list of skips: {line.text}"
        if line.failure not in problem:
            return "failed", f"expected {line.failure!r}, got: {problem}"
        return "skipped", line.reason
