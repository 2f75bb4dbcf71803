# SPDX-License-Identifier: GPL-2.0-or-later
"""The search for races: runs of a deterministic machine whose CPUs stall at drawn points."""
