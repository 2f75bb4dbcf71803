// SPDX-License-Identifier: GPL-2.0-or-later
// The model beside its reference: each step is done on both, then everything is compared and the
// raw table audited.
#pragma once

#include "reference.h"

#include <memory>
#include <string>

namespace rmpopt::hw
{

class twins
{
  public:
    /// With SNP and, where the table allows it, RMPOPT enabled on all cores.
    explicit twins(const world &w);

    /// Does one step on both. Empty when results and changes agree, else what does not.
    std::string execute(const step &s);
    /// Looks at all of both. Empty when they agree and the audit finds nothing.
    std::string compare();
    /// Both of the above.
    std::string run(const step &s);

    machine &model() { return *model_; }
    reference &expected() { return reference_; }
    /// The RAM of the model: bookkeeping and RST, then the table of each region.
    std::vector<std::uint64_t> &ram() { return ram_; }
    std::span<std::uint64_t> bookkeeping();
    /// The entries from those of the region on: two words each, in the order of reference's
    /// pages().
    std::span<std::uint64_t> entries(unsigned region);
    /// The guards follow the reference, as after the steps that led to this state.
    void assume_guards();

  private:
    void power_on();
    bool execute_instruction(const step &s);
    bool execute_register(const step &s);
    void execute_event(const step &s);
    void use_as_guest(spa_t spa);
    void follow_changes();
    bool agree_on_writes(spa_t page) const;
    std::string compare_pages();
    std::string compare_cores() const;
    std::string compare_counts() const;
    template <class F> void for_each_page(F f) const;

    world world_;
    std::vector<std::uint64_t> ram_;
    std::unique_ptr<machine> model_;
    reference reference_;
    rmp_changes effects_;
    std::vector<bool> guarded_; ///< pages in the order of reference_.pages(), from changes alone
};

} // namespace rmpopt::hw
