# SPDX-License-Identifier: MIT
"""A plugin of pytest for tests that import pykeops: they find keopscl, and count only where keopscl has computed.

KEOPSCL_FOREIGN_SKIPS names the file of skips, a list of what is not expected to pass. Its lines have four columns,
separated by " | ": the test as FILE::NAME, with * for anything, or a FILE that cannot be imported; where the line holds
(`always`, or a comparison such as `torch < 2`); a text of the failure, or of the reason for which the test skips itself;
why. What a line names runs all the same: a test that passes, one that fails with another text, and a line that names no
test are failures.
"""
import fnmatch
import importlib.metadata
import operator
import os
import re

import keopscl
import pytest
from keopscl._core import evaluation

NOT_COUNTED = "no computation of keopscl is counted"
COMPARE = {"<": operator.lt, ">=": operator.ge}


def version(package):
    """(major, minor) of an installed package; (0, 0) where there is none."""
    try:
        return tuple(int(part) for part in re.findall(r"\d+", importlib.metadata.version(package))[:2])
    except importlib.metadata.PackageNotFoundError:
        return 0, 0


def holds(condition):
    if condition == "always":
        return True
    package, comparison, bound = condition.split()
    return COMPARE[comparison](version(package), tuple(int(part) for part in bound.split(".")))


class Line:
    """A line of the list."""

    def __init__(self, text):
        self.text = text
        self.pattern, condition, self.failure, self.reason = (part.strip() for part in text.split(" | "))
        self.holds = holds(condition)
        self.used = False

    def names(self, nodeid):
        return fnmatch.fnmatchcase(nodeid, self.pattern)


def read_lines(path):
    with open(path, encoding="utf-8") as file:
        lines = [Line(text.rstrip("\n")) for text in file if text.strip() and not text.startswith("#")]
    return [line for line in lines if line.holds]


class StandIn:
    def __init__(self, lines):
        self.lines = lines
        self.imports = {}  # computations while a file was imported, by file
        self.calls = 0  # computations of the test that runs

    def expected(self, nodeid):
        for line in self.lines:
            if line.names(nodeid):
                line.used = True
                return line
        return None

    @staticmethod
    def skip(report, line):
        report.outcome = "skipped"
        report.longrepr = (report.nodeid, None, f"Skipped: {line.reason}")

    @pytest.hookimpl(hookwrapper=True)
    def pytest_make_collect_report(self, collector):
        before = evaluation.evaluated
        outcome = yield
        report = outcome.get_result()
        if not isinstance(collector, pytest.Module):
            return
        self.imports[collector.nodeid] = evaluation.evaluated - before
        if report.outcome == "passed":
            return
        line = self.expected(collector.nodeid)
        if line is not None and line.failure in str(report.longrepr):
            self.skip(report, line)
        elif report.outcome == "skipped":
            report.outcome = "failed"

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_call(self):
        before = evaluation.evaluated
        yield
        self.calls = evaluation.evaluated - before

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item, call):
        outcome = yield
        report = outcome.get_result()
        if report.when == "setup" and report.outcome == "passed" or report.when == "teardown":
            return
        counted = self.calls + self.imports.get(item.nodeid.split("::")[0], 0) > 0
        self.calls = 0
        problem = str(report.longrepr) if report.outcome != "passed" else "" if counted else NOT_COUNTED
        line = self.expected(item.nodeid)
        if line is None:
            if problem and report.outcome != "failed":
                report.outcome, report.longrepr = "failed", f"not in the list of skips: {problem}"
        elif not problem:
            report.outcome, report.longrepr = "failed", f"passes: take this line from the list of skips: {line.text}"
        elif line.failure in problem:
            self.skip(report, line)
        else:
            report.outcome, report.longrepr = "failed", f"expected {line.failure!r}, got: {problem}"

    def pytest_sessionfinish(self, session):
        """A line for a file that was run has named something."""
        idle = [line for line in self.lines
                if not line.used and line.pattern.split("::")[0] in self.imports and not session.config.getoption("keyword")]
        for line in idle:
            print(f"\nnames no test that was run: take this line from the list of skips: {line.text}")
        if idle and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_configure(config):
    keopscl.install_as_pykeops()
    config.pluginmanager.register(StandIn(read_lines(os.environ["KEOPSCL_FOREIGN_SKIPS"])))
