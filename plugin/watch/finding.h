// SPDX-License-Identifier: GPL-2.0-or-later
// What the watch has to say about a kernel: kinds of findings, and the list of those made so far.
//
// Thread-safety: finding_log's members may be called from any thread.
#pragma once

#include "events/place.h"
#include "hw-model/base/types.h"

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rmpopt
{

/// Nanoseconds of the guest's own time since its operating system took over.
using guest_time = std::uint64_t;
inline constexpr guest_time guest_second = 1'000'000'000;

/// note: worth knowing, not wrong. warning: work done in vain. error: a kernel that works right
/// does not do this.
enum class severity : std::uint8_t { note, warning, error };
std::string_view severity_name(severity s);

enum class finding_kind : std::uint8_t {
    rmpopt_disabled,
    rmpopt_after_shutdown,
    rmpopt_refused,
    rmpopt_unused,
    msr_refused,
    msr_lost,
    msr_unequal,
    rmpopt_base_unequal,
    lost_optimisation,
    sibling_repeat,
    useless_pass,
    pass_during_teardown,
    rmp_retry,
    host_write,
    pages_leaked,
    firmware_pages_left,
    dirty_rmp,
};

/// What is the same for all findings of one kind.
struct finding_info {
    finding_kind kind;
    std::string_view id; ///< as users see it: "lost-optimisation"
    severity level;
    std::string_view hint; ///< what to look at, one sentence
};
std::span<const finding_info> finding_infos();
const finding_info &info_of(finding_kind kind);

struct finding {
    finding_kind kind{};
    guest_time at = 0; ///< when it was seen first
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
    /// `on_new` is told of each finding when it is made, with the log's lock held.
    explicit finding_log(std::function<void(const finding &)> on_new = {})
        : on_new_(std::move(on_new))
    {
    }

    /// Makes a finding, or counts it when there is one of this kind with this key. `key` tells
    /// apart what a user would want to see separately.
    void add(finding_kind kind, const std::string &key, const place &where, guest_time at,
             std::optional<hw::spa_t> spa, const std::string &what);

    std::vector<finding> all() const;

  private:
    /// A kernel that does everything wrong must not fill memory.
    static constexpr std::size_t most_findings = 1000;

    std::function<void(const finding &)> on_new_;
    mutable std::mutex lock_;
    std::vector<finding> findings_;
    std::map<std::pair<finding_kind, std::string>, std::size_t> index_;
};

} // namespace rmpopt
