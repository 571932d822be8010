# SPDX-License-Identifier: MIT
"""LazyTensors and Genred without a word on who owns the arrays: keopscl._arrays tells that."""
