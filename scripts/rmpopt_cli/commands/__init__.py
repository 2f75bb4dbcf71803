# SPDX-License-Identifier: GPL-2.0-or-later
"""One module for each verb of the command line: its arguments and its behaviour."""
