# SPDX-License-Identifier: MIT
"""The scripts of the gallery run, with the assertions on their results that they have, and draw their pictures.

They take a device, as the interpreter would be slow. KEOPSCL_PICTURES names a folder in which the pictures are left.
"""
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs" / "python"
SCRIPTS = sorted(DOCS.glob("gallery/plot_*.py"))

if not SCRIPTS:
    pytest.skip("docs/python/gallery is not there: tests of an installed package", allow_module_level=True)
pytest.importorskip("matplotlib")
pytest.importorskip("scipy")


@pytest.fixture(scope="module")
def environment():
    from keopscl._core import contexts
    device = next((kind for kind in ("gpu", "cpu") if contexts.has(kind)), None)
    if device is None:
        pytest.skip("no OpenCL device")
    return dict(os.environ, KEOPSCL_DEVICE=device)


def test_there_are_twelve():
    assert len(SCRIPTS) >= 12


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_script(script, environment, tmp_path):
    from matplotlib.image import imread
    folder = Path(os.environ.get("KEOPSCL_PICTURES") or tmp_path)
    done = subprocess.run([sys.executable, DOCS / "pictures.py", folder, script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    picture = imread(folder / f"{script.stem[len('plot_'):]}.png")
    assert min(picture.shape[:2]) > 100 and np.ptp(picture[..., :3]) > 0.5


def test_first_page(environment):
    """The program of the first page runs as it stands."""
    text = (DOCS / "index.rst").read_text()
    program = text[text.index(".. code-block:: python"):].split("\n\n", 1)[1].split("\n\n.. ", 1)[0]
    lines = [line[4:] for line in program.splitlines()]
    assert len([line for line in lines if line.strip()]) <= 10
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], env=dict(environment, MPLBACKEND="Agg"), cwd=DOCS.parents[1],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
