// SPDX-License-Identifier: GPL-2.0-or-later
// Notices what firmware must not do: a command writes only what the ABI lets it write; the RMP
// stays consistent and, once initialised, firmware's.
#pragma once

#include "firmware_outputs.h"
#include "firmware_target.h"
#include "hw-model/firmware/common/page_state.h"
#include "hw-model/machine/audit.h"

#include <cstdlib>
#include <iostream>
#include <string>

namespace rmpopt::hw
{

[[noreturn]] inline void fail(const std::string &what)
{
    std::cerr << what << '\n';
    std::abort();
}

inline void expect(bool ok, const char *what)
{
    if (!ok) {
        fail(what);
    }
}

class firmware_judge
{
  public:
    explicit firmware_judge(firmware_target &target) : t_(target) {}

    /// Software wrote to the table by hand. It can write anything there; SNP_INIT makes it right.
    void note_write_by_hand() { by_hand_ = true; }
    void note_reset() { nv_ = {}; }

    /// Runs the command, whose buffer holds `fields`, and compares what it wrote with what it may.
    firmware_status execute(firmware_command c, spa_t buffer, const command_fields &fields)
    {
        using enum firmware_command;
        const bool was_up = t_.fw->snapshot().snp_init;
        before_.clear();
        for (spa_t p = 0; p < covered_bytes; p += page_4k) {
            before_.push_back(t_.m->rmp().load(p));
        }
        t_.memory.accept();
        const firmware_result result = t_.fw->execute(static_cast<std::uint16_t>(c), buffer);
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
        return status;
    }

    void check_rmp()
    {
        if (by_hand_) {
            return;
        }
        const auto findings = audit(*t_.m);
        if (!findings.empty()) {
            fail(findings.front());
        }
        if (!t_.fw->snapshot().snp_init) {
            return;
        }
        for (const spa_range &r : t_.m->rmp().table_memory()) {
            for (spa_t p = r.base; p < r.end(); p += page_4k) {
                expect(state_of(t_.m->rmp().load(p)) == page_state::firmware,
                       "a page of the RMP is no longer firmware's");
            }
        }
        check_contexts();
    }

  private:
    /// Firmware writes to the storage of INIT_EX until SHUTDOWN or a reset.
    void note_storage(firmware_command c, bool success, const command_fields &fields)
    {
        if (success && c == firmware_command::init_ex) {
            nv_ = {fields[3] & ~c_bit, 32 * 1024};
        } else if (success && c == firmware_command::shutdown) {
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
        for (const spa_t page : t_.memory.changed_pages()) {
            t_.memory.for_each_change(page, [&](spa_t spa) {
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

    /// Context pages and guests are the same; no two guests have one ASID.
    void check_contexts()
    {
        std::vector<spa_t> contexts_in_rmp, contexts_of_guests;
        std::vector<std::uint32_t> asids;
        for (spa_t p = 0; p < covered_bytes; p += page_4k) {
            if (state_of(t_.m->rmp().load(p)) == page_state::context) {
                contexts_in_rmp.push_back(p);
            }
        }
        for (const auto &[context, guest] : t_.guests()) {
            contexts_of_guests.push_back(context);
            if (guest.active()) {
                expect(std::ranges::find(asids, guest.asid) == asids.end(), "two guests, one ASID");
                asids.push_back(guest.asid);
            }
        }
        expect(contexts_in_rmp == contexts_of_guests, "contexts and context pages differ");
    }

    firmware_target &t_;
    std::vector<rmp_entry> before_; ///< the last command
    spa_range nv_{};                ///< storage of INIT_EX
    bool by_hand_ = false;
};

} // namespace rmpopt::hw
