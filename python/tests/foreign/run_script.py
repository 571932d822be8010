# SPDX-License-Identifier: MIT
"""run_script.py keopscl|pykeops RESULTS SCRIPT: runs a program as `python -m keopscl.pykeops SCRIPT` does, or with
pykeops.

Random numbers begin at the same state in each run. The arrays that the program leaves in its global variables go to the
file RESULTS, with the number of computations of keopscl as `evaluated`.
"""
import runpy
import sys

import numpy as np

LARGEST = 10 ** 6  # numbers in an array that is kept


def arrays(variables):
    """Arrays of floating-point numbers by name, from NumPy and PyTorch."""
    kept = {}
    for name, value in variables.items():
        if type(value).__module__.startswith("torch") and type(value).__name__ in ("Tensor", "Parameter"):
            value = value.detach().cpu().numpy()
        if isinstance(value, np.ndarray) and value.dtype.kind in "fc" and 0 < value.size <= LARGEST:
            kept[name] = value
    return kept


def main():
    package, results, script = sys.argv[1:]
    np.random.seed(0)
    try:
        import torch
        torch.manual_seed(0)
    except ImportError:
        pass
    variables = {}
    evaluated = 0
    if package == "keopscl":
        from keopscl._core import evaluation
        run_path = runpy.run_path
        # The globals of a program are what runpy.run_path returns.
        runpy.run_path = lambda *args, **kwargs: variables.update(run_path(*args, **kwargs))
        sys.argv = ["keopscl.pykeops", script]
        runpy.run_module("keopscl.pykeops", run_name="__main__", alter_sys=True)
        evaluated = evaluation.evaluated()
    else:
        sys.argv = [script]
        variables = runpy.run_path(script, run_name="__main__")
    np.savez(results, evaluated=evaluated, **{"result_" + name: array for name, array in arrays(variables).items()})


if __name__ == "__main__":
    main()
