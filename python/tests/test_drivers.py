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
