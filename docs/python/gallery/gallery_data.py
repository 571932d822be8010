# SPDX-License-Identifier: MIT
"""
Data of the gallery
===================

Files of ``examples/data`` in the repository, as the scripts of the gallery read them.
"""

from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parents[3] / "examples" / "data"


def airports():
    """Longitude and latitude in degrees, and elevation in metres, of 5,788 airports of the world."""
    return np.loadtxt(FOLDER / "airports.csv", delimiter=",", unpack=True)


def digits():
    """1,797 images of handwritten digits, 64 grey values from 0 to 16 each, and the digits."""
    rows = [line.split() for line in (FOLDER / "digits.txt").read_text().splitlines() if not line.startswith("#")]
    return np.array([[int(grey, 17) for grey in text] for _, text in rows], dtype=float), np.array(
        [int(label) for label, _ in rows]
    )
