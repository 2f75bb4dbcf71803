// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw-model/guest/ghcb.h"

#include "hw-model/guest/vmexit.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace rmpopt::hw
{

namespace
{

constexpr std::uint64_t sw_exit_code = 0x390, sw_scratch = 0x3a8;

constexpr std::uint64_t page_state_change = 0x80000010,
                        page_state_change_by_msr = ghcb_request::by_msr | 0x014;

struct named_request {
    std::uint64_t code;
    std::string_view name;
};
constexpr std::array requests{
    named_request{0x80000001, "MMIO read"},
    named_request{0x80000002, "MMIO write"},
    named_request{0x80000003, "NMI complete"},
    named_request{0x80000004, "AP reset hold"},
    named_request{0x80000005, "AP jump table"},
    named_request{page_state_change, "page state change"},
    named_request{0x80000011, "guest request"},
    named_request{0x80000012, "extended guest request"},
    named_request{0x80000013, "AP creation"},
    named_request{0x80000014, "#HV doorbell page"},
    named_request{0x80000015, "#HV IPI"},
    named_request{0x80000016, "#HV timer"},
    named_request{0x80000017, "APIC ID list"},
    named_request{0x80000018, "run VMPL"},
    named_request{0x8000fffd, "hypervisor features"},
    named_request{0x8000fffe, "terminate"},
    named_request{ghcb_request::by_msr | 0x002, "MSR: SEV information"},
    named_request{ghcb_request::by_msr | 0x004, "MSR: CPUID"},
    named_request{ghcb_request::by_msr | 0x006, "MSR: AP reset hold"},
    named_request{ghcb_request::by_msr | 0x010, "MSR: preferred GHCB"},
    named_request{ghcb_request::by_msr | 0x012, "MSR: register GHCB"},
    named_request{page_state_change_by_msr, "MSR: page state change"},
    named_request{ghcb_request::by_msr | 0x016, "MSR: run VMPL"},
    named_request{ghcb_request::by_msr | 0x080, "MSR: hypervisor features"},
    named_request{ghcb_request::by_msr | 0x100, "MSR: terminate"},
};

constexpr std::uint64_t to_shared = 2; ///< operation of a page state change

std::uint64_t frame_of(std::uint64_t entry)
{
    constexpr std::uint64_t frame = ((1ull << 52) - 1) & ~(page_4k - 1);
    return entry & frame;
}

std::uint64_t operation_of(std::uint64_t entry)
{
    return entry >> 52 & 0xf;
}

/// The list of a page state change, which does not run over the end of a page. The hypervisor
/// counts in it how far it has come.
std::vector<guest_pages> listed_pages(const memory_view &memory, spa_t list)
{
    const std::uint64_t most_entries = (page_4k - list % page_4k) / 8 - 1; // behind the header
    std::vector<guest_pages> out;
    const unsigned first = memory.load<std::uint16_t>(list).value_or(1);
    const unsigned last = memory.load<std::uint16_t>(list + 2).value_or(0);
    for (unsigned i = first; i <= last && i < most_entries; ++i) {
        const std::uint64_t entry = memory.load<std::uint64_t>(list + 8 + 8ull * i).value_or(0);
        const std::uint64_t all = (entry >> 56 & 1) != 0 ? pages_per_2m : 1;
        const std::uint64_t done = std::min(entry & (page_4k - 1), all);
        if (operation_of(entry) == to_shared && done != all) {
            out.push_back({frame_of(entry) + done * page_4k, all - done});
        }
    }
    return out;
}

} // namespace

std::optional<ghcb_request> read_ghcb(const memory_view &memory, std::uint64_t msr,
                                      const gpa_to_spa &where)
{
    const std::uint64_t info = msr & (page_4k - 1);
    if (info != 0) {
        return ghcb_request{ghcb_request::by_msr | info, msr};
    }
    const std::optional<spa_t> page = where(msr);
    const auto code =
        page.has_value() ? memory.load<std::uint64_t>(*page + sw_exit_code) : std::nullopt;
    return code.has_value()
               ? std::optional(ghcb_request{
                     *code, memory.load<std::uint64_t>(*page + sw_scratch).value_or(0)})
               : std::nullopt;
}

std::vector<guest_pages> pages_to_share(const memory_view &memory, const ghcb_request &request,
                                        const gpa_to_spa &where)
{
    if (request.code == page_state_change_by_msr && operation_of(request.operand) == to_shared) {
        return {{frame_of(request.operand), 1}};
    }
    const auto list = request.code == page_state_change ? where(request.operand) : std::nullopt;
    return list.has_value() ? listed_pages(memory, *list) : std::vector<guest_pages>{};
}

std::string ghcb_request_name(std::uint64_t code)
{
    const auto *const known = std::ranges::find(requests, code, &named_request::code);
    return known != requests.end()              ? std::string(known->name)
           : (code & ghcb_request::by_msr) == 0 ? exit_name(code)
                                                : "MSR: " + hexadecimal(code & (page_4k - 1));
}

} // namespace rmpopt::hw
