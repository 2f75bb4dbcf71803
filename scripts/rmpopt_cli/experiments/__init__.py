# SPDX-License-Identifier: GPL-2.0-or-later
"""Measured situations: the table of them, what runs them, and the tables made of the results."""
