# SPDX-License-Identifier: MIT
"""What lists of skips make of results."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from skips import Skips  # noqa: E402


def test_lines_that_do_not_fit_are_failures(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("# a note\na.py::* | always | no solver | not built\n\nb.py | numpy < 0.1 | | never\n"
                    "c.py | numpy >= 1.0 | | for any reason\n"
                    "d.py | CUDA | | on a GPU\nd.py | no CUDA | | without one\n")
    skips = Skips(str(path))
    assert skips.judge("a.py::t", "Error: no solver here") == ("skipped", "not built")
    assert skips.judge("a.py::t", "Error: another one")[0] == "failed"
    assert skips.judge("a.py::t", "")[0] == "failed"
    assert skips.judge("b.py", "Error") == ("failed", "Error")
    assert skips.judge("b.py", "") == ("passed", "")
    assert [line.pattern for line in skips.lines if not line.used] == ["c.py", "d.py"]
    assert skips.judge("c.py", "Error") == ("skipped", "for any reason")
    assert skips.judge("d.py", "Error")[1] in ("on a GPU", "without one")
