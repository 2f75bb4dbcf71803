// SPDX-License-Identifier: GPL-2.0-or-later
#include "qemu/pci_function.h"

#include "base/log.h"
#include "qemu/register_access.h"
#include "qemu/symbols.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <malloc.h>
#include <optional>

namespace rmpopt
{

namespace
{

// QEMU's interface for the code of devices: TypeInfo, InterfaceInfo and MemoryRegionOps.
struct interface_info {
    const char *type;
};
struct type_info {
    const char *name, *parent;
    std::size_t instance_size, instance_align;
    void (*instance_init)(void *object);
    void (*instance_post_init)(void *object);
    void (*instance_finalize)(void *object);
    bool abstract;
    std::size_t class_size;
    void (*class_init)(void *klass, const void *data);
    void (*class_base_init)(void *klass, const void *data);
    const void *class_data;
    const interface_info *interfaces;
};
struct region_ops {
    std::uint64_t (*read)(void *self, std::uint64_t offset, unsigned bytes);
    void (*write)(void *self, std::uint64_t offset, std::uint64_t value, unsigned bytes);
    void *read_with_attrs, *write_with_attrs;
    int endianness;
    struct {
        unsigned smallest, largest;
        bool unaligned;
        void *accepts;
    } valid;
    struct {
        unsigned smallest, largest;
        bool unaligned;
    } implemented;
};
constexpr int little_endian = 2;
constexpr std::uint8_t memory_bar_32 = 0;

namespace qemu
{
qemu_function<void *(const type_info *info)> type_register_static("type_register_static");
qemu_function<void *(const char *name)> object_class_by_name("object_class_by_name");
qemu_function<void(void *klass, void (*reset)(void *device))>
    device_class_set_legacy_reset("device_class_set_legacy_reset");
qemu_function<void(void *region, void *owner, const region_ops *ops, void *self, const char *name,
                   std::uint64_t bytes)>
    memory_region_init_io("memory_region_init_io");
qemu_function<void(void *device, int bar, std::uint8_t type, void *region)>
    pci_register_bar("pci_register_bar");
qemu_function<std::uint32_t(void *device, std::uint32_t address, int bytes)>
    pci_default_read_config("pci_default_read_config");
qemu_function<int(void *device, unsigned short vectors, std::uint8_t bar, void **error)>
    msix_init_exclusive_bar("msix_init_exclusive_bar");
qemu_function<void(void *device, unsigned vector)> msix_vector_use("msix_vector_use");
qemu_function<void(void *device, unsigned vector)> msix_notify("msix_notify");
qemu_function<void(void **error, const char *file, int line, const char *function,
                   const char *format, const char *text)>
    error_setg_internal("error_setg_internal");
qemu_function<unsigned(void *region, std::uint64_t offset, std::uint64_t *value, int op,
                       std::uint64_t attributes)>
    memory_region_dispatch_read("memory_region_dispatch_read");
qemu_function<unsigned(void *region, std::uint64_t offset, std::uint64_t value, int op,
                       std::uint64_t attributes)>
    memory_region_dispatch_write("memory_region_dispatch_write");
} // namespace qemu

/// For QEMU's MemoryRegion, which is smaller.
struct alignas(16) region_space {
    std::array<std::byte, 4096> bytes;
};

struct made_function {
    pci_function function{};
    void *device = nullptr; ///< QEMU's PCIDevice, once it was made
    region_space region{};

