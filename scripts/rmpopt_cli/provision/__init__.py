# SPDX-License-Identifier: GPL-2.0-or-later
"""Provides what a guest needs before it can start: packages, QEMU, the project's own build, kernels; and the cache."""
