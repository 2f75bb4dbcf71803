/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A C wrapper around libvfio-user, whose headers do not compile as C++: the PCI function on its
 * vfio-user socket. All functions must be called from one thread.
 */
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vfio_user_port;

/* Called from within vfio_user_port_service(). */
struct vfio_user_handler {
    void *self;
    /* Access to one aligned 32-bit register of BAR 2. */
    uint32_t (*read)(void *self, uint32_t offset);
    void (*write)(void *self, uint32_t offset, uint32_t value);
    void (*reset)(void *self);
    void (*log)(void *self, const char *line);
};

/* Listens on `path`. Returns NULL and sets errno on failure. */
struct vfio_user_port *vfio_user_port_open(const char *path, uint32_t bar2_bytes,
                                           const struct vfio_user_handler *handler);
/*
 * A file descriptor that is readable when vfio_user_port_service() has work. It may be another one
 * after each call of that function.
 */
int vfio_user_port_fd(struct vfio_user_port *port);
/* Accepts a client or answers one request. */
void vfio_user_port_service(struct vfio_user_port *port);
/* Raises MSI-X vector 0. Has no effect while the guest has not enabled it. */
void vfio_user_port_interrupt(struct vfio_user_port *port);
void vfio_user_port_close(struct vfio_user_port *port);

#ifdef __cplusplus
}
#endif
