// SPDX-License-Identifier: GPL-2.0-or-later
#include "platform/psp/device.h"

#include "qemu/pci_function.h"
#include "qemu/queued_work.h"

#include <memory>
#include <utility>

namespace rmpopt::psp
{

struct device::job {
    device &self;
    mailbox::request request;
    std::uint16_t status = 0;

    static void run(void *data)
    {
        auto &j = *static_cast<job *>(data);
        if (j.self.mailbox_.is_pending(j.request)) { // not if the device was reset before its turn
            j.status = j.self.callbacks_.run(j.request.command, j.request.buffer);
        }
    }

    static void end(void *data)
    {
        const std::unique_ptr<job> j(static_cast<job *>(data));
        const std::uint64_t takes = j->self.latency_.of(j->request.command);
        if (takes == 0) {
            j->answer();
        } else if (j->self.mailbox_.is_pending(j->request)) {
            j->self.answering_.once(takes, [copy = *j] { copy.answer(); });
        }
    }

    void answer() const
    {
        if (self.mailbox_.complete(request, status)) {
            raise_pci_interrupt(0);
        }
    }
};

void device::offer(callbacks cb, const latency &takes)
{
    latency_ = takes;
    callbacks_ = std::move(cb);
    offer_pci_function({
        .name = "rmpopt-psp",
        .vendor = 0x1022,
        .device = 0x14ca,     // SEV mailbox only: no crypto engine, no platform-access mailbox
        .class_code = 0x1080, // encryption controller, other
        .register_bar = 2,
        .register_bytes = bar2_bytes,
        .msix_bar = 5,
        .msix_vectors = 2,
        .self = this,
        .read =
            [](void *self, std::uint32_t offset) {
                return static_cast<device *>(self)->mailbox_.read(offset);
            },
        .write = [](void *self, std::uint32_t offset,
                    std::uint32_t value) { static_cast<device *>(self)->write(offset, value); },
        .reset =
            [](void *self) {
                auto *d = static_cast<device *>(self);
                d->mailbox_.reset();
                d->callbacks_.reset();
            },
    });
}

bool device::exists()
{
    return has_pci_function();
}

void device::write(std::uint32_t offset, std::uint32_t value)
{
    const auto request = mailbox_.write(offset, value);
    if (request.has_value()) {
        callbacks_.announce(request->command);
        between_blocks(job::run, job::end, new job{.self = *this, .request = *request});
    }
}

} // namespace rmpopt::psp
