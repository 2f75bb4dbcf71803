// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/control_session.h"

#include <algorithm>

namespace rmpopt
{

using nlohmann::json;
using nlohmann::ordered_json;

namespace
{

// The JSON parser recurses, so deep nesting could overflow its stack. Real requests are shallow.
constexpr std::size_t deepest = 8;

bool is_too_deep(std::string_view text)
{
    std::size_t depth = 0, most = 0;
    for (const char c : text) {
        if (c == '[' || c == '{') {
            most = std::max(most, ++depth);
        } else if ((c == ']' || c == '}') && depth != 0) {
            --depth;
        }
    }
    return most > deepest;
}

std::uint64_t number_or(const json &request, const char *name, std::uint64_t otherwise)
{
    const auto found = request.find(name);
    return found != request.end() && found->is_number_unsigned() ? found->get<std::uint64_t>()
                                                                 : otherwise;
}

} // namespace

bool control_session::receive(std::string_view bytes)
{
    input_ += bytes;
    std::size_t end = 0;
    while ((end = input_.find('\n')) != std::string::npos) {
        if (output_.size() > most_output) {
            return false; // the client sends requests but does not read the replies
        }
        answer(std::string_view(input_).substr(0, end));
        input_.erase(0, end + 1);
    }
    if (input_.size() <= longest_request) {
        return true;
    }
    write({{"ok", false}, {"error", "a request has at most 65536 bytes and ends with a newline"}});
    return false;
}

void control_session::answer(std::string_view line)
{
    const json request = is_too_deep(line) ? json() : json::parse(line, nullptr, false);
    ordered_json reply;
    if (request.is_object() && request.contains("id")) {
        reply["id"] = request["id"];
    }
    try {
        if (!request.is_object() || !request.contains("cmd") || !request["cmd"].is_string()) {
            throw control_error{R"(not a request: send {"cmd": "help"} and a newline)"};
        }
        ordered_json result = execute(request);
        reply["ok"] = true;
        reply["result"] = std::move(result);
    } catch (const control_error &e) {
        reply["ok"] = false;
        reply["error"] = e.what;
    }
    write(reply);
}

ordered_json control_session::execute(const json &request)
{
    return request["cmd"] == "events" ? events(request) : handler_(request);
}

ordered_json control_session::events(const json &request)
{
    constexpr std::uint64_t most = 1000;
    const std::uint64_t since = number_or(request, "since", 1);
    const auto follow = request.find("follow");
    if (follow != request.end() && follow->is_boolean() && follow->get<bool>()) {
        following_ = true;
        next_event_ = since;
        return {{"following", true}};
    }
    const event_log::reading r =
        events_.read(since, std::min(number_or(request, "limit", most), most));
    ordered_json out{{"lost", r.lost}, {"next", r.next}, {"events", ordered_json::array()}};
    for (const std::string &line : r.lines) {
        out["events"].push_back(ordered_json::parse(line));
    }
    return out;
}

void control_session::follow_events()
{
    constexpr std::size_t at_once = 100;
    while (following_ && output_.size() < most_output) {
        const event_log::reading r = events_.read(next_event_, at_once);
        next_event_ = r.next;
        if (r.lost != 0) {
            write({{"event", {{"type", "lost"}, {"count", r.lost}}}});
        }
        for (const std::string &line : r.lines) {
            output_.append(R"({"event":)").append(line, 0, line.size() - 1).append("}\n");
        }
        if (r.lines.size() < at_once) {
            break;
        }
    }
}

void control_session::write(const ordered_json &line)
{
    output_ += line.dump(-1, ' ', true, json::error_handler_t::replace) + "\n";
}

} // namespace rmpopt
