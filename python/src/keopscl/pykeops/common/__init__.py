# SPDX-License-Identifier: MIT
"""pykeops.common: what programs import of it."""
