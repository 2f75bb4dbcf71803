// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/control_server.h"
#include "scratch.h"

#include <cstring>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace rmpopt
{
namespace
{

using nlohmann::json;

class client
{
  public:
    explicit client(const std::string &path)
    {
        sockaddr_un addr{};
        addr.sun_family = AF_UNIX;
        path.copy(addr.sun_path, sizeof addr.sun_path - 1);
        fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        connected = connect(fd_, reinterpret_cast<const sockaddr *>(&addr), sizeof addr) == 0;
        const timeval patience{5, 0};
        setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    }
    ~client() { close(fd_); }
    client(const client &) = delete;
    client &operator=(const client &) = delete;

    void send_text(const std::string &text) const
    {
        EXPECT_EQ(send(fd_, text.data(), text.size(), MSG_NOSIGNAL),
                  static_cast<ssize_t>(text.size()));
    }
    /// A line, or "" when the server has closed.
    std::string line() const
    {
        std::string out;
        for (char c = 0; recv(fd_, &c, 1, 0) == 1;) {
            if (c == '\n') {
                return out;
            }
            out += c;
        }
        return "";
    }
    json ask(const std::string &request) const
    {
        send_text(request + "\n");
        return json::parse(line(), nullptr, false);
    }

    bool connected = false;

  private:
    int fd_;
};

class control_server_test : public testing::Test
{
  protected:
    void SetUp() override { ASSERT_EQ(start(), ""); }
    void TearDown() override { server.stop(); }
    std::string start()
    {
        return server.start(
            path,
            [](const json &r) -> nlohmann::ordered_json {
                return {{"echo", r["cmd"]}};
            },
            events);
    }

    const std::string path = scratch_path("control-test.sock");
    event_log events;
    control_server server;
};

TEST_F(control_server_test, ServesSeveralClients)
{
    const client a(path), b(path);
    EXPECT_EQ(b.ask(R"({"cmd": "b"})")["result"]["echo"], "b");
    EXPECT_EQ(a.ask(R"({"cmd": "a"})")["result"]["echo"], "a");
}

TEST_F(control_server_test, IsForTheUserOnly)
{
    struct stat st {
    };
    ASSERT_EQ(stat(path.c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 0777, 0600u);
}

TEST_F(control_server_test, RefusesOneClientTooMany)
{
    std::vector<std::unique_ptr<client>> many;
    for (std::size_t i = 0; i < control_server::most_clients; ++i) {
        many.push_back(std::make_unique<client>(path));
        EXPECT_EQ(many.back()->ask(R"({"cmd": "a"})")["ok"], true);
    }
    EXPECT_NE(client(path).line().find("16 clients"), std::string::npos);
    many.pop_back();
    bool served = false;
    for (int i = 0; !served && i < 100; ++i) {
        const client next(path);
        next.send_text("{\"cmd\": \"a\"}\n");
        served = next.line().find("echo") != std::string::npos;
    }
    EXPECT_TRUE(served);
}

TEST_F(control_server_test, AHostileClientIsClosedAndOthersAreServed)
{
    const client good(path);
    const client bad(path);
    const std::string much(1u << 16, 'x');
    (void)bad;
    bad.send_text(much + "x");
    EXPECT_NE(bad.line().find("65536"), std::string::npos);
    EXPECT_EQ(bad.line(), "");
    EXPECT_EQ(good.ask(R"({"cmd": "a"})")["ok"], true);
}

TEST_F(control_server_test, AFollowerThatNeverReadsStopsNobody)
{
    const client slow(path), good(path);
    slow.send_text("{\"cmd\": \"events\", \"follow\": true}\n");
    for (int i = 0; i < 20'000; ++i) {
        events.add(0, "x", {{"text", std::string(500, 'a')}});
    }
    EXPECT_EQ(good.ask(R"({"cmd": "a"})")["ok"], true);
}

TEST_F(control_server_test, FollowersGetWhatComes)
{
    const client follower(path);
    EXPECT_EQ(follower.ask(R"({"cmd": "events", "follow": true})")["ok"], true);
    events.add(0, "mark", {{"name", "x"}});
    EXPECT_EQ(json::parse(follower.line())["event"]["name"], "x");
}

TEST_F(control_server_test, ThousandsMayComeAndGo)
{
    for (int i = 0; i < 2000; ++i) {
        const client brief(path);
    }
    bool served = false;
    for (int i = 0; !served && i < 100; ++i) {
        const client c(path);
        c.send_text("{\"cmd\": \"a\"}\n");
        served = c.line().find("echo") != std::string::npos;
    }
    EXPECT_TRUE(served);
}

TEST_F(control_server_test, StoppedItLeavesNoSocket)
{
    server.stop();
    EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(ControlServer, SaysWhyItCannotListen)
{
    const event_log events;
    control_server server;
    const auto start = [&](const std::string &path) { return server.start(path, {}, events); };
    EXPECT_NE(start("/nonexistent/x.sock").find("control=/nonexistent/x.sock: the directory"),
              std::string::npos);
    EXPECT_NE(start(std::string("/tmp/").append(200, 'x')).find("longer than"), std::string::npos);
    const std::string file = scratch_path("control-test.file");
    std::ofstream(file) << "x";
    EXPECT_NE(start(file).find("is no socket"), std::string::npos);
    std::filesystem::remove(file);
}

TEST_F(control_server_test, ASocketInUseIsNotTaken)
{
    control_server second;
    EXPECT_NE(second.start(path, {}, events).find("another process listens"), std::string::npos);
}

} // namespace
} // namespace rmpopt
