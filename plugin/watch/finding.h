// SPDX-License-Identifier: GPL-2.0-or-later
// The findings of the watch: which kinds there are, and the list of those made so far.
//
// Thread-safety: finding_log's members may be called from any thread.
#pragma once

#include "events/place.h"
#include "hw-model/base/types.h"

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rmpopt
{

/// Guest time in nanoseconds since the operating system took over.
using guest_time = std::uint64_t;
inline constexpr guest_time guest_second = 1'000'000'000;

/// note: worth knowing, but not wrong. warning: the kernel does unnecessary work. error: a correct
/// kernel does not do this.
enum class severity : std::uint8_t { note, warning, error };
std::string_view severity_name(severity s);

/// What all findings of one kind have in common.
struct finding_info {
    std::string_view id; ///< as users see it: "lost-optimisation"
    severity level;
    std::string_view hint; ///< one sentence: where to look for the cause
};

/// All kinds of findings. To add one, write its row here and let a rule of the watch call
/// log_.add() with its id.
inline constexpr std::array finding_infos{
    finding_info{"rmpopt-disabled", severity::error,
                 "each core needs RMPOPT_BASE.RMPOPT_EN before its first RMPOPT"},
    finding_info{"rmpopt-after-shutdown", severity::error,
                 "cancel pending passes before SNP_SHUTDOWN_EX"},
    finding_info{"rmpopt-refused", severity::error,
                 "look at the operands: RAX is a system physical address, RCX 0 or 1"},
    finding_info{"rmpopt-no-memory", severity::note,
                 "a pass may end with the last region that has memory"},
    finding_info{"rmpopt-unused", severity::note,
                 "this kernel does not use RMPOPT, or has switched it off"},
    finding_info{"rmpopt-never-enabled", severity::error,
                 "a kernel that knows the register has to set RMPOPT_EN on each core after SNP_EN"},
    finding_info{
        "msr-refused", severity::error,
        "the write raised #GP(0): set up the RMP registers before SNP_EN, enable RMPOPT_BASE "
        "after it with a segmented RMP, and leave it so until SNP is disabled"},
    finding_info{
        "msr-lost", severity::error,
        "the register does not hold the value that was written: read it back, or check the "
        "order of writes"},
    finding_info{"msr-unequal", severity::error,
                 "firmware requires the same value on all CPUs before SNP_INIT_EX"},
    finding_info{
        "rmpopt-base-unequal", severity::error,
        "write RMPOPT_BASE on one thread of every core, including cores that come online later"},
    finding_info{"lost-optimisation", severity::error,
                 "only RMPOPT on that core, after the region's last change, sets its bit again"},
    finding_info{
        "rmpopt-twice", severity::note,
        "a pass that runs on one core first, for the others to find its results, may leave "
        "that core out when it runs on all"},
    finding_info{"sibling-repeat", severity::warning,
                 "both threads of a core share one table: RMPOPT on one of them is enough"},
    finding_info{"useless-pass", severity::warning,
                 "no RMP entry and no table has changed since the previous pass"},
    finding_info{"pass-during-teardown", severity::warning,
                 "start the delay when the guest's last page has been returned"},
    finding_info{
        "rmp-retry", severity::error,
        "only FAIL_OVERLAP can go away by itself; for the other errors the state of the page "
        "must change first"},
    finding_info{"host-write", severity::error,
                 "the host must not write to pages that are assigned to a guest or to firmware"},
    finding_info{"pages-leaked", severity::error,
                 "return each page of a guest with RMPUPDATE; a leaked page keeps its 1 GB region "
                 "from being optimised"},
    finding_info{"firmware-pages-left", severity::error,
                 "pages given to firmware are returned by SNP_PAGE_RECLAIM and RMPUPDATE"},
    finding_info{"dirty-rmp", severity::error,
                 "zero the RMP and its bookkeeping area before setting SNP_EN"},
    // What only an SNP guest can do wrong.
    finding_info{"guest-validates-twice", severity::error,
                 "a guest that validates what it has validated may be shown a second page there"},
    finding_info{"guest-unvalidated-page", severity::error,
                 "PVALIDATE must come first; a page that the host has taken away and given back "
                 "counts as never validated"},
    finding_info{"guest-shared-access", severity::error,
                 "a private page is mapped without the C-bit: reads see cipher text, and writes "
                 "leave the guest"},
    finding_info{"guest-shares-validated", severity::error,
                 "rescind the validation before the request to make the page shared"},
};

/// The row of an id. The constructor rejects an id without a row at compile time.
class finding_kind
{
  public:
    consteval finding_kind(const char *id) : info_(find(id)) {}
    const finding_info *info() const { return info_; }

  private:
    static consteval const finding_info *find(std::string_view id)
    {
        for (const finding_info &i : finding_infos) {
            if (i.id == id) {
                return &i;
            }
        }
        throw "no row of finding_infos has this id";
    }

    const finding_info *info_;
};

struct finding {
    const finding_info *kind = nullptr;
    guest_time at = 0; ///< when it was first seen
    std::optional<unsigned> cpu;
    std::optional<std::uint64_t> rip;
    std::optional<hw::spa_t> spa; ///< page or region
    std::string what;             ///< one line
    std::uint64_t count = 1;      ///< how often it was seen
};

/// "lost-optimisation: WHAT [12.345 s, CPU 1, RIP 0x...]; hint".
std::string to_line(const finding &f);

class finding_log
{
  public:
    /// `on_new` is called for each new finding, with the log's lock held.
    explicit finding_log(std::function<void(const finding &)> on_new = {})
        : on_new_(std::move(on_new))
    {
    }

    /// Adds a finding, or increments its count if there already is one of this kind with this key.
    /// `key` tells apart findings of one kind that a user wants to see separately.
    void add(finding_kind kind, const std::string &key, const place &where, guest_time at,
             std::optional<hw::spa_t> spa, const std::string &what);

    std::vector<finding> all() const;
    /// Whether there is one of this kind with this key.
    bool has(finding_kind kind, const std::string &key) const;

  private:
    /// Bounds the memory used, whatever the kernel does. A flood of one kind leaves room for the
    /// others: an error must not be lost behind a thousand notes.
    static constexpr std::size_t most_of_a_kind = 1000;

    std::function<void(const finding &)> on_new_;
    mutable std::mutex lock_;
    std::vector<finding> findings_;
    std::map<const finding_info *, std::size_t> kept_; ///< how many of each kind
    std::map<std::pair<const finding_info *, std::string>, std::size_t> index_;
};

} // namespace rmpopt
