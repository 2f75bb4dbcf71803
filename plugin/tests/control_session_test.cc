// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/control_session.h"

#include <gtest/gtest.h>

namespace rmpopt
{
namespace
{

using nlohmann::json;

class control_session_test : public testing::Test
{
  protected:
    json ask(const std::string &line)
    {
        EXPECT_TRUE(session.receive(line + "\n"));
        return take();
    }
    /// The first line of the output.
    json take()
    {
        const std::string_view out = session.output();
        const std::size_t end = out.find('\n');
        EXPECT_NE(end, std::string_view::npos);
        const json line = json::parse(out.substr(0, end));
        session.forget(end + 1);
        return line;
    }

    event_log events;
    int executed = 0;
    control_session session{[this](const json &request) -> nlohmann::ordered_json {
                                ++executed;
                                if (request["cmd"] == "fail") {
                                    throw control_error{"no"};
                                }
                                return {{"echo", request["cmd"]}};
                            },
                            events};
};

TEST_F(control_session_test, EachRequestGetsOneAnswerWithItsId)
{
    EXPECT_EQ(ask(R"({"cmd": "a", "id": 7})"),
              json::parse(R"({"id": 7, "ok": true, "result": {"echo": "a"}})"));
    EXPECT_EQ(ask(R"({"cmd": "fail", "id": "x"})"),
              json::parse(R"({"id": "x", "ok": false, "error": "no"})"));
}

TEST_F(control_session_test, RequestsMayComeInPiecesAndTogether)
{
    EXPECT_TRUE(session.receive("{\"cmd\":"));
    EXPECT_EQ(session.output(), "");
    EXPECT_TRUE(session.receive("\"a\"}\n{\"cmd\":\"b\"}\n{"));
    EXPECT_EQ(take()["result"]["echo"], "a");
    EXPECT_EQ(take()["result"]["echo"], "b");
    EXPECT_EQ(session.output(), "");
}

TEST_F(control_session_test, WhatIsNoRequestGetsOneLineAndTheClientStays)
{
    for (const char *bad : {"", "hello", "[]", "{}", "7", R"({"cmd": 7})", "{\"cmd\": \"\xff\"",
                            R"({"cmd": "a")", "\xff\xfe\x00"}) {
        const json answer = ask(bad);
        EXPECT_EQ(answer["ok"], false) << bad;
        EXPECT_NE(answer["error"].get<std::string>().find("help"), std::string::npos);
    }
    EXPECT_EQ(executed, 0);
}

TEST_F(control_session_test, DeepNestingIsNotParsed)
{
    const json answer = ask(std::string(60000, '['));
    EXPECT_EQ(answer["ok"], false);
    EXPECT_EQ(executed, 0);
}

TEST_F(control_session_test, ALineWithoutEndEndsTheClient)
{
    const std::string much(control_session::longest_request, 'x');
    EXPECT_TRUE(session.receive(much));
    EXPECT_FALSE(session.receive("x"));
    EXPECT_NE(take()["error"].get<std::string>().find("65536"), std::string::npos);
}

TEST_F(control_session_test, WhoAsksButDoesNotReadIsClosed)
{
    bool open = true;
    const std::string request = std::string(R"({"cmd": ")").append(1000, 'a').append("\"}\n");
    for (int i = 0; open && i < 100'000; ++i) {
        open = session.receive(request);
    }
    EXPECT_FALSE(open);
    EXPECT_LT(session.output().size(), 2 * control_session::most_output);
}

TEST_F(control_session_test, EventsInOnePiece)
{
    events.add(0, "a", json::object());
    events.add(0, "b", json::object());
    const json answer = ask(R"({"cmd": "events", "since": 2})");
    EXPECT_EQ(answer["result"]["events"].size(), 1u);
    EXPECT_EQ(answer["result"]["events"][0]["type"], "b");
    EXPECT_EQ(answer["result"]["next"], 3);
    EXPECT_EQ(ask(R"({"cmd": "events", "limit": 1})")["result"]["events"][0]["type"], "a");
}

TEST_F(control_session_test, EventsAsTheyCome)
{
    session.follow_events();
    EXPECT_EQ(session.output(), "") << "nobody asked";
    EXPECT_EQ(ask(R"({"cmd": "events", "follow": true})")["ok"], true);
    events.add(0, "a", json::object());
    session.follow_events();
    EXPECT_EQ(take()["event"]["type"], "a");
    session.follow_events();
    EXPECT_EQ(session.output(), "");
}

TEST_F(control_session_test, AFollowerThatDoesNotReadLosesEventsAndIsTold)
{
    event_log small(2000);
    control_session slow{[](const json &) { return json(); }, small};
    EXPECT_TRUE(slow.receive("{\"cmd\": \"events\", \"follow\": true}\n"));
    slow.forget(slow.output().size());
    for (int i = 0; i < 1000; ++i) {
        small.add(0, "x", json::object());
    }
    slow.follow_events();
    const std::string first(slow.output().substr(0, slow.output().find('\n')));
    EXPECT_EQ(json::parse(first)["event"]["type"], "lost");
}

TEST_F(control_session_test, OutputOfAFollowerIsBounded)
{
    event_log large(64u << 20);
    control_session slow{[](const json &) { return json(); }, large};
    EXPECT_TRUE(slow.receive("{\"cmd\": \"events\", \"follow\": true}\n"));
    for (int i = 0; i < 5000; ++i) {
        large.add(0, "x", {{"text", std::string(1000, 'a')}});
        slow.follow_events();
    }
    EXPECT_LT(slow.output().size(), 2 * control_session::most_output);
}

} // namespace
} // namespace rmpopt
