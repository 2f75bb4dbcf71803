// SPDX-License-Identifier: GPL-2.0-or-later
// A PCI function of ours in QEMU's machine. Its type is registered with QEMU's object model, so
// that
// "-device NAME" makes it, as it makes QEMU's own devices. What the function does is not known
// here.
//
// QEMU's functions for this are those that its own devices use; what is assumed of its structures
// is found by value when the device is made, and tried again with the other facts of layout.h.
#pragma once

#include <cstdint>
#include <string>

namespace rmpopt
{

struct pci_function {
    const char *name; ///< of the device's type; lives until QEMU ends, as `self` does
    std::uint16_t vendor, device;
    std::uint16_t class_code; ///< base class and subclass
    int register_bar;         ///< memory BAR with the registers
    std::uint64_t register_bytes;
    int msix_bar; ///< memory BAR with the MSI-X table
    std::uint16_t msix_vectors;

    // Called with QEMU's big lock held: read and write for an access to one aligned 32-bit
    // register, mostly on a vCPU's thread; reset when the function or the machine is reset.
    void *self;
    std::uint32_t (*read)(void *self, std::uint32_t offset);
    void (*write)(void *self, std::uint32_t offset, std::uint32_t value);
    void (*reset)(void *self);
};

/// Lets "-device NAME" make the function, once. To be called once, before QEMU makes devices.
void offer_pci_function(const pci_function &function);

/// True when the machine has the function. Any thread, after the devices were made.
bool has_pci_function();

/// Raises an MSI-X vector. The caller holds QEMU's big lock. Without effect while the guest has not
/// enabled it.
void raise_pci_interrupt(unsigned vector);

// Probes for layout.h. They hold when there is no function.
std::string probe_pci_class();
std::string probe_pci_registers();

} // namespace rmpopt