    /// While the probes run: what arrives here instead of at the function.
    bool is_probed = false;
    std::uint32_t probed_offset = 0, probed_value = 0;
};
made_function &the = *new made_function; // outlives static destructors

constexpr std::uint32_t probed_pattern = 0x5a3c0000;

std::uint32_t read_register(std::uint32_t offset)
{
    return the.is_probed ? probed_pattern | offset : the.function.read(the.function.self, offset);
}

void write_register(std::uint32_t offset, std::uint32_t value)
{
    if (the.is_probed) {
        the.probed_offset = offset;
        the.probed_value = value;
    } else {
        the.function.write(the.function.self, offset, value);
    }
}

std::uint64_t read_bar(void *, std::uint64_t offset, unsigned bytes)
{
    return read_registers(offset, bytes, read_register);
}

void write_bar(void *, std::uint64_t offset, std::uint64_t value, unsigned bytes)
{
    write_registers(offset, bytes, value, write_register);
}

constexpr region_ops register_ops{
    .read = read_bar,
    .write = write_bar,
    .read_with_attrs = nullptr,
    .write_with_attrs = nullptr,
    .endianness = little_endian,
    .valid = {.smallest = 1, .largest = 8, .unaligned = true, .accepts = nullptr},
    .implemented = {.smallest = 1, .largest = 8, .unaligned = true},
};

void realize(void *device, void **error)
{
    const pci_function &f = the.function;
    if (the.device != nullptr) {
        qemu::error_setg_internal(error, __FILE__, __LINE__, __func__, "%s",
                                  "the machine has one already");
        return;
    }
    if (qemu::msix_init_exclusive_bar(device, f.msix_vectors, static_cast<std::uint8_t>(f.msix_bar),
                                      error) != 0) {
        return;
    }
    for (unsigned i = 0; i < f.msix_vectors; ++i) {
        qemu::msix_vector_use(device, i);
    }
    qemu::memory_region_init_io(&the.region, device, &register_ops, nullptr, f.name,
                                f.register_bytes);
    qemu::pci_register_bar(device, f.register_bar, memory_bar_32, &the.region);
    the.device = device;
}

// PCIDeviceClass ends with: realize, exit, config_read, config_write, then vendor, device, revision
// (one byte), class, subsystem's vendor and device.
constexpr std::size_t realize_before_vendor = 4 * sizeof(void *), revision_after_vendor = 4,
                      class_after_vendor = 6;

/// Where the vendor is in PCIDeviceClass, by the values in the class of another device.
std::optional<std::size_t> vendor_offset()
{
    constexpr std::array<std::uint16_t, 4> testdev{0x1b36, 0x0005, 0, 0x00ff};
    void *klass = qemu::object_class_by_name("pci-testdev");
    if (klass == nullptr) {
        return std::nullopt;
    }
    const auto *bytes = static_cast<const std::byte *>(klass);
    std::optional<std::size_t> found;
    for (std::size_t at = realize_before_vendor; at + sizeof testdev <= malloc_usable_size(klass);
         at += 2) {
        if (std::memcmp(bytes + at, testdev.data(), sizeof testdev) == 0) {
            if (found.has_value()) {
                return std::nullopt;
            }
            found = at;
        }
    }
    return found;
}

bool is_zero(const std::byte *from, std::size_t bytes)
{
    return std::all_of(from, from + bytes, [](std::byte b) { return b == std::byte{}; });
}

void init_class(void *klass, const void *)
{
    const std::optional<std::size_t> vendor = vendor_offset();
    auto *bytes = static_cast<std::byte *>(klass);
    // In the class that ours begins as, the fields that devices fill in are zero.
    if (!vendor.has_value() || *vendor % sizeof(void *) != 0 ||
        !is_zero(bytes + *vendor - realize_before_vendor, realize_before_vendor + 4)) {
        refuse("this QEMU is not as QEMU 11 is: pci-class: the fields of a PCI device's class are "
               "not where they should be; use a QEMU 11.1 as Debian builds it");
    }
    const auto put = [&](std::size_t at, const auto &value) {
        std::memcpy(bytes + at, &value, sizeof value);
    };
    put(*vendor - realize_before_vendor, &realize);
    put(*vendor, the.function.vendor);
    put(*vendor + 2, the.function.device);
    put(*vendor + revision_after_vendor, std::uint8_t{0});
    put(*vendor + class_after_vendor, the.function.class_code);
    qemu::device_class_set_legacy_reset(klass,
                                        [](void *) { the.function.reset(the.function.self); });
}

} // namespace

void offer_pci_function(const pci_function &function)
{
    static constexpr std::array interfaces{interface_info{"conventional-pci-device"},
                                           interface_info{nullptr}};
    static type_info type{};
    the.function = function;
    type.name = the.function.name;
    type.parent = "pci-device";
    type.class_init = init_class;
    type.interfaces = interfaces.data();
    qemu::type_register_static(&type);
}

bool has_pci_function()
{
    return the.device != nullptr;
}

void raise_pci_interrupt(unsigned vector)
{
    qemu::msix_notify(the.device, vector);
}

std::string probe_pci_class()
{
    if (!has_pci_function()) {
        return {};
    }
    const auto config = [](std::uint32_t at, int bytes) {
        return qemu::pci_default_read_config(the.device, at, bytes);
    };
    constexpr std::uint32_t vendor = 0, device = 2, class_code = 10;
    return config(vendor, 2) == the.function.vendor && config(device, 2) == the.function.device &&
                   config(class_code, 2) == the.function.class_code
               ? ""
               : "the function's configuration space shows another identity than its class";
}

std::string probe_pci_registers()
{
    if (!has_pci_function()) {
        return {};
    }
    constexpr int op_32 = 2; // MemOp
    constexpr std::uint32_t offset = 0x120, value = 0x12345678;
    std::uint64_t seen = 0;
    the.is_probed = true;
    const unsigned problems =
        qemu::memory_region_dispatch_read(&the.region, offset, &seen, op_32, 0) |
        qemu::memory_region_dispatch_write(&the.region, offset, value, op_32, 0);
    the.is_probed = false;
    return problems == 0 && seen == (probed_pattern | offset) && the.probed_offset == offset &&
                   the.probed_value == value
               ? ""
               : "an access to the function's registers does not arrive as it was made";
}

} // namespace rmpopt
