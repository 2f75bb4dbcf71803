# SPDX-License-Identifier: GPL-2.0-or-later
"""Measured situations: their definitions, the code that runs them, and the tables of their results."""
