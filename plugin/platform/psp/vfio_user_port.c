// SPDX-License-Identifier: GPL-2.0-or-later
#include "platform/psp/vfio_user_port.h"

#include <errno.h>
#include <libvfio-user.h>
#include <pci_caps/msix.h>
#include <pci_caps/px.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    vendor_amd = 0x1022,
    device_psp = 0x14ca, // SEV mailbox only: no crypto engine, no platform-access mailbox
    class_base = 0x10,   // encryption controller
    class_sub = 0x80,    // other
    msix_vectors = 2,
    msix_bar_bytes = 0x2000,
    msix_pba_offset = 0x1000,
};

struct vfio_user_port {
    vfu_ctx_t *ctx;
    bool attached;
    struct vfio_user_handler handler;
    char msix_bar[msix_bar_bytes]; // only stored: QEMU emulates the table itself
};

static void on_log(vfu_ctx_t *ctx, int level, const char *line)
{
    struct vfio_user_port *port = vfu_get_private(ctx);

    (void)level;
    port->handler.log(port->handler.self, line);
}

// Registers are 32 bits wide. A narrower or unaligned read returns the bytes that it covers; a
// narrower write is ignored.
static ssize_t bar2_access(vfu_ctx_t *ctx, char *buf, size_t count, loff_t offset, bool is_write)
{
    struct vfio_user_port *port = vfu_get_private(ctx);
    size_t done = 0;

    while (done < count) {
        uint32_t at = (uint32_t)offset + done;
        uint32_t reg = at & ~3u;
        size_t part = 4 - (at - reg);
        uint32_t value;

        if (part > count - done) {
            part = count - done;
        }
        if (!is_write) {
            value = port->handler.read(port->handler.self, reg);
            memcpy(buf + done, (char *)&value + (at - reg), part);
        } else if (part == 4) {
            memcpy(&value, buf + done, 4);
            port->handler.write(port->handler.self, reg, value);
        }
        done += part;
    }
    return (ssize_t)count;
}

static ssize_t msix_access(vfu_ctx_t *ctx, char *buf, size_t count, loff_t offset, bool is_write)
{
    struct vfio_user_port *port = vfu_get_private(ctx);

    if (offset < 0 || count > msix_bar_bytes || (size_t)offset > msix_bar_bytes - count) {
        errno = EINVAL;
        return -1;
    }
    memcpy(is_write ? port->msix_bar + offset : buf, is_write ? buf : port->msix_bar + offset,
           count);
    return (ssize_t)count;
}

static int on_reset(vfu_ctx_t *ctx, vfu_reset_type_t type)
{
    struct vfio_user_port *port = vfu_get_private(ctx);

    (void)type;
    port->handler.reset(port->handler.self);
    return 0;
}

static int add_capabilities(vfu_ctx_t *ctx)
{
    struct pxcap express = {
        .hdr.id = PCI_CAP_ID_EXP,
        .pxcaps = {.ver = 2},
        .pxdcap = {.rer = 1},
    };
    struct msixcap msix = {
        .hdr.id = PCI_CAP_ID_MSIX,
        .mxc.ts = msix_vectors - 1,
        .mtab = {.tbir = VFU_PCI_DEV_BAR5_REGION_IDX, .to = 0},
        .mpba = {.pbir = VFU_PCI_DEV_BAR5_REGION_IDX, .pbao = msix_pba_offset >> 3},
    };

    if (vfu_pci_add_capability(ctx, 0, 0, &express) < 0 ||
        vfu_pci_add_capability(ctx, 0, 0, &msix) < 0) {
        return -1;
    }
    return vfu_setup_device_nr_irqs(ctx, VFU_DEV_MSIX_IRQ, msix_vectors);
}

// DMA is not set up: the addresses in commands are system physical addresses, which the firmware
// resolves by itself, and the library accepts DMA maps for a device without DMA.
static int set_up(vfu_ctx_t *ctx, uint32_t bar2_bytes)
{
    const int flags = VFU_REGION_FLAG_RW | VFU_REGION_FLAG_MEM;

    if (vfu_setup_log(ctx, on_log, LOG_ERR) < 0 ||
        vfu_pci_init(ctx, VFU_PCI_TYPE_EXPRESS, PCI_HEADER_TYPE_NORMAL, 0) < 0) {
        return -1;
    }
    vfu_pci_set_id(ctx, vendor_amd, device_psp, vendor_amd, device_psp);
    vfu_pci_set_class(ctx, class_base, class_sub, 0);
    if (vfu_setup_region(ctx, VFU_PCI_DEV_BAR2_REGION_IDX, bar2_bytes, bar2_access, flags, NULL, 0,
                         -1, 0) < 0 ||
        vfu_setup_region(ctx, VFU_PCI_DEV_BAR5_REGION_IDX, msix_bar_bytes, msix_access, flags, NULL,
                         0, -1, 0) < 0 ||
        vfu_setup_device_reset_cb(ctx, on_reset) < 0 || add_capabilities(ctx) < 0) {
        return -1;
    }
    return vfu_realize_ctx(ctx);
}

struct vfio_user_port *vfio_user_port_open(const char *path, uint32_t bar2_bytes,
                                           const struct vfio_user_handler *handler)
{
    struct vfio_user_port *port = calloc(1, sizeof(*port));

    if (port == NULL) {
        return NULL;
    }
    port->handler = *handler;
    port->ctx =
        vfu_create_ctx(VFU_TRANS_SOCK, path, LIBVFIO_USER_FLAG_ATTACH_NB, port, VFU_DEV_TYPE_PCI);
    if (port->ctx == NULL || set_up(port->ctx, bar2_bytes) < 0) {
        int saved = errno;

        vfio_user_port_close(port);
        errno = saved;
        return NULL;
    }
    return port;
}

int vfio_user_port_fd(struct vfio_user_port *port)
{
    return vfu_get_poll_fd(port->ctx);
}

void vfio_user_port_service(struct vfio_user_port *port)
{
    if (!port->attached) {
        port->attached = vfu_attach_ctx(port->ctx) == 0;
        return;
    }
    if (vfu_run_ctx(port->ctx) >= 0) {
        return;
    }
    if (errno == ENOTCONN) {
        port->attached = false;
    } else {
        // The next message cannot be found in the stream any more. Hang up; the next call notices.
        shutdown(vfu_get_poll_fd(port->ctx), SHUT_RDWR);
    }
}

void vfio_user_port_interrupt(struct vfio_user_port *port)
{
    vfu_irq_trigger(port->ctx, 0);
}

void vfio_user_port_close(struct vfio_user_port *port)
{
    if (port->ctx != NULL) {
        vfu_destroy_ctx(port->ctx);
    }
    free(port);
}
