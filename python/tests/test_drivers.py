# SPDX-License-Identifier: MIT
"""Drivers that pip has installed, on a machine whose system has none."""

import glob
import os

import pytest
from conftest import run_python

PROGRAM = """
import numpy as np, keopscl
from keopscl.numpy import LazyTensor
x = np.arange(12.0).reshape(4, 1, 3)
assert LazyTensor(x).sqdist(LazyTensor(x.reshape(1, 4, 3))).sum(axis=1).shape == (4, 1)
print(keopscl.device_name())
"""


def install(folder, library):
    """A distribution by the name of one that holds a driver, with a library of the given contents or place."""
    info = folder / "pocl_binary_distribution-3.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pocl-binary-distribution\nVersion: 3.0\n")
    (info / "RECORD").write_text("libpocl-0.so,,\n")
    if isinstance(library, bytes):
        (folder / "libpocl-0.so").write_bytes(library)
    else:
        (folder / "libpocl-0.so").symlink_to(library)


def run(folder, device=None):
    import keopscl

    source = os.path.dirname(os.path.dirname(keopscl.__file__))
    return run_python(
        "-c",
        PROGRAM,
        KEOPSCL_DEVICE=device,
        KEOPSCL_DRIVER=None,
        PYTHONPATH=os.pathsep.join([str(folder), source]),
        OCL_ICD_VENDORS=str(folder),
        KEOPSCL_CACHE_DIR=str(folder / "cache"),
    )


def test_a_driver_that_does_not_work_is_not_used(tmp_path):
    install(tmp_path, b"no library")
    result = run(tmp_path)
    assert result.returncode == 0, result.stderr
    if "Intel" not in result.stdout:  # a driver that pip has installed here
        assert "interpreter" in result.stdout
        assert result.stderr.count('pip install "keopscl[cpu]"') == 1


def test_a_driver_that_works_is_tried_once_and_used(tmp_path):
    found = glob.glob("/usr/lib/*/libpocl.so.*") + glob.glob("/usr/lib*/libpocl.so.*")
    if not found:
        pytest.skip("there is no libpocl.so to take for a driver of pip's")
    install(tmp_path, found[0])
    result = run(tmp_path)
    assert result.returncode == 0 and not result.stderr, result.stderr
    assert "interpreter" not in result.stdout
    notes = glob.glob(str(tmp_path / "cache" / "driver-*-works"))
    assert len(notes) == 1 or "Intel" in result.stdout
    assert "interpreter" not in run(tmp_path, device="cpu").stdout
    assert "interpreter" in run(tmp_path, device="host").stdout


def install_algebra(folder, library):
    info = folder / "scipy_openblas32-0.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: scipy-openblas32\nVersion: 0.3\n")
    (info / "RECORD").write_text("scipy_openblas32/lib/libscipy_openblas.so,,\n")
    (folder / "scipy_openblas32" / "lib").mkdir(parents=True)
    (folder / "scipy_openblas32" / "lib" / "libscipy_openblas.so").symlink_to(library)


@pytest.mark.parametrize("given", [None, "none", "/nowhere/libblas.so"])
def test_dense_algebra_of_pip_is_used_unless_another_is_named(tmp_path, given):
    import keopscl

    found = [path for name in ("openblas", "blas") for path in glob.glob(f"/usr/lib*/*/lib{name}.so.[0-9]")]
    if not found:
        pytest.skip("there is no library with CBLAS to take for that of pip")
    install_algebra(tmp_path, found[0])
    program = "import keopscl.pykeops.config as c; from keopscl import device_name; device_name(); print(c.doctor())"
    result = run_python(
        "-c",
        program,
        KEOPSCL_DEVICE="host",
        KEOPSCL_BLAS=given,
        PYTHONPATH=os.pathsep.join([str(tmp_path), os.path.dirname(os.path.dirname(keopscl.__file__))]),
    )
    assert result.returncode == 0, result.stderr
    used = f"on CPUs: {os.path.realpath(found[0])}, "
    assert (used in result.stdout) == (given is None)
    assert (f"KEOPSCL_BLAS={given}" in result.stdout) == (given is not None)
