# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests of the whole program through its command line, and the runner of all tests."""
