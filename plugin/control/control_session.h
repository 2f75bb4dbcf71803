// SPDX-License-Identifier: GPL-2.0-or-later
// The protocol of one client of the control socket, independent of the socket itself. A request is
// a line with a JSON object, {"cmd": ..., "id": ...}. The reply to each is one line: {"id", "ok":
// true, "result"} or {"id", "ok": false, "error"}. Input and output are bounded. Not thread-safe.
#pragma once

#include "report/event_log.h"

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace rmpopt
{

/// Thrown by a command that cannot be executed.
struct control_error {
    std::string what; ///< one line for the client
};

/// Executes a command. Throws control_error.
using control_handler = std::function<nlohmann::ordered_json(const nlohmann::json &request)>;

class control_session
{
  public:
    static constexpr std::size_t longest_request = 64u << 10;
    /// Output that a client may leave unread. Beyond that no more events are added to it, and those
    /// that fall out of the event log in the meantime are lost.
    static constexpr std::size_t most_output = 1u << 20;

    control_session(control_handler handler, const event_log &events)
        : handler_(std::move(handler)), events_(events)
    {
    }

    /// Takes bytes from the client. Returns false when the connection must be closed after output()
    /// has been sent.
    bool receive(std::string_view bytes);
    /// Bytes for the client. The caller must call forget() for those that it has sent.
    std::string_view output() const { return output_; }
    void forget(std::size_t bytes) { output_.erase(0, bytes); }
    /// Appends new events to the output, if the client follows them and reads its output.
    void follow_events();
    bool is_following() const { return following_; }

  private:
    void answer(std::string_view line);
    nlohmann::ordered_json execute(const nlohmann::json &request);
    nlohmann::ordered_json events(const nlohmann::json &request);
    void write(const nlohmann::ordered_json &line);

    const control_handler handler_;
    const event_log &events_;
    std::string input_, output_;
    bool following_ = false;
    std::uint64_t next_event_ = 1;
};

} // namespace rmpopt
