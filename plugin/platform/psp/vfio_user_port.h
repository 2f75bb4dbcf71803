/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PCI function on its vfio-user socket, over libvfio-user (whose headers are C only). All
 * calls belong to one thread.
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
    /* One aligned 32-bit register of BAR 2. */
    uint32_t (*read)(void *self, uint32_t offset);
    void (*write)(void *self, uint32_t offset, uint32_t value);
    void (*reset)(void *self);
    void (*log)(void *self, const char *line);
};

/* Listens on `path`. NULL with errno on failure. */
struct vfio_user_port *vfio_user_port_open(const char *path, uint32_t bar2_bytes,
                                           const struct vfio_user_handler *handler);
/* Readable when there is work for vfio_user_port_service(); changes with each call of that. */
int vfio_user_port_fd(struct vfio_user_port *port);
/* Accepts a client or answers one request. */
void vfio_user_port_service(struct vfio_user_port *port);
/* Raises MSI-X vector 0; without effect while the guest has not enabled it. */
void vfio_user_port_interrupt(struct vfio_user_port *port);
void vfio_user_port_close(struct vfio_user_port *port);

#ifdef __cplusplus
}
#endif
