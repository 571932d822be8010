# SPDX-License-Identifier: MIT
"""The scripts of the gallery run, with the assertions on their results that they have, and draw their pictures.

They take a device, as the interpreter would be slow. KEOPSCL_PICTURES names a folder in which the pictures are left.
"""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs" / "python"
SCRIPTS = sorted(DOCS.glob("gallery/plot_*.py"))

if not SCRIPTS:
    pytest.skip("docs/python/gallery is not there: tests of an installed package", allow_module_level=True)
pytest.importorskip("matplotlib")
pytest.importorskip("scipy", "1.12")  # cg has rtol


@pytest.fixture(scope="module")
def environment():
    from keopscl._core import contexts

    device = next((kind for kind in ("gpu", "cpu") if contexts.has(kind)), None)
    if device is None:
        pytest.skip("no OpenCL device")
    return dict(os.environ, KEOPSCL_DEVICE=device)


def test_there_are_twelve():
    assert len(SCRIPTS) >= 12


def test_page_of_jax(environment):
    """The first program of the page about JAX runs, with a hundredth of the points."""
    pytest.importorskip("jax")
    program = textwrap.dedent(program_of(DOCS / "jax.rst", ".. code-block:: python\n", "\n\n``"))
    assert "10_000" in program
    assert_runs(program.replace("10_000", "100"), environment)


def test_pictures_of_the_readme():
    """README shows three pictures, which are small and there."""
    text = (DOCS.parents[1] / "README.md").read_text()
    pictures = re.findall(r"\]\((docs/python/pictures/[^)]*)\)", text)
    assert len(pictures) == 3
    assert all(0 < (DOCS.parents[1] / picture).stat().st_size < 60_000 for picture in pictures)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_script(script, environment, tmp_path):
    from matplotlib.image import imread

    if script.stem.endswith("_jax"):
        pytest.importorskip("jax")
    folder = Path(os.environ.get("KEOPSCL_PICTURES") or tmp_path)
    done = subprocess.run(
        [sys.executable, DOCS / "pictures.py", folder, script], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    picture = imread(folder / f"{script.stem[len('plot_'):]}.png")
    assert min(picture.shape[:2]) > 100 and np.ptp(picture[..., :3]) > 0.5


def program_of(path, start, end):
    """The lines of the first program in Python of a text."""
    text = path.read_text()
    return text[text.index(start) + len(start) :].split(end, 1)[0].strip("\n")


def assert_runs(program, environment):
    done = subprocess.run(
        [sys.executable, "-c", program], env=dict(environment, MPLBACKEND="Agg"), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_first_page(environment):
    """The program of the first page has ten lines, and runs as it stands."""
    program = textwrap.dedent(program_of(DOCS / "index.rst", ".. code-block:: python\n", "\n\n.. "))
    assert len([line for line in program.splitlines() if line.strip()]) == 10
    assert_runs(program, environment)


@pytest.mark.parametrize(
    "readme",
    [DOCS.parents[1] / "README.md", DOCS.parents[1] / "python" / "README.md"],
    ids=["README.md", "python/README.md"],
)
def test_readme(readme, environment):
    """The programs of the READMEs run, with a thousandth of the points."""
    program = program_of(readme, "```python\n", "```")
    assert "00_000" in program
    assert_runs(program.replace("00_000", "00"), environment)


def test_sphinx(tmp_path):
    """The documentation is built without a warning. Scripts of the gallery do not run again."""
    pytest.importorskip("sphinx_gallery")
    copy = tmp_path / "docs" / "python"
    shutil.copytree(DOCS, copy, ignore=shutil.ignore_patterns("auto_gallery", "sg_execution_times.rst"))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "sphinx",
            "-q",
            "-W",
            "--keep-going",
            "-b",
            "html",
            copy,
            tmp_path / "html",
        ],
        env=dict(os.environ, MPLBACKEND="Agg", PLOT_GALLERY="0"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "html" / "reference.html").read_text()
    assert page.count("keopscl.numpy.LazyTensor.") > 100
