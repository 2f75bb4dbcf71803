// SPDX-License-Identifier: GPL-2.0-or-later
// Places and times at which a CPU may stall, as hardware does for an SMI or long microcode: what a
// search for races perturbs. A point is "the 17th RMPOPT on CPU 2", counted from the moment when
// SNP is switched on, or else when the guest says so. It means the same in each run with the same
// seed up to the first stall.
//
// Thread-safety: start() and the parsers before the guest runs; counts() from any thread; the
// others on the thread that executes vCPUs in turn.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

namespace rmpopt
{

/// What a CPU does at a point. It stalls before an instruction of code, and after all others but
/// one: at `pending` it goes on, and only takes no interrupts for that time.
enum class stall_site : std::uint8_t {
    rmpopt,
    rmpupdate,
    psmash,
    wrmsr,     ///< of a register that the model holds
    doorbell,  ///< of the secure processor
    interrupt, ///< delivered, before its handler's first instruction
    pending,   ///< an interrupt that the CPU could take
    code,      ///< an instruction in one of the chosen ranges
};

struct stall_point {
    stall_site site = stall_site::rmpopt;
    std::int64_t offset = 0; ///< of code: its distance from the kernel's entry of system calls
    unsigned cpu = 0;

    auto operator<=>(const stall_point &) const = default;
};

/// The site's name; for code "entry+0x1f" or "entry-0x1f".
std::string site_text(const stall_point &p);

struct stall_time {
    std::uint64_t ns = 0;    ///< of the guest's clock, at most; 0: no stall
    bool until_idle = false; ///< it ends as soon as all other CPUs are idle

    bool operator==(const stall_time &) const = default;
};

struct planned_stall {
    stall_point where;
    std::uint64_t occurrence = 1; ///< from 1
    stall_time time{};
};

/// Code whose instructions are points.
struct code_range {
    std::int64_t offset = 0; ///< as in stall_point
    std::uint64_t bytes = 0;
};

/// Parse "SITE@CPU#OCCURRENCE:TIME", where "/idle" may follow, and "entry+0x1f+BYTES". Return an
/// empty string, or what is wrong and what is allowed.
std::string parse_stall(std::string_view text, planned_stall &out);
std::string parse_code_range(std::string_view text, code_range &out);

struct stall_plan {
    bool counts = false;         ///< points are counted even if there is nothing else here
    bool waits_for_mark = false; ///< not from SNP on, but only when the guest says so
    std::vector<planned_stall> stalls{};
    std::vector<code_range> code{};

    bool is_empty() const { return !counts && stalls.empty() && code.empty(); }
};

class stall_points
{
  public:
    void start(stall_plan plan);
    bool is_on() const { return is_on_; }

    /// SNP is switched on: counting begins, unless the plan waits for the guest.
    void snp_is_on();
    /// The guest says that counting begins or pauses, which matters if the plan waits for it.
    void guest_says(bool counts);
    /// The kernel's entry of system calls is at `address`: from now on code is found.
    void set_entry(std::uint64_t address);

    /// True when a page of code, by any address in it, may have points.
    bool has_code_in_page(std::uint64_t address) const;
    /// True when the instruction at `address` is a point.
    bool is_code(std::uint64_t address) const;

    /// `cpu` is at a point other than code. Returns for how long it has to stall.
    stall_time reach(stall_site site, unsigned cpu) { return reach({site, 0, cpu}); }
    /// `cpu` is about to execute the instruction at `address`. When it has to stall, it comes here
    /// again afterwards, and that does not count.
    stall_time reach_code(std::uint64_t address, unsigned cpu);

    struct count {
        stall_point where;
        std::uint64_t times;
    };
    std::vector<count> counts() const;

  private:
    struct seen {
        std::uint64_t times = 0;
        std::vector<std::pair<std::uint64_t, stall_time>> stalls; ///< by occurrence
    };

    stall_time reach(const stall_point &at);

    bool is_on_ = false, waits_for_mark_ = false, counts_ = false;
    std::vector<code_range> code_;
    std::optional<std::uint64_t> entry_;
    std::unordered_set<std::uint64_t> pages_; ///< numbers of those that have code with points
    std::map<unsigned, std::uint64_t> stalled_at_;
    mutable std::mutex lock_; ///< of seen_, which the report reads
    std::map<stall_point, seen> seen_;
};

} // namespace rmpopt
