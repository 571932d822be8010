# SPDX-License-Identifier: MIT
"""A plugin of pytest for tests that import pykeops: they find keopscl, and count only where keopscl has computed.

KEOPSCL_FOREIGN_SKIPS is the list (skips.py) of tests, as FILE::NAME, that are not expected to pass, and of files that
cannot be imported. A test that skips itself, or computes nothing with keopscl, is one that does not pass.
"""
import os

import keopscl
import pytest
from keopscl._core import evaluation
from skips import Skips

NOT_COUNTED = "no computation of keopscl is counted"


class StandIn:
    def __init__(self, skips):
        self.skips = skips
        self.imports = {}  # computations while a file was imported, by file
        self.before = 0  # computations before the test that runs

    def judge(self, report, problem):
        """Changes the outcome of a report to what the list makes of it."""
        before = report.outcome
        outcome, text = self.skips.judge(report.nodeid, problem)
        if outcome == "skipped":
            report.longrepr = report.nodeid, None, f"Skipped: {text}"
        elif outcome == "failed" and (before != "failed" or text != problem):
            report.longrepr = text
        report.outcome = outcome

    @pytest.hookimpl(hookwrapper=True)
    def pytest_make_collect_report(self, collector):
        before = evaluation.evaluated()
        outcome = yield
        if isinstance(collector, pytest.Module):
            self.imports[collector.nodeid] = evaluation.evaluated() - before
            report = outcome.get_result()
            if report.outcome != "passed":
                self.judge(report, str(report.longrepr))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self):
        self.before = evaluation.evaluated()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item, call):
        outcome = yield
        report = outcome.get_result()
        if report.when == "setup" and report.outcome == "passed" or report.when == "teardown":
            return
        counted = evaluation.evaluated() - self.before + self.imports.get(item.nodeid.split("::")[0], 0) > 0
        self.judge(report, str(report.longrepr) if report.outcome != "passed" else "" if counted else NOT_COUNTED)

    def pytest_sessionfinish(self, session):
        """A line for a file that was run has named something."""
        idle = [line for line in self.skips.lines if not line.used and line.pattern.split("::")[0] in self.imports]
        if session.config.getoption("keyword") or not idle:
            return
        for line in idle:
            print(f"\nnames no test that was run: take this line from the list of skips: {line.text}")
        if session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_configure(config):
    keopscl.install_as_pykeops()
    config.pluginmanager.register(StandIn(Skips(os.environ["KEOPSCL_FOREIGN_SKIPS"])))
