# SPDX-License-Identifier: MIT
"""The texts of the package, of its tests and documentation, and of the benchmarks."""

from pathlib import Path

import pytest

COLUMNS = 120
ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ["python/src", "python/tests", "python/tools", "docs/python", "bench"]
KINDS = {".py", ".pyi", ".c", ".h"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_line_is_too_long(folder):
    paths = [path for path in (ROOT / folder).rglob("*") if path.suffix in KINDS and "auto_gallery" not in path.parts]
    assert paths
    long = [
        f"{path.relative_to(ROOT)}:{number}: {len(line)} columns"
        for path in paths
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > COLUMNS
    ]
    assert not long
