# SPDX-License-Identifier: MIT
"""The programs of pykeops' documentation, unchanged, run on keopscl.

KEOPSCL_FOREIGN names the folder that fetch.py fills. KEOPSCL_FOREIGN_PYKEOPS, if given, is a folder with pykeops
itself: then the results of some programs are compared with those of pykeops on the CPU. scripts.txt lists (skips.py)
what is not expected to run.
"""
import os
import subprocess
import sys

import numpy as np
import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
FOREIGN = os.environ.get("KEOPSCL_FOREIGN", "")
PYKEOPS = os.environ.get("KEOPSCL_FOREIGN_PYKEOPS", "")

if not FOREIGN:
    pytest.skip("KEOPSCL_FOREIGN names no folder with foreign programs (fetch.py)", allow_module_level=True)

sys.path.insert(0, HERE)
from skips import Skips  # noqa: E402

SKIPS = Skips(os.path.join(HERE, "scripts.txt"))

# Programs whose results are compared with those of pykeops.
COMPARED = (
    "examples/numpy/plot_generic_syntax_numpy.py",
    "examples/numpy/plot_test_softmax_numpy.py",
    "examples/numpy/plot_test_softmax_numpy_helper.py",
    "examples/pytorch/plot_advanced_formula.py",
    "examples/pytorch/plot_anisotropic_kernels.py",
    "examples/pytorch/plot_generic_syntax_pytorch.py",
    "examples/pytorch/plot_generic_syntax_pytorch_LSE.py",
    "examples/pytorch/plot_test_softmax_torch.py",
)


def programs():
    found = []
    for top in ("examples", "tutorials"):
        for folder, _, names in os.walk(os.path.join(FOREIGN, top)):
            found += [os.path.relpath(os.path.join(folder, name), FOREIGN) for name in names
                      if name.endswith(".py") and name != "__init__.py"]
    assert found, "no programs: fetch.py"
    return sorted(found)


PROGRAMS = programs()


def run(package, program, results):
    """What a program writes to standard error before it fails; "" if it does not fail."""
    path = os.path.join(FOREIGN, program)
    environment = dict(os.environ, MPLBACKEND="Agg")
    if package == "pykeops":
        environment["PYTHONPATH"] = PYKEOPS
    done = subprocess.run([sys.executable, os.path.join(HERE, "run_script.py"), package, results, path],
                          cwd=os.path.dirname(path), env=environment, stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, universal_newlines=True, errors="replace")
    if done.returncode == 0:
        return ""
    return done.stderr or f"exit code {done.returncode}"


@pytest.mark.parametrize("program", PROGRAMS)
def test_program_runs(program, tmp_path):
    results = str(tmp_path / "results.npz")
    problem = run("keopscl", program, results)
    if not problem and np.load(results)["evaluated"] == 0:
        problem = "no computation of keopscl is counted"
    outcome, text = SKIPS.judge(program, problem)
    if outcome == "skipped":
        pytest.skip(text)
    assert outcome == "passed", text


def test_the_list_names_programs():
    idle = [line.text for line in SKIPS.lines if not any(map(line.names, PROGRAMS))]
    assert not idle, "\n".join(idle)


@pytest.mark.parametrize("program", COMPARED if PYKEOPS else [])
def test_results_are_those_of_pykeops(program, tmp_path):
    loaded = {}
    for package in ("keopscl", "pykeops"):
        path = str(tmp_path / f"{package}.npz")
        assert not run(package, program, path)
        loaded[package] = np.load(path)
    ours, theirs = loaded["keopscl"], loaded["pykeops"]
    assert ours["evaluated"] > 0
    names = [name for name in theirs.files if name.startswith("result_")]
    assert names and set(names) == set(ours.files) - {"evaluated"}
    for name in names:
        assert ours[name].dtype == theirs[name].dtype and ours[name].shape == theirs[name].shape, name
        scale = np.abs(theirs[name]).max()
        np.testing.assert_allclose(ours[name], theirs[name], rtol=0, atol=1e-3 * scale, err_msg=name)
