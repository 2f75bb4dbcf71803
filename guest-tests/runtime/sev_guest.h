/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What only software in an SEV guest uses. The instructions are given by their bytes. */
#ifndef RUNTIME_SEV_GUEST_H
#define RUNTIME_SEV_GUEST_H

#define MSR_GHCB 0xc0010130
#define MSR_SEV_STATUS 0xc0010131

#define VMGEXIT ".byte 0xf3, 0x0f, 0x01, 0xd9;"
#define PVALIDATE ".byte 0xf2, 0x0f, 0x01, 0xff;"
#define RMPADJUST ".byte 0xf3, 0x0f, 0x01, 0xfe;"
#define RMPQUERY ".byte 0xf3, 0x0f, 0x01, 0xfd;"

#endif
