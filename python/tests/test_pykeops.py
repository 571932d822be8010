# SPDX-License-Identifier: MIT
"""The names of pykeops."""

import numpy as np
import pytest
from conftest import run_python

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
from pykeops.numpy.operations import KernelSolve
from pykeops.numpy.generic.generic_red import Genred as same_genred
from pykeops.numpy.lazytensor.LazyTensor import LazyTensor as same_tensor
import pykeops.numpy.lazytensor.LazyTensor
assert same_genred is Genred and same_tensor is pykeops.numpy.LazyTensor is LazyTensor
try:
    import pykeops.numpy.generic.other
except ModuleNotFoundError:
    pass
else:
    raise AssertionError
assert __name__ == "__main__"
print("arguments", sys.argv[1:], get_gpu_number())
"""


def test_programs_that_import_pykeops_run(tmp_path, monkeypatch):
    monkeypatch.setenv("KEOPSCL_CACHE_DIR", str(tmp_path))
    script = tmp_path / "script.py"
    script.write_text(PROGRAM)
    result = run_python("-m", "keopscl.pykeops", str(script), "a", "-b")
    assert result.returncode == 0, result.stderr
    assert "arguments ['a', '-b']" in result.stdout
    assert "bindings is working" in result.stdout
    assert "OpenCL" in result.stdout


def test_usage():
    assert run_python("-m", "keopscl.pykeops").returncode == 2
    assert run_python("-m", "keopscl.pykeops", "--help").returncode == 0


def test_importing_opens_no_driver_and_no_torch():
    program = (
        "import sys, keopscl, keopscl.numpy, keopscl.pykeops; keopscl.install_as_pykeops(); import pykeops.numpy; "
        "assert 'torch' not in sys.modules; "
        "import os; assert not any('OpenCL' in line for line in open('/proc/self/maps'))"
    )
    result = run_python("-c", program)
    assert result.returncode == 0, result.stderr


def test_clusters_and_ranges_say_that_they_are_not_there():
    from keopscl.numpy import Genred, LazyTensor, cluster

    for name in cluster.__all__:
        if name != "swap_axes":
            with pytest.raises(NotImplementedError, match=name):
                getattr(cluster, name)(None)
    assert cluster.swap_axes(None) is None
    x = np.ones((3, 1, 1))
    with pytest.raises(NotImplementedError, match="ranges"):
        LazyTensor(x).sum(axis=1, ranges=(1, 2, 3, 4, 5, 6))
    with pytest.raises(NotImplementedError, match="ranges"):
        Genred("x", ["x = Vi(1)"], axis=1)(x[:, 0], ranges=(1, 2, 3, 4, 5, 6))
