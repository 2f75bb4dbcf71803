# SPDX-License-Identifier: GPL-2.0-or-later
"""Situations in which a kernel may go wrong: the table of them, and what runs and judges them."""
