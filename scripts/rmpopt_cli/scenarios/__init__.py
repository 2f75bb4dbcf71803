# SPDX-License-Identifier: GPL-2.0-or-later
"""Situations in which a kernel may go wrong: their definitions, and the code that runs and judges them."""
