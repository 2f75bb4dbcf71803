// SPDX-License-Identifier: GPL-2.0-or-later
// The firmware against software that means harm, which also initialises SNP, sets up guests and
// calls RMPUPDATE as it likes.
#include "byte_source.h"
#include "firmware_judge.h"
#include "firmware_target.h"
#include "hostile_commands.h"
#include "hw-model/insn/rmpopt.h"
#include "hw-model/insn/rmpupdate.h"
#include "hw-model/machine/msr.h"
#include "snp_messages.h"

#include <memory>

namespace rmpopt::hw
{

namespace
{

using enum firmware_command;

class attack
{
  public:
    attack(arena &memory, byte_source &in) : in_(in), t_(memory, in.pick(2) != 0) {}

    void run()
    {
        if (in_.pick(2) != 0) { // most of what can go wrong needs SNP
            enable_snp();
            fw_.execute(static_cast<std::uint16_t>(snp_init), 0);
            t_.memory.accept();
        }
        while (!in_.empty()) {
            switch (in_.pick(16)) {
            case 0:
                enable_snp();
                break;
            case 1:
                fw_.note_wbinvd(in_.pick(4));
                break;
            case 2:
                in_.pick(8) == 0 ? reset() : set_iommu();
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
                in_.pick(2) == 0 ? make_guest_page() : send_message();
                break;
            default:
                command();
            }
            t_.memory.accept();
            judge_.check_rmp();
        }
    }

  private:
    void command()
    {
        const firmware_command c = draw_.command();
        command_fields fields{};
        const spa_t buffer = draw_.buffer(c, fields);
        judge_.execute(c, buffer, fields);
    }

    void enable_snp()
    {
        rmp_changes ignored;
        for (unsigned t = 0; t < 4; ++t) { // MFDM everywhere before SNP_EN locks SYSCFG
            wrmsr(m_, t, msr::syscfg, m_.thread(t).syscfg | syscfg_mfdm, ignored);
        }
        for (unsigned t = 0; t < 4; ++t) {
            wrmsr(m_, t, msr::syscfg,
                  m_.thread(t).syscfg | syscfg_mfdm | syscfg_snp_en | syscfg_vmpl_en, ignored);
            wrmsr(m_, t, msr::rmpopt_base, rmpopt_enable, ignored);
        }
    }

    void reset()
    {
        fw_.reset();
        judge_.note_reset();
    }

    void set_iommu()
    {
        const std::scoped_lock lock(m_.rmp_lock());
        m_.set_iommu({.enabled = in_.pick(8) != 0,
                      .buffers = {{align_down(draw_.address(), page_4k), in_.pick(4) * page_4k}}});
    }

    /// Without SNP_EN the RMP is memory as any other.
    void write_rmp_by_hand()
    {
        if (m_.snp_enabled_somewhere()) {
            return;
        }
        const spa_t at = segment + in_.pick(256) * 96 + (in_.pick(2) != 0 ? 0 : 8);
        m_.memory().store(at, in_.u64());
        judge_.note_write_by_hand();
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
        const spa_t spa = align_down(draw_.address(), r.size_2m ? page_2m : page_4k);
        if (m_.snp_enabled(0)) {
            rmpupdate(m_, spa, r, ignored);
            rmpopt(m_, {.thread = 2}, 0, 0);
        }
    }

    void hand_page_to_guest()
    {
        const spa_t page = align_down(draw_.address(), page_4k);
        const std::scoped_lock lock(m_.rmp_lock());
        if (!m_.snp_enabled(0) || !m_.rmp().covers(page)) {
            return;
        }
        rmp_entry e = m_.rmp().load(page);
        if (e.assigned && e.asid != 0) {
            e.validated = true;
            rmp_changes ignored;
            m_.replace_entry(page, e, ignored);
        }
    }

    bool call(firmware_command c, const command_fields &fields)
    {
        return t_.may_hypervisor_write(command_page) &&
               m_.memory().write(command_page, fields.data(), command_bytes) &&
               fw_.execute(static_cast<std::uint16_t>(c), command_page).status == 0;
    }

