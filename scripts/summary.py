#!/usr/bin/env python3
"""summary.py LOG...: adds up the results of runs of `meson test` (LOG.json), check by check, and of pytest (LOG.xml).

A test program counts by what it prints: Check's "100%: Checks: 12, Failures: 0, Errors: 0", TAP's "ok 1 name", and
"skipped: reason" for each of Check's checks that found nothing to test on. A program that prints none of these, and one
that fails otherwise, counts as one.
"""
import json
import re
import sys
import xml.etree.ElementTree

CHECK = re.compile(r"^\d+%: Checks: (\d+), Failures: (\d+), Errors: (\d+)", re.M)
TAP = re.compile(r"^(not )?ok \d+(.*)", re.M)
SKIPPED = re.compile(r"^skipped: ", re.M)


def count(test):
    """(passed, failed, skipped) of one test program."""
    if test["result"] == "SKIP":
        return 0, 0, 1
    output = test.get("stdout") or ""
    passed = failed = skipped = 0
    for checks, failures, errors in CHECK.findall(output):
        failed += int(failures) + int(errors)
        passed += int(checks) - int(failures) - int(errors)
    missing = len(SKIPPED.findall(output))
    passed, skipped = passed - missing, missing
    if not CHECK.search(output):
        for negation, rest in TAP.findall(output):
            if re.search(r"# SKIP", rest, re.I):
                skipped += 1
            elif negation:
                failed += 1
            else:
                passed += 1
    good = test["result"] in ("OK", "EXPECTEDFAIL")
    if not good and failed == 0:
        failed += 1
    if good and passed + failed + skipped == 0:
        passed += 1
    return passed, failed, skipped


def of_meson(path):
    """(name, (passed, failed, skipped)) of each test program of a log."""
    with open(path, encoding="utf-8") as file:
        tests = [json.loads(line) for line in file]
    return [(test["name"], count(test)) for test in tests]


def of_pytest(path):
    """The same of each file of tests."""
    files = {}
    for case in xml.etree.ElementTree.parse(path).iter("testcase"):
        bad = case.find("failure") is not None or case.find("error") is not None
        state = 1 if bad else 2 if case.find("skipped") is not None else 0
        files.setdefault(case.get("classname") or case.get("name"), [0, 0, 0])[state] += 1
    return [(name, tuple(counts)) for name, counts in files.items()]


total = [0, 0, 0]
print()
for path in sys.argv[1:]:
    try:
        tests = of_pytest(path) if path.endswith(".xml") else of_meson(path)
    except (OSError, ValueError, xml.etree.ElementTree.ParseError) as problem:
        tests = [(str(problem), (0, 1, 0))]
    if not tests:
        tests = [("holds no test", (0, 1, 0))]
    for name, counts in tests:
        total = [a + b for a, b in zip(total, counts)]
        if counts[1] or counts[2]:
            print("%s: %s: %d passed, %d failed, %d skipped" % ((path, name) + counts))
print("%d passed, %d failed" % tuple(total[:2]) + (", %d skipped" % total[2] if total[2] else ""))
sys.exit(total[1] > 0)
