/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests to the hypervisor, by the GHCB protocol (AMD 56421). What it refuses ends the guest.
 * Exits that an instruction would cause are requested without that instruction, so there is no
 * handler for #VC.
 */
#ifndef DIRECT_BOOT_HYPERVISOR_H
#define DIRECT_BOOT_HYPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

/* Shares the GHCB's page and the buffer. Only then there is more than hypervisor_terminate(). */
void hypervisor_open(uint64_t encryption_mask);
/* Takes both back. They are private then, and not validated. */
void hypervisor_close(void);
bool hypervisor_is_open(void);
_Noreturn void hypervisor_terminate(unsigned set, unsigned code);

/*
 * Has the hypervisor provide private memory. It would do so by itself, but then each page takes an
 * exit when it is validated.
 */
void request_private(uint64_t start, uint64_t end);

/* Of 1, 2 or 4 bytes. */
void port_out(uint16_t port, unsigned bytes, uint32_t value);
uint32_t port_in(uint16_t port, unsigned bytes);
void mmio_out(uint64_t gpa, uint32_t value);
void write_msr(uint32_t msr, uint64_t value);

#endif
