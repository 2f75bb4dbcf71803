# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of the whole: boots through the command line, and the runner of all tests."""
