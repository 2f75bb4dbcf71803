// SPDX-License-Identifier: GPL-2.0-or-later
#include "twins.h"

#include "hw-model/access/rmp_check.h"
#include "hw-model/machine/audit.h"

#include <sstream>

namespace rmpopt::hw
{

namespace
{

constexpr spa_t rmp_base = 0x10'0000;
constexpr std::array<spa_t, 2> tables{0x20'0000, 0x30'0000};
constexpr std::size_t head_bytes = rmp_bookkeeping_bytes + rst_bytes;

std::string hex(std::uint64_t v)
{
    std::ostringstream os;
    os << "0x" << std::hex << v;
    return os.str();
}

memory_view view(const world &w, std::vector<std::uint64_t> &ram)
{
    auto *p = reinterpret_cast<std::byte *>(ram.data());
    const std::uint64_t bytes = w.pages * rmp_entry_bytes;
    if (w.layout == rmp_layout::contiguous) {
        return memory_view({{rmp_base, rmp_bookkeeping_bytes + bytes, p}});
    }
    return memory_view({{rmp_base, head_bytes, p},
                        {tables[0], bytes, p + head_bytes},
                        {tables[1], bytes, p + head_bytes + bytes}});
}

} // namespace

twins::twins(const world &w)
    : world_(w), ram_((head_bytes + 2 * w.pages * rmp_entry_bytes) / 8), reference_(w),
      guarded_(reference_.pages().size())
{
    machine::settings s;
    s.cpu = find_cpu_model("venice");
    s.phys_bits = world::phys_bits;
    for (unsigned t = 0; t < w.threads(); ++t) {
        s.cpus.core_of_thread.push_back(t / 2);
    }
    s.memory = view(w, ram_);
    model_ = std::make_unique<machine>(std::move(s));
    power_on();
    for (unsigned t = 0; t < w.threads(); ++t) {
        execute({.what = op::enable_snp, .ctx = {.thread = t}});
        execute({.what = op::write_rmpopt_base, .ctx = {.thread = t}, .operand = rmpopt_enable});
    }
}

/// As a BIOS leaves it. A contiguous table claims entries up to a multiple of RMP_END's unit.
void twins::power_on()
{
    model_->reset();
    rmp_config c{.layout = world_.layout, .base = rmp_base};
    if (world_.layout == rmp_layout::segmented) {
        c.segment_shift = 30;
        const spa_t rst = rmp_base + rmp_bookkeeping_bytes;
        model_->memory().store(rst, tables[0] | 1);
        model_->memory().store(rst + 16, tables[1] | 1);
    } else {
        const spa_t end = rmp_base + rmp_bookkeeping_bytes + world_.pages * rmp_entry_bytes;
        c.end = align_up(end, rmp_end_low_bits + 1) - 1;
    }
    model_->bios_setup(c);
}

std::span<std::uint64_t> twins::bookkeeping()
{
    return std::span(ram_).first(rmp_bookkeeping_bytes / 8);
}

std::span<std::uint64_t> twins::entries(unsigned region)
{
    const std::size_t head =
        world_.layout == rmp_layout::segmented ? head_bytes : rmp_bookkeeping_bytes;
    return std::span(ram_).subspan(head / 8 + region * world_.pages * 2);
}

void twins::assume_guards()
{
    std::size_t i = 0;
    for_each_page([&](spa_t p) { guarded_[i++] = !reference_.host_writable(p); });
}

template <class F> void twins::for_each_page(F f) const
{
    for (unsigned r = 0; r < world_.covered_regions(); ++r) {
        for (unsigned i = 0; i < world_.pages; ++i) {
            f(world::regions[r] + i * page_4k);
        }
    }
}

bool twins::execute_instruction(const step &s)
{
    if (s.what == op::rmpopt) {
        const rmpopt_result r = rmpopt(*model_, s.ctx, s.spa, s.operand);
        const rmpopt_result e = reference_.rmpopt(s.ctx, s.spa, s.operand);
        return r.exception == e.exception && r.cf == e.cf;
    }
    const fault f = reference_.host_fault(s.ctx);
    if (host_insn_fault(*model_, s.ctx) != f || rmpread_fault(*model_, s.ctx) != f) {
        return false;
    }
    if (f != fault::none) {
        return true;
    }
    if (s.ctx.guest_mode) {
        return refused_in_guest(s.ctx) == rmp_status::fail_permission;
    }
    if (s.what == op::rmpupdate) {
        return rmpupdate(*model_, s.spa, s.record, effects_) ==
               reference_.rmpupdate(s.spa, s.record);
    }
    if (s.what == op::psmash) {
        return psmash(*model_, s.spa) == reference_.psmash(s.spa);
    }
    rmp_record got;
    rmp_record wanted;
    return rmpread(*model_, s.spa, got) == reference_.rmpread(s.spa, wanted) && got == wanted;
}

bool twins::execute_register(const step &s)
{
    if (s.what == op::write_rmpopt_base) {
        return wrmsr(*model_, s.ctx.thread, msr::rmpopt_base, s.operand, effects_) ==
               reference_.write_rmpopt_base(s.ctx.thread, s.operand);
    }
    if (s.what == op::write_vm_hsave_pa) {
        return wrmsr(*model_, s.ctx.thread, msr::vm_hsave_pa, s.spa, effects_) ==
               reference_.write_vm_hsave_pa(s.ctx.thread, s.spa);
    }
    reference_.enable_snp(s.ctx.thread);
    return wrmsr(*model_, s.ctx.thread, msr::syscfg, syscfg_reset | syscfg_snp_en, effects_) ==
           msr_result::done;
}

void twins::use_as_guest(spa_t spa)
{
    if (!reference_.may_be_used(spa)) {
        return;
    }
    rmp_entry e = model_->rmp().load(spa);
    e.validated = e.vmsa = true;
    e.vmpl[1] = vmpl_perm::read | vmpl_perm::write;
    const std::scoped_lock lock(model_->rmp_lock());
    model_->replace_entry(spa, e, effects_);
    reference_.use_as_guest(spa);
}

void twins::execute_event(const step &s)
{
    if (s.what == op::use_as_guest) {
        return use_as_guest(s.spa);
    }
    if (s.what == op::reset) {
        power_on();
        return reference_.reset();
    }
    const std::scoped_lock lock(model_->rmp_lock());
    if (s.what == op::enter_guest) {
        const spa_t page = align_down(s.spa, page_4k);
        model_->enter_guest(s.ctx.thread, {.spa = {page}, .count = 1});
        reference_.enter_guest(s.ctx.thread, page);
    } else if (s.what == op::leave_guest) {
        model_->leave_guest(s.ctx.thread);
        reference_.leave_guest(s.ctx.thread);
    } else if (s.what == op::clear_rmpopt_tables) {
        model_->clear_rmpopt_tables();
        reference_.clear_rmpopt_tables();
    } else {
        model_->firmware_clear_snp_en();
        reference_.shutdown();
    }
}

/// Guards change by changes; without SNP_EN anywhere it is the caller who drops them.
void twins::follow_changes()
{
    for (const rmp_change &g : effects_.ranges()) {
        std::size_t i = 0;
        for_each_page([&](spa_t p) {
            if (p >= g.base && p < g.base + g.bytes) {
                guarded_[i] = !g.host_writable;
            }
            ++i;
        });
    }
    if (!reference_.snp_somewhere()) {
        guarded_.assign(guarded_.size(), false);
    }
}

std::string twins::execute(const step &s)
{
    effects_.clear();
    bool agree = true;
    if (s.what <= op::rmpopt) {
        agree = execute_instruction(s);
    } else if (s.what == op::write_rmpopt_base || s.what == op::write_vm_hsave_pa ||
               s.what == op::enable_snp) {
        agree = execute_register(s);
    } else {
        execute_event(s);
    }
    follow_changes();
    return agree ? "" : "another result";
}

bool twins::agree_on_writes(spa_t page) const
{
    // The reference looks at all 512 pages behind a large mapping; two of them may ask.
    const bool ask_about_large = page % page_2m <= page_4k;
    bool agree = true;
    for (unsigned c = 0; c < world_.cores; ++c) {
        for (unsigned large = 0; large <= (ask_about_large ? 1u : 0u); ++large) {
            const rmp_verdict v = rmp_check(
                *model_, 2 * c,
                {.kind = rmp_access_kind::write, .spa = page, .large_mapping = large != 0});
            agree = agree && (v.outcome == rmp_outcome::allowed) ==
                                 reference_.may_write(c, page, large != 0);
        }
    }
    return agree;
}

std::string twins::compare_pages()
{
    std::string wrong;
    std::size_t i = 0;
    const bool snp = reference_.snp_somewhere();
    const std::span<const std::uint64_t> raw = entries(0);
    for_each_page([&](spa_t p) {
        const bool untouched = reference_.pages()[i] == reference_page{} && raw[2 * i] == 0 &&
                               raw[2 * i + 1] == 0 && p % page_2m != 0;
        if (!untouched && model_->rmp().load(p) != reference_.entry(p)) {
            wrong = "another entry of " + hex(p);
        }
        if (!untouched && !agree_on_writes(p)) {
            wrong = "another verdict on writes to " + hex(p);
        }
        if (guarded_[i] != (snp && reference_.pages()[i].assigned)) {
            wrong = "another guard of " + hex(p);
        }
        ++i;
    });
    for (const spa_t r : {world::regions[0], world::regions[1], world::hole}) {
        for (const unsigned page : {0u, 1u, 255u, 511u, 512u, world_.pages - 1, world_.pages}) {
            if (!execute_instruction({.what = op::rmpread, .spa = r + page * page_4k})) {
                wrong = "another record of " + hex(r + page * page_4k);
            }
        }
    }
    return wrong;
}

std::string twins::compare_cores() const
{
    for (unsigned c = 0; c < world_.cores; ++c) {
        for (spa_t region = 0; region < 5 * region_1g; region += region_1g) {
            if (model_->core(c).rmpopt.test(region) != reference_.reported(c, region)) {
                return "another bit of core " + std::to_string(c) + " for " + hex(region);
            }
        }
    }
    return {};
}

std::string twins::compare_counts() const
{
    for (const unsigned asid : {1u, 2u, 3u, 1023u}) {
        if (ram_[asid] != reference_.pages_of(asid)) {
            return "another page count of asid " + std::to_string(asid);
        }
    }
    return {};
}

std::string twins::compare()
{
    for (const std::string &wrong : {compare_pages(), compare_cores(), compare_counts()}) {
        if (!wrong.empty()) {
            return wrong;
        }
    }
    const std::vector<std::string> findings = audit(*model_);
    return findings.empty() ? "" : findings.front();
}

std::string twins::run(const step &s)
{
    const std::string wrong = execute(s);
    return wrong.empty() ? compare() : wrong;
}

} // namespace rmpopt::hw
