# SPDX-License-Identifier: MIT
"""Sphinx's settings: sphinx-build docs/python FOLDER, with the package keopscl installed."""

import importlib.util
import os

import keopscl

project = "keopscl"
copyright = "the authors of libkeopscl"
release = version = keopscl.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx_gallery.gen_gallery"]
exclude_patterns = ["structure.md", "gallery"]
html_theme = "alabaster"
html_theme_options = {"page_width": "1100px", "sidebar_width": "240px", "description": "LazyTensors on OpenCL devices"}
html_show_sourcelink = False

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_mock_imports = [] if importlib.util.find_spec("torch") else ["torch"]

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_gallery",
    "filename_pattern": r"/plot_",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "min_reported_time": 1000,
    "plot_gallery": os.environ.get("PLOT_GALLERY", "1") != "0",  # whether the scripts are run
}


def plain(app, what, name, obj, options, lines):
    """Docstrings are plain text, in which |x| is an absolute value and * a product."""
    for k, line in enumerate(lines):
        if not line.lstrip().startswith(">>>"):
            lines[k] = line.replace("\\", "\\\\").replace("|", "\\|").replace("*", "\\*").replace("`", "\\`")


def setup(app):
    app.connect("autodoc-process-docstring", plain)
