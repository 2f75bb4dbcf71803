// SPDX-License-Identifier: GPL-2.0-or-later
#include "report/event_log.h"
#include "scratch.h"

#include <cstdio>
#include <fstream>
#include <gtest/gtest.h>
#include <thread>

namespace rmpopt
{
namespace
{

using nlohmann::json;

class scratch_file
{
  public:
    scratch_file() : path_(scratch_path("event-log-test.jsonl")) {}
    ~scratch_file() { std::remove(path_.c_str()); }
    const std::string &path() const { return path_; }
    std::vector<std::string> lines() const
    {
        std::ifstream in(path_);
        std::vector<std::string> out;
        for (std::string line; std::getline(in, line);) {
            out.push_back(line);
        }
        return out;
    }

  private:
    std::string path_;
};

TEST(EventLog, LinesHaveNumberTimeAndType)
{
    event_log log;
    log.add(1'500'000'000, "mark", {{"name", "boot"}});
    log.add(1'600'000'000, "end", json::object());
    const auto r = log.read(0, 10);
    ASSERT_EQ(r.lines.size(), 2u);
    EXPECT_EQ(r.lines[0], "{\"seq\":1,\"t\":1.5,\"type\":\"mark\",\"name\":\"boot\"}\n");
    EXPECT_EQ(json::parse(r.lines[1])["seq"], 2);
    EXPECT_EQ(r.next, 3u);
    EXPECT_EQ(r.lost, 0u);
}

TEST(EventLog, ReadsFromANumberOnAndNoMoreThanAsked)
{
    event_log log;
    for (int i = 0; i < 5; ++i) {
        log.add(0, "x", json::object());
    }
    const auto some = log.read(2, 2);
    EXPECT_EQ(some.lines.size(), 2u);
    EXPECT_EQ(some.next, 4u);
    EXPECT_EQ(log.read(some.next, 10).lines.size(), 2u);
    EXPECT_TRUE(log.read(6, 10).lines.empty());
    EXPECT_EQ(log.read(100, 10).next, 6u) << "a number from the future";
}

TEST(EventLog, ForgetsTheOldestWithinItsBoundAndSaysHowMany)
{
    event_log log(200);
    for (int i = 0; i < 100; ++i) {
        log.add(0, "x", json::object());
    }
    const auto r = log.read(1, 1000);
    EXPECT_LT(r.lines.size(), 10u);
    EXPECT_EQ(r.lost + r.lines.size(), 100u);
    EXPECT_EQ(json::parse(r.lines.back())["seq"], 100);
}

TEST(EventLog, ALineLargerThanTheBoundIsKeptAlone)
{
    event_log log(10);
    log.add(0, "x", {{"name", std::string(1000, 'a')}});
    EXPECT_EQ(log.read(1, 10).lines.size(), 1u);
}

TEST(EventLog, WhatIsNoUtf8IsReplaced)
{
    event_log log;
    log.add(0, "mark", {{"name", "\xff\xfe"}});
    EXPECT_TRUE(json::accept(log.read(1, 1).lines.at(0)));
}

TEST(EventLog, TheFileHasEachLineOnce)
{
    const scratch_file file;
    event_log log;
    ASSERT_EQ(log.open_file(file.path()), "");
    log.add(0, "a", json::object());
    EXPECT_TRUE(log.write_file());
    EXPECT_TRUE(log.write_file());
    EXPECT_EQ(file.lines().size(), 1u);
    for (int i = 0; i < 2500; ++i) {
        log.add(0, "b", json::object());
    }
    EXPECT_TRUE(log.write_file());
    EXPECT_EQ(file.lines().size(), 2501u);
}

TEST(EventLog, SaysWhyAFileCannotBeWritten)
{
    event_log log;
    EXPECT_NE(log.open_file("/nonexistent/events").find("option events: cannot write"),
              std::string::npos);
}

TEST(EventLog, AFullDiskEndsTheFileOnly)
{
    event_log log;
    ASSERT_EQ(log.open_file("/dev/full"), "");
    log.add(0, "a", json::object());
    EXPECT_FALSE(log.write_file());
    log.add(0, "b", json::object());
    EXPECT_TRUE(log.write_file()) << "said once";
    EXPECT_EQ(log.read(1, 10).lines.size(), 2u);
}

TEST(EventLog, WritersAndReadersAtOnce)
{
    event_log log(10000);
    std::vector<std::thread> writers;
    for (int t = 0; t < 4; ++t) {
        writers.emplace_back([&log] {
            for (int i = 0; i < 1000; ++i) {
                log.add(0, "x", json::object());
            }
        });
    }
    std::uint64_t next = 1, seen = 0;
    while (next <= 4000) {
        const auto r = log.read(next, 100);
        seen += r.lost + r.lines.size();
        next = r.next;
    }
    for (std::thread &t : writers) {
        t.join();
    }
    EXPECT_EQ(seen, 4000u);
}

} // namespace
} // namespace rmpopt
