# SPDX-License-Identifier: MIT
"""The names of pykeops."""

import subprocess
import sys

import numpy as np
import pytest

PROGRAM = """
import sys
import pykeops
import pykeops.config
from pykeops.numpy import LazyTensor, Genred, Vi, Vj, Pm
from pykeops.numpy.utils import squared_distances
import pykeops.numpy.cluster
from pykeops.common.gpu_utils import get_gpu_number
import numpy as np
x = np.arange(6.0).reshape(3, 2)
K = Vi(x).sqdist(Vj(x))
assert np.allclose(K.sum(axis=1)[:, 0], squared_distances(x, x).sum(1))
pykeops.set_verbose(False)
pykeops.clean_pykeops()
pykeops.check_health()
pykeops.test_numpy_bindings()
assert isinstance(pykeops.config.gpu_available, bool) and pykeops.get_build_folder() is not None
assert pykeops.numpy.LazyTensor is LazyTensor and sys.modules["pykeops.numpy"].__name__ == "keopscl.numpy"
assert __name__ == "__main__"
print("arguments", sys.argv[1:], get_gpu_number())
"""


def test_programs_that_import_pykeops_run(tmp_path, monkeypatch):
    monkeypatch.setenv("KEOPSCL_CACHE_DIR", str(tmp_path))
    script = tmp_path / "script.py"
    script.write_text(PROGRAM)
    result = subprocess.run(
        [sys.executable, "-m", "keopscl.pykeops", str(script), "a", "-b"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )
    assert result.returncode == 0, result.stderr
    assert "arguments ['a', '-b']" in result.stdout
    assert "bindings is working" in result.stdout
    assert "OpenCL" in result.stdout


def test_usage():
    run = [sys.executable, "-m", "keopscl.pykeops"]
    assert subprocess.run(run, stderr=subprocess.PIPE).returncode == 2
    assert subprocess.run([*run, "--help"], stdout=subprocess.PIPE).returncode == 0


def test_importing_opens_no_driver_and_no_torch():
    program = (
        "import sys, keopscl, keopscl.numpy, keopscl.pykeops; keopscl.install_as_pykeops(); import pykeops.numpy; "
        "assert 'torch' not in sys.modules; "
        "import os; assert not any('OpenCL' in line for line in open('/proc/self/maps'))"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_clusters_and_solvers_say_that_they_are_not_there():
    from keopscl.numpy import Genred, KernelSolve, LazyTensor, cluster

    for name in cluster.__all__:
        if name != "swap_axes":
            with pytest.raises(NotImplementedError, match=name):
                getattr(cluster, name)(None)
    assert cluster.swap_axes(None) is None
    with pytest.raises(NotImplementedError):
        KernelSolve("x", [], "x")
    x = np.ones((3, 1, 1))
    with pytest.raises(NotImplementedError):
        LazyTensor(x).solve(x)
    with pytest.raises(NotImplementedError, match="ranges"):
        LazyTensor(x).sum(axis=1, ranges=(1, 2, 3, 4, 5, 6))
    with pytest.raises(NotImplementedError, match="ranges"):
        Genred("x", ["x = Vi(1)"], axis=1)(x[:, 0], ranges=(1, 2, 3, 4, 5, 6))
