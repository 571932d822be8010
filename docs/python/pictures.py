#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs scripts of the gallery and saves their pictures: pictures.py FOLDER [SCRIPT...]

All scripts run where none is named. Exit code 1: a script fails, or draws nothing.
"""

import runpy
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from PIL import Image

GALLERY = Path(__file__).resolve().parent / "gallery"


def run(script, folder):
    """Runs a script; returns the paths of its pictures."""
    plt.close("all")
    runpy.run_path(str(script), run_name="__main__")
    paths = []
    for number in plt.get_fignums():
        path = folder / (script.stem.replace("plot_", "") + (f"_{number}" if number > 1 else "") + ".png")
        plt.figure(number).savefig(path, dpi=60)
        Image.open(path).convert("RGB").quantize(128).save(path, optimize=True)  # a third of the bytes
        paths.append(path)
    plt.close("all")
    return paths


def main(folder, *scripts):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    sys.path.append(str(GALLERY))  # as Sphinx-Gallery does
    for script in [Path(each) for each in scripts] or sorted(GALLERY.glob("plot_*.py")):
        paths = run(script, folder)
        if not paths:
            print(f"{script}: no picture", file=sys.stderr)
            return 1
        print(f"{script.name}: {', '.join(path.name for path in paths)}", flush=True)
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
