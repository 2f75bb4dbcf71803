// SPDX-License-Identifier: GPL-2.0-or-later
// The secure processor's firmware against software that means harm: any command number, buffers
// anywhere, any content. A command writes only what the ABI lets it write; the RMP stays
// consistent and, once initialised, firmware's.
#include "arena.h"
#include "byte_source.h"
#include "firmware_inside.h"
#include "hw-model/firmware/common/command.h"
#include "hw-model/firmware/common/page_state.h"
#include "hw-model/firmware/firmware.h"
#include "hw-model/insn/rmpopt.h"
#include "hw-model/insn/rmpupdate.h"
#include "hw-model/machine/audit.h"
#include "hw-model/machine/msr.h"
#include "sev_fields.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <iostream>
#include <memory>

namespace rmpopt::hw
{

namespace
{

using enum firmware_command;

constexpr spa_t rmp_base = 0x10'0000, segment = 0x20'0000;
constexpr std::uint64_t segment_bytes = 0x6000; ///< entries of 6 MB
constexpr spa_range low{0, segment + segment_bytes}, high{0x40'0000, page_2m};
constexpr spa_t command_page = 0x1'0000, output_page = 0x1'2000, list_page = 0x1'4000;
constexpr std::array<spa_t, 3> contexts{0x1'6000, 0x1'7000, 0x1'8000};
constexpr std::uint64_t command_bytes = 64;

[[noreturn]] void fail(const std::string &what)
{
    std::cerr << what << '\n';
    std::abort();
}

void expect(bool ok, const char *what)
{
    if (!ok) {
        fail(what);
    }
}

/// Bytes that a command on guests may have written outside the RMP.
std::vector<spa_range> guest_outputs(firmware_command command, firmware_status status,
                                     const command_fields &fields)
{
    const auto page = [&fields](unsigned i, bool size_2m = false) {
        return std::vector<spa_range>{{fields[i] & ~c_bit, size_2m ? page_2m : page_4k}};
    };
    constexpr std::uint64_t type_mask = 7u << 1, cpuid_page = 6u << 1;
    const bool corrected =
        status == firmware_status::invalid_param && (fields[1] & type_mask) == cpuid_page;
    if (command == snp_launch_update && (corrected || status == firmware_status::success)) {
        return page(2, (fields[1] & 1) != 0);
    }
    if (status != firmware_status::success) {
        return {};
    }
    switch (command) {
    case snp_guest_status:
        return {{fields[1] & ~c_bit, 32}};
    case snp_dbg_decrypt:
    case snp_dbg_encrypt:
        return page(2);
    case snp_page_move:
        return page(3, (fields[1] & 1) != 0);
    case snp_page_md_init:
        return page(0);
    default:
        return {};
    }
}

/// Bytes that a command may have written outside the RMP.
std::vector<spa_range> outputs(firmware_command command, firmware_status status, spa_t buffer,
                               const command_fields &fields)
{
    const bool success = status == firmware_status::success;
    if (command == get_id) { // also how long the id is, when there was too little room
        std::vector<spa_range> out{{buffer + 8, 4}};
        if (success) {
            out.push_back({fields[0] & ~c_bit, 64});
        }
        return out;
    }
    if (!success) {
        return guest_outputs(command, status, fields);
    }
    switch (command) {
    case platform_status:
        return {{buffer, 12}};
    case snp_platform_status:
        return {{fields[0] & ~c_bit, 32}};
    case snp_feature_info:
        return {{fields[1] & ~c_bit, 16}};
    default:
        return guest_outputs(command, status, fields);
    }
}

bool may_change_rmp(firmware_command command)
{
    constexpr std::array all{
        snp_init,          snp_init_ex,     snp_page_reclaim, snp_platform_status,
        snp_shutdown_ex,   snp_gctx_create, snp_decommission, snp_guest_status,
        snp_launch_update, snp_page_move,   snp_page_md_init, snp_page_set_state,
        snp_page_unsmash};
    return std::ranges::find(all, command) != all.end();
}

/// Commands that write to pages which are a guest's already.
bool writes_to_guests(firmware_command command)
{
    return command == snp_launch_update || command == snp_dbg_encrypt || command == snp_page_move;
}

class attack
{
  public:
    attack(arena &memory, byte_source &in) : memory_(memory), in_(in)
    {
        machine::settings s;
        s.cpu = find_cpu_model("venice");
        s.cpus.core_of_thread = {0, 1, 0, 1};
        s.memory = memory.view();
        m_ = std::make_unique<machine>(std::move(s));
        fw_ = std::make_unique<firmware>(*m_, firmware::settings{.tracks_wbinvd = in.pick(2) != 0});
        m_->memory().store<std::uint64_t>(rmp_base + rmp_bookkeeping_bytes, segment | 1);
        m_->bios_setup({.layout = rmp_layout::segmented, .base = rmp_base, .segment_shift = 36});
        memory_.accept();
    }

    void run()
    {
        if (in_.pick(2) != 0) { // most of what can go wrong needs SNP
            enable_snp();
            fw_->execute(static_cast<std::uint16_t>(snp_init), 0);
            memory_.accept();
        }
        while (!in_.empty()) {
            switch (in_.pick(16)) {
            case 0:
                enable_snp();
                break;
            case 1:
                fw_->note_wbinvd(in_.pick(4));
                break;
            case 2:
                in_.pick(8) == 0 ? reset() : set_iommu_buffers();
                break;
            case 3:
                write_rmp_by_hand();
                break;
            case 4:
            case 5:
            case 6:
                rmpupdate_somewhere();
                break;
            case 7:
                in_.pick(2) == 0 ? hand_page_to_guest() : launch();
                break;
            case 8:
                make_guest_page();
                break;
            default:
                command();
            }
            memory_.accept();
            check_rmp();
        }
    }

  private:
    /// Mostly places where something is at stake.
    spa_t address()
    {
        constexpr std::array<spa_t, 12> bases{command_page, output_page, list_page, rmp_base,
                                              segment,      low.end(),   high.base, high.base,
                                              high.end(),   0xa0000,     region_1g, 0};
        constexpr std::array<std::uint64_t, 8> offsets{
            0, 0, 0, page_4k, page_4k - 8, page_2m - page_4k, page_2m, 1};
        const unsigned how = in_.pick(16);
        if (how == 0) {
            return in_.u64();
        }
        const spa_t a = bases[in_.pick(bases.size())] + offsets[in_.pick(offsets.size())];
        return how == 1 ? a - page_4k : how == 2 ? a | c_bit : a;
    }

    void enable_snp()
    {
        rmp_changes ignored;
        for (unsigned t = 0; t < 4; ++t) { // MFDM everywhere before SNP_EN locks SYSCFG
            wrmsr(*m_, t, msr::syscfg, m_->thread(t).syscfg | syscfg_mfdm, ignored);
        }
        for (unsigned t = 0; t < 4; ++t) {
            wrmsr(*m_, t, msr::syscfg,
                  m_->thread(t).syscfg | syscfg_mfdm | syscfg_snp_en | syscfg_vmpl_en, ignored);
            wrmsr(*m_, t, msr::rmpopt_base, rmpopt_enable, ignored);
        }
    }

    void reset()
    {
        fw_->reset();
        nv_ = {};
    }

    void set_iommu_buffers()
    {
        const std::scoped_lock lock(m_->rmp_lock());
        m_->set_iommu_buffers({{align_down(address(), page_4k), in_.pick(4) * page_4k}});
    }

    /// Without SNP_EN the RMP is memory as any other.
    void write_rmp_by_hand()
    {
        if (m_->snp_enabled_somewhere()) {
            return;
        }
        const spa_t at = segment + in_.pick(256) * 96 + (in_.pick(2) != 0 ? 0 : 8);
        m_->memory().store(at, in_.u64());
        by_hand_ = true;
    }

    void rmpupdate_somewhere()
    {
        rmp_record r;
        const unsigned bits = in_.pick(32);
        r.assigned = (bits & 1) != 0;
        r.immutable = r.assigned && (bits & 2) != 0;
        r.size_2m = (bits & 4) != 0;
        r.asid = r.assigned && (bits & 8) != 0 ? 5 : 0;
        r.gpa = (bits & 16) != 0 ? page_4k : 0;
        rmp_changes ignored;
        const spa_t spa = align_down(address(), r.size_2m ? page_2m : page_4k);
        if (m_->snp_enabled(0)) {
            rmpupdate(*m_, spa, r, ignored);
            rmpopt(*m_, {.thread = 2}, 0, 0);
        }
    }

    void hand_page_to_guest()
    {
        const spa_t page = align_down(address(), page_4k);
        const std::scoped_lock lock(m_->rmp_lock());
        if (!m_->snp_enabled(0) || !m_->rmp().covers(page)) {
            return;
        }
        rmp_entry e = m_->rmp().load(page);
        if (e.assigned && e.asid != 0) {
            e.validated = true;
            rmp_changes ignored;
            m_->replace_entry(page, e, ignored);
        }
    }

    bool call(firmware_command c, const command_fields &fields)
    {
        return may_hypervisor_write(command_page) &&
               m_->memory().write(command_page, fields.data(), command_bytes) &&
               fw_->execute(static_cast<std::uint16_t>(c), command_page).status == 0;
    }

    /// A guest as software that means well launches it, as far as it gets.
    void launch()
    {
        if (!m_->snp_enabled(0)) {
            return;
        }
        const spa_t context = contexts[in_.pick(contexts.size())];
        rmp_record firmware;
        firmware.assigned = firmware.immutable = true;
        rmp_changes ignored;
        rmpupdate(*m_, context, firmware, ignored);
        const std::uint64_t policy = 0x30000 | std::uint64_t{in_.pick(2)} << 19;
        for (unsigned thread = 0; thread < 4; ++thread) {
            fw_->note_wbinvd(thread);
        }
        call(snp_df_flush, {});
        call(snp_gctx_create, {context});
        call(snp_launch_start, {context, policy, 0, std::uint64_t{in_.pick(2)} << 1});
        call(snp_activate, {context, 6 + in_.pick(8)});
        make_guest_page();
        call(snp_launch_update, {context, (1 + in_.pick(6)) << 1, high.base + page_4k});
    }

    const snp_guest_table &guests() const { return firmware_inside::guests(*fw_); }

    /// A few pages of 4 KB, or one of 2 MB, for the guest that comes last, if there is any.
    void make_guest_page()
    {
        if (!m_->snp_enabled(0) || guests().empty() || !guests().rbegin()->second.active()) {
            return;
        }
        rmp_record r;
        r.size_2m = in_.pick(8) == 0;
        rmp_changes ignored;
        for (unsigned i = 0; i < (r.size_2m ? 1 : 4); ++i) {
            const spa_t page = high.base + i * page_4k;
            rmpupdate(*m_, page, {}, ignored);
            r.assigned = true;
            r.immutable = in_.pick(4) != 0;
            r.asid = guests().rbegin()->second.asid;
            r.gpa = in_.pick(2) * page_2m;
            rmpupdate(*m_, page, r, ignored);
        }
    }
    spa_t guest_page(bool size_2m) { return high.base + (size_2m ? 0 : in_.pick(4) * page_4k); }

    /// Mostly a guest's.
    spa_t some_context()
    {
        return guests().empty() || in_.pick(4) == 0 ? contexts[in_.pick(contexts.size())]
                                                    : guests().rbegin()->first;
    }

    /// Fields of commands on guests.
    void make_well_formed_guest_command(firmware_command c, command_fields &fields)
    {
        const spa_t context = some_context();
        const std::uint64_t size_2m = in_.pick(8) == 0 ? 1 : 0;
        switch (c) {
        case snp_launch_start:
            fields = {context, 0x30000, contexts[0], in_.pick(4)};
            break;
        case snp_activate:
            fields = {context, 4 + in_.pick(3)};
            break;
        case snp_activate_ex:
            fields = {32, context, 5 | std::uint64_t{in_.pick(3)} << 32, address()};
            break;
        case snp_launch_update:
            fields = {context, in_.pick(8) << 1 | size_2m, guest_page(size_2m != 0),
                      std::uint64_t{in_.pick(2)} << 8};
            break;
        case snp_launch_finish:
            fields = {context, address(), address(), in_.pick(4) == 0 ? 1u : 0u};
            break;
        case snp_page_move:
            fields = {context, size_2m, guest_page(size_2m != 0), guest_page(false)};
            break;
        case snp_dbg_decrypt:
            fields = {context, guest_page(false), address()};
            break;
        case snp_dbg_encrypt:
            fields = {context, address(), guest_page(false)};
            break;
        case snp_guest_status:
        case snp_guest_request:
            fields = {context, address(), address()};
            break;
        case snp_page_unsmash:
        case snp_page_md_init:
            fields[0] = address();
            break;
        case snp_page_set_state:
        case snp_vlek_load:
            fields = {16, list_page};
            break;
        default: // those that take a context only
            fields[0] = context;
        }
    }

    /// Fields that the command takes, so that it gets as far as to its addresses.
    void make_well_formed(firmware_command c, command_fields &fields)
    {
        fields = {};
        switch (c) {
        case snp_platform_status:
        case snp_page_reclaim:
            fields[0] = address();
            break;
        case get_id:
            fields = {address(), 64};
            break;
        case snp_feature_info:
            fields = {16, address()};
            break;
        case snp_shutdown_ex:
            fields[0] = 8 | std::uint64_t{in_.pick(2)} << 32;
            break;
        case snp_init_ex:
            fields = {in_.pick(4), list_page};
            break;
        case init:
            fields = {in_.pick(2), address(), page_2m};
            break;
        default:
            if (std::ranges::find(sev_commands, c) != sev_commands.end()) {
                make_sev_fields(
                    c, in_, [this] { return address(); }, fields);
            } else {
                make_well_formed_guest_command(c, fields);
            }
        }
    }

    void draw_fields(command_fields &fields)
    {
        for (std::uint64_t &f : fields) {
            switch (in_.pick(6)) {
            case 0:
                f = address();
                break;
            case 1:
                f = in_.pick(70);
                break;
            case 2: // two short fields
                f = std::uint64_t{in_.byte()} << 32 | in_.pick(70);
                break;
            case 3:
                f = in_.u64();
                break;
            default:
                f = 0;
            }
        }
    }

    /// Eight fields, at an address of any kind.
    spa_t prepare_buffer(firmware_command c, command_fields &fields)
    {
        if (in_.pick(4) != 0) {
            make_well_formed(c, fields);
        } else {
            draw_fields(fields);
        }
        const spa_t buffer = in_.pick(4) == 0 ? address() : command_page;
        // the hypervisor cannot write where the RMP forbids it, and the RMP itself is out of reach
        if (may_hypervisor_write(buffer & ~c_bit)) {
            m_->memory().write(buffer & ~c_bit, fields.data(), command_bytes);
        }
        if (in_.pick(8) == 0) {
            prepare_list();
        }
        if (!m_->memory().read(buffer & ~c_bit, fields.data(), command_bytes)) {
            fields = {}; // at the end of RAM: a shorter buffer may still be readable
            std::uint64_t at = buffer & ~c_bit;
            for (std::uint64_t &f : fields) {
                m_->memory().read(at, &f, sizeof f);
                at += sizeof f;
            }
        }
        return buffer;
    }

    bool may_hypervisor_write(spa_t spa) const
    {
        const spa_t last = spa + command_bytes - 1;
        const auto own = m_->rmp().table_memory();
        return !std::ranges::any_of(own,
                                    [&](const spa_range &r) {
                                        return r.overlaps({spa, command_bytes});
                                    }) &&
               (!m_->snp_enabled(0) ||
                (m_->rmp().load(spa).host_writable() && m_->rmp().load(last).host_writable()));
    }

    void prepare_list()
    {
        if (!may_hypervisor_write(list_page)) {
            return;
        }
        m_->memory().store<std::uint64_t>(list_page, in_.pick(4));
        for (unsigned i = 0; i < 3; ++i) {
            m_->memory().store(list_page + 8 + 16ull * i, align_down(address(), page_4k));
            m_->memory().store<std::uint64_t>(list_page + 16 + 16ull * i, in_.byte());
        }
    }

    firmware_command draw_command()
    {
        constexpr std::array known{snp_init,
                                   snp_init,
                                   snp_init_ex,
                                   snp_init_ex,
                                   snp_shutdown_ex,
                                   snp_df_flush,
                                   snp_platform_status,
                                   snp_page_reclaim,
                                   snp_page_reclaim,
                                   snp_config,
                                   snp_commit,
                                   snp_feature_info,
                                   init,
                                   shutdown,
                                   platform_status,
                                   df_flush,
                                   get_id,
                                   download_firmware,
                                   snp_gctx_create,
                                   snp_decommission,
                                   snp_activate,
                                   snp_activate_ex,
                                   snp_guest_status,
                                   snp_guest_request,
                                   snp_launch_start,
                                   snp_launch_update,
                                   snp_launch_update,
                                   snp_launch_update,
                                   snp_launch_finish,
                                   snp_dbg_decrypt,
                                   snp_dbg_encrypt,
                                   snp_page_move,
                                   snp_page_md_init,
                                   snp_page_set_state,
                                   snp_page_unsmash,
                                   snp_vlek_load};
        const unsigned how = in_.pick(16);
        if (how > 8) {
            return sev_commands[in_.pick(sev_commands.size())];
        }
        return how == 0 ? static_cast<firmware_command>(in_.byte() << 8 | in_.byte())
                        : known[in_.pick(known.size())];
    }

    void command()
    {
        const firmware_command c = draw_command();
        command_fields fields{};
        const spa_t buffer = prepare_buffer(c, fields);
        const bool was_up = fw_->snapshot().snp_init;
        before_.clear();
        for (spa_t p = 0; p < segment_bytes / rmp_entry_bytes * page_4k; p += page_4k) {
            before_.push_back(m_->rmp().load(p));
        }
        memory_.accept();
        const firmware_result result = fw_->execute(static_cast<std::uint16_t>(c), buffer);
        const auto status = static_cast<firmware_status>(result.status);
        const bool success = status == firmware_status::success;
        auto allowed = outputs(c, status, buffer & ~c_bit, fields);
        for (const spa_range &r : sev_outputs(c, status, buffer & ~c_bit, fields, nv_)) {
            allowed.push_back(r);
        }
        note_storage(c, success, fields);
        check_writes(c, success, was_up, allowed);
        if (success && (c == snp_init || (c == snp_init_ex && (fields[0] & 1) != 0))) {
            by_hand_ = false;
        } else if (!success || c != snp_init_ex) {
            check_changes(result.rmp_changes);
        }
    }

    /// Firmware writes to the storage of INIT_EX until SHUTDOWN or a reset.
    void note_storage(firmware_command c, bool success, const command_fields &fields)
    {
        if (success && c == init_ex) {
            nv_ = {fields[3] & ~c_bit, 32 * 1024};
        } else if (success && c == shutdown) {
            nv_ = {};
        }
    }

    static void check_changes(const rmp_changes &changes)
    {
        for (const rmp_change &g : changes.ranges()) {
            expect(!g.host_writable, "a page became the hypervisor's");
        }
    }

    static bool is_rmp_memory(spa_t spa)
    {
        return (spa >= rmp_base && spa < rmp_base + rmp_bookkeeping_bytes) ||
               (spa >= segment && spa < segment + segment_bytes);
    }

    void check_writes(firmware_command c, bool success, bool was_up,
                      const std::vector<spa_range> &allowed) const
    {
        for (const spa_t page : memory_.changed_pages()) {
            memory_.for_each_change(page, [&](spa_t spa) {
                if (is_rmp_memory(spa)) {
                    expect(success && may_change_rmp(c), "the RMP was written");
                    return;
                }
                expect(std::ranges::any_of(allowed,
                                           [spa](const spa_range &r) {
                                               return r.overlaps({spa, 1});
                                           }),
                       "memory outside the command's output was written");
                expect(!was_up || was_writable(spa) || (writes_to_guests(c) && was_a_guests(spa)),
                       "a page that firmware may not write");
            });
        }
    }

    /// In the RMP as it was before the command.
    const rmp_entry &entry_before(spa_t spa) const
    {
        const std::size_t page = spa / page_4k;
        const rmp_entry &base = before_[page / pages_per_2m * pages_per_2m];
        return base.assigned && base.size_2m ? base : before_[page];
    }

    bool was_a_guests(spa_t spa) const
    {
        const rmp_entry &e = entry_before(spa);
        return e.assigned && e.asid != 0;
    }

    /// Hypervisor's or firmware's.
    bool was_writable(spa_t spa) const
    {
        const rmp_entry &e = entry_before(spa);
        return (!e.assigned && !e.immutable) ||
               (e.assigned && e.immutable && e.asid == 0 && e.gpa == 0 && !e.vmsa);
    }

    void check_rmp()
    {
        if (by_hand_) {
            return; // by hand one can write anything; SNP_INIT makes it right
        }
        const auto findings = audit(*m_);
        if (!findings.empty()) {
            fail(findings.front());
        }
        if (!fw_->snapshot().snp_init) {
            return;
        }
        for (const spa_range &r : m_->rmp().table_memory()) {
            for (spa_t p = r.base; p < r.end(); p += page_4k) {
                expect(state_of(m_->rmp().load(p)) == page_state::firmware,
                       "a page of the RMP is no longer firmware's");
            }
        }
        check_contexts();
    }

    /// Context pages and guests are the same; no two guests have one ASID.
    void check_contexts()
    {
        std::vector<spa_t> contexts_in_rmp, contexts_of_guests;
        std::vector<std::uint32_t> asids;
        for (spa_t p = 0; p < segment_bytes / rmp_entry_bytes * page_4k; p += page_4k) {
            if (state_of(m_->rmp().load(p)) == page_state::context) {
                contexts_in_rmp.push_back(p);
            }
        }
        for (const auto &[context, guest] : guests()) {
            contexts_of_guests.push_back(context);
            if (guest.active()) {
                expect(std::ranges::find(asids, guest.asid) == asids.end(), "two guests, one ASID");
                asids.push_back(guest.asid);
            }
        }
        expect(contexts_in_rmp == contexts_of_guests, "contexts and context pages differ");
    }

    arena &memory_;
    byte_source &in_;
    std::unique_ptr<machine> m_;
    std::unique_ptr<firmware> fw_;
    std::vector<rmp_entry> before_; ///< the last command
    spa_range nv_{};                ///< storage of INIT_EX
    bool by_hand_ = false;          ///< software wrote to the table
};

} // namespace

} // namespace rmpopt::hw

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
    using namespace rmpopt::hw;
    static arena memory(low, high);
    byte_source in({data, size});
    attack(memory, in).run();
    memory.clear();
    return 0;
}