    /// A guest as software that means well launches it, as far as it gets.
    void launch()
    {
        if (!m_.snp_enabled(0)) {
            return;
        }
        const spa_t context = contexts[in_.pick(contexts.size())];
        rmp_record firmware;
        firmware.assigned = firmware.immutable = true;
        rmp_changes ignored;
        rmpupdate(m_, context, firmware, ignored);
        const std::uint64_t policy = 0x30000 | std::uint64_t{in_.pick(2)} << 19;
        for (unsigned thread = 0; thread < 4; ++thread) {
            fw_.note_wbinvd(thread);
        }
        call(snp_df_flush, {});
        call(snp_gctx_create, {context});
        call(snp_launch_start, {context, policy, 0, std::uint64_t{in_.pick(2)} << 1});
        call(snp_activate, {context, 6 + in_.pick(8)});
        make_guest_page();
        call(snp_launch_update, {context, (1 + in_.pick(6)) << 1, high.base + page_4k});
        if (in_.pick(2) == 0) {
            call(snp_launch_finish, {context});
        }
    }

    /// A message of the guest that comes last. On its way the host may have changed it.
    void send_message()
    {
        if (t_.guests().empty() || !t_.may_hypervisor_write(message_page) ||
            !t_.may_hypervisor_write(command_page)) {
            return;
        }
        const auto &[context, guest] = *t_.guests().rbegin();
        guest_message m = draw_message(guest);
        seal_message(m, communication_key(guest, m.header.msg_vmpck));
        const bool changed = in_.pick(2) != 0;
        if (changed) {
            constexpr unsigned tag = 16, after_tag = 32; // between them nothing means anything
            const unsigned at = in_.pick(0x60 + m.header.msg_size - (after_tag - tag));
            std::as_writable_bytes(std::span(&m, 1))[at < tag ? at : at + after_tag - tag] ^=
                static_cast<std::byte>(1u << in_.pick(8));
        }
        rmp_record firmware;
        firmware.assigned = firmware.immutable = true;
        rmp_changes ignored;
        rmpupdate(m_, response_page, firmware, ignored);
        const auto before = guest.messages;
        const command_fields fields{context, message_page, response_page};
        m_.memory().store(message_page, m);
        m_.memory().write(command_page, fields.data(), command_bytes);
        const auto status = judge_.execute(snp_guest_request, command_page, fields);
        const bool accepted = status == firmware_status::success;
        expect(!accepted || !changed, "a message that was changed on its way was accepted");
        expect(accepted || guest.messages == before, "a refused message was counted");
    }

    /// Mostly one that firmware knows, with the number that it expects.
    guest_message draw_message(const snp_guest &guest)
    {
        constexpr std::array<guest_message_type, 4> types{
            guest_message_type::report_request, guest_message_type::key_request,
            guest_message_type::tsc_info_request, guest_message_type::cpuid_request};
        std::array<std::byte, 128> payload{};
        for (unsigned i = in_.pick(8); i > 0; --i) {
            payload.at(0x40 * in_.pick(2) + in_.pick(0x28)) = static_cast<std::byte>(in_.byte());
        }
        const auto vmpl = static_cast<std::uint8_t>(in_.pick(vmpls));
        const std::uint64_t seqno = guest.messages.at(vmpl) + 1 + (in_.pick(8) == 0 ? 1 : 0);
        guest_message m = make_message(types.at(in_.pick(types.size())), payload, seqno, vmpl);
        m.header.msg_version = static_cast<std::uint8_t>(1 + in_.pick(2));
        return m;
    }

    /// A few pages of 4 KB, or one of 2 MB, for the guest that comes last, if there is any.
    void make_guest_page()
    {
        if (!m_.snp_enabled(0) || t_.guests().empty() || !t_.guests().rbegin()->second.active()) {
            return;
        }
        rmp_record r;
        r.size_2m = in_.pick(8) == 0;
        rmp_changes ignored;
        for (unsigned i = 0; i < (r.size_2m ? 1 : 4); ++i) {
            const spa_t page = high.base + i * page_4k;
            rmpupdate(m_, page, {}, ignored);
            r.assigned = true;
            r.immutable = in_.pick(4) != 0;
            r.asid = t_.guests().rbegin()->second.asid;
            r.gpa = in_.pick(2) * page_2m;
            rmpupdate(m_, page, r, ignored);
        }
    }

    byte_source &in_;
    firmware_target t_;
    machine &m_ = *t_.m;
    firmware &fw_ = *t_.fw;
    hostile_commands draw_{t_, in_};
    firmware_judge judge_{t_};
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
