# SPDX-License-Identifier: GPL-2.0-or-later
"""SNP guests of the emulated host."""
