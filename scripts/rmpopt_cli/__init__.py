# SPDX-License-Identifier: GPL-2.0-or-later
"""The rmpopt command line: set-up, kernel build, boot, bare-metal tests."""
