# SPDX-License-Identifier: MIT
"""What programs that say `import pykeops` find: keopscl under the names of pykeops 2.3.

`keopscl.install_as_pykeops()` makes later imports of pykeops find this package, `python -m keopscl.pykeops script.py`
runs a program with it.
"""

from __future__ import annotations

from typing import Any, Optional

from . import config

__version__ = "2.3"

verbose = True
default_device_id = 0


def set_verbose(val: bool) -> None:
    """Whether this package prints what it does. Nothing else depends on it: the library itself never prints."""
    global verbose
    verbose = bool(val)


def get_build_folder() -> str:
    """The folder of compiled kernels: KEOPSCL_CACHE_DIR, else ~/.cache/keopscl; "" where none are kept."""
    return config.get_build_folder()


def set_build_folder(path: Optional[str] = None) -> None:
    """Chooses the folder of compiled kernels, by an absolute path; None is the default. Devices that are open keep
    theirs.
    """
    config.set_build_folder(path)


def clean_pykeops(recompile_jit_binaries: bool = True) -> None:
    """Removes the compiled kernels from the disk. Those in memory stay."""
    removed = config.clear_cache()
    if verbose:
        print(f"[keopscl] {removed} compiled kernels removed from {get_build_folder() or 'no folder'}")


def check_health() -> None:
    """Prints what was looked for and found: the OpenCL loader, its devices, the cache of kernels."""
    print(config.doctor())


def test_numpy_bindings() -> None:
    """Computes a small sum with NumPy, and prints whether it is right."""
    import numpy as np

    from ..numpy import Genred

    x = np.arange(1, 10, dtype=np.float32).reshape(3, 3)
    y = np.arange(3, 9, dtype=np.float32).reshape(2, 3)
    result = Genred("SqNorm2(x-y)", ["x = Vi(3)", "y = Vj(3)"])(x, y)
    _tell("numpy", bool(np.allclose(result[:, 0], ((x[:, None] - y[None]) ** 2).sum((0, 2)))))


def test_torch_bindings() -> None:
    """Computes a small sum with PyTorch, and prints whether it is right."""
    import importlib

    torch: Any = importlib.import_module("torch")
    Genred = importlib.import_module("keopscl.torch").Genred
    x = torch.arange(1, 10, dtype=torch.float32).view(3, 3)
    y = torch.arange(3, 9, dtype=torch.float32).view(2, 3)
    result = Genred("SqNorm2(x-y)", ["x = Vi(3)", "y = Vj(3)"])(x, y)
    _tell("torch", bool(torch.allclose(result[:, 0], ((x[:, None] - y[None]) ** 2).sum((0, 2)))))


# pytest takes functions of this name for tests where they are imported.
test_numpy_bindings.__test__ = False  # type: ignore[attr-defined]
test_torch_bindings.__test__ = False  # type: ignore[attr-defined]


def _tell(name: str, right: bool) -> None:
    print(f"pyKeOps with {name} bindings is working!" if right else f"keopscl with {name}: wrong values")
