# SPDX-License-Identifier: GPL-2.0-or-later
"""Used by all other folders: errors, messages, paths, options, running programs."""
