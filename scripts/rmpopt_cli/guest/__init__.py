# SPDX-License-Identifier: GPL-2.0-or-later
"""One running guest: the QEMU command, the session with it, and the verdict."""
