// SPDX-License-Identifier: GPL-2.0-or-later
// The device from the other end of its socket, without QEMU.
#include "hw-model/firmware/firmware.h"
#include "platform/psp/device.h"
#include "platform/psp/mailbox.h"
#include "vfio_user_client.h"

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <gtest/gtest.h>
#include <mutex>
#include <poll.h>
#include <random>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>

namespace rmpopt::psp
{
namespace
{

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr std::uint32_t platform_status = 0x04, shutdown_command = 0x02, df_flush = 0x0a;
constexpr std::uint32_t no_such_command = 0x7f;
constexpr std::uint64_t ram_bytes = 1 << 20;
constexpr std::uint64_t buffer = 0x8000;

std::uint32_t request(std::uint32_t command, bool interrupt)
{
    return command << command_shift | (interrupt ? interrupt_on_completion : 0);
}

/// A temporary directory, a machine with a little RAM, a listening device and a client.
class psp_device_test : public testing::Test
{
  protected:
    void SetUp() override
    {
        std::string pattern = fs::temp_directory_path() / "psp-test-XXXXXX";
        ASSERT_NE(mkdtemp(pattern.data()), nullptr);
        directory_ = pattern;
        socket_ = directory_ / "psp.sock";
    }
    void TearDown() override
    {
        device_.stop();
        fs::remove_all(directory_);
    }

    device::callbacks callbacks()
    {
        return {.run =
                    [this](std::uint16_t command, std::uint64_t address) {
                        return firmware_.execute(command, address).status;
                    },
                .reset = [this] { firmware_.reset(); },
                .log =
                    [this](std::string_view line) {
                        const std::scoped_lock lock(log_lock_);
                        log_.emplace_back(line);
                    }};
    }
    std::vector<std::string> log()
    {
        const std::scoped_lock lock(log_lock_);
        return log_;
    }

    void start() { ASSERT_EQ(device_.start(socket_, callbacks()), ""); }
    void connect()
    {
        ASSERT_TRUE(client_.connect(socket_));
        ASSERT_TRUE(client_.negotiate());
    }
    void start_and_connect()
    {
        start();
        connect();
    }

    static hw::machine::settings machine_settings(std::vector<std::byte> &ram)
    {
        hw::machine::settings s;
        s.cpu = hw::find_cpu_model("venice");
        s.cpus.core_of_thread = {0};
        s.memory = hw::memory_view({{0, ram.size(), ram.data()}});
        return s;
    }

    /// Writes a command as the driver does.
    void submit(std::uint32_t command, bool interrupt, std::uint64_t address = buffer)
    {
        client_.write32(client_.bar2, reg::address_low, static_cast<std::uint32_t>(address));
        client_.write32(client_.bar2, reg::address_high, static_cast<std::uint32_t>(address >> 32));
        client_.write32(client_.bar2, reg::command, request(command, interrupt));
    }
    /// Polls until the response bit is set, like a driver without interrupts.
    std::uint32_t poll_response()
    {
        for (int i = 0; i < 5000; ++i) {
            const std::uint32_t v = client_.read32(client_.bar2, reg::command);
            if ((v & response_bit) != 0) {
                return v;
            }
            std::this_thread::sleep_for(1ms);
        }
        return 0;
    }
    static bool fires(int fd, std::chrono::milliseconds wait = 2000ms)
    {
        pollfd p{.fd = fd, .events = POLLIN, .revents = 0};
        return ::poll(&p, 1, static_cast<int>(wait.count())) == 1;
    }

    fs::path directory_, socket_;
    std::mutex log_lock_;
    std::vector<std::string> log_;
    alignas(8) std::vector<std::byte> ram_ = std::vector<std::byte>(ram_bytes);
    hw::machine machine_{machine_settings(ram_)};
    hw::firmware firmware_{machine_};
    device device_;
    vfio_user_client client_;
};

TEST_F(psp_device_test, is_the_pci_function_that_the_driver_knows)
{
    start_and_connect();
    EXPECT_EQ(client_.read32(client_.config, 0), 0x14ca1022u);
    EXPECT_EQ(client_.read32(client_.config, 8) >> 8, 0x108000u);
    EXPECT_EQ(client_.read32(client_.config, 0x18) & 0xf, 0u) << "BAR 2: 32-bit memory";
    EXPECT_EQ(client_.read32(client_.bar2, reg::capability), 1u);
    EXPECT_EQ(client_.read32(client_.bar2, reg::command), response_bit);
    EXPECT_NE(client_.read32(client_.bar2, reg::bootloader_version), ~0u);
}

TEST_F(psp_device_test, offers_msix_with_two_vectors_in_bar_5)
{
    start_and_connect();
    unsigned at = client_.read32(client_.config, 0x34) & 0xff;
    for (int i = 0; i < 16 && at != 0; ++i) {
        const std::uint32_t header = client_.read32(client_.config, at);
        if ((header & 0xff) == 0x11) {
            EXPECT_EQ(header >> 16 & 0x7ff, 1u);
            EXPECT_EQ(client_.read32(client_.config, at + 4), 5u);
            EXPECT_EQ(client_.read32(client_.config, at + 8), 0x1000u | 5u);
            return;
        }
        at = header >> 8 & 0xff;
    }
    FAIL() << "no MSI-X capability";
}

TEST_F(psp_device_test, runs_a_polled_command)
{
    start_and_connect();
    submit(platform_status, false);
    EXPECT_EQ(poll_response(), response_bit | platform_status << 16);
    EXPECT_EQ(ram_[buffer], std::byte{1}) << "API major";
    EXPECT_EQ(client_.read32(client_.bar2, reg::address_low), buffer);
}

TEST_F(psp_device_test, reports_the_status_of_a_failed_command)
{
    start_and_connect();
    submit(df_flush, false);
    EXPECT_EQ(poll_response(), response_bit | df_flush << 16 | 0x01u);
    submit(no_such_command, false);
    EXPECT_EQ(poll_response(), response_bit | no_such_command << 16 | 0x11u);
}

TEST_F(psp_device_test, shows_the_end_of_a_command_once_run_has_returned)
{
    std::promise<void> running, may_end;
    device::callbacks cb = callbacks();
    cb.run = [&](std::uint16_t, std::uint64_t) {
        running.set_value();
        may_end.get_future().wait();
        return std::uint16_t{0x1a};
    };
    ASSERT_EQ(device_.start(socket_, cb), "");
    connect();
    submit(platform_status, false);
    running.get_future().wait();
    EXPECT_EQ(client_.read32(client_.bar2, reg::command), request(platform_status, false));
    may_end.set_value();
    EXPECT_EQ(poll_response(), response_bit | platform_status << 16 | 0x1au);
    device_.stop(); // before what the callback refers to goes
}

TEST_F(psp_device_test, interrupts_on_completion)
{
    start_and_connect();
    const int fd = eventfd(0, EFD_NONBLOCK);
    ASSERT_TRUE(client_.set_msix(0, fd));
    client_.write32(client_.bar2, reg::interrupt_enable, ~0u);
    submit(platform_status, true);
    EXPECT_TRUE(fires(fd));
    EXPECT_EQ(client_.read32(client_.bar2, reg::command), response_bit | platform_status << 16);
    EXPECT_EQ(client_.read32(client_.bar2, reg::interrupt_status), command_interrupt);
    client_.write32(client_.bar2, reg::interrupt_status, command_interrupt);
    EXPECT_EQ(client_.read32(client_.bar2, reg::interrupt_status), 0u);
    close(fd);
}

TEST_F(psp_device_test, does_not_interrupt_unasked)
{
    start_and_connect();
    const int fd = eventfd(0, EFD_NONBLOCK);
    ASSERT_TRUE(client_.set_msix(0, fd));
    client_.write32(client_.bar2, reg::interrupt_enable, ~0u);
    submit(platform_status, false);
    poll_response();
    client_.write32(client_.bar2, reg::interrupt_enable, 0);
    submit(platform_status, true);
    poll_response();
    EXPECT_FALSE(fires(fd, 50ms));
    close(fd);
}

TEST_F(psp_device_test, survives_an_interrupt_that_nobody_listens_to)
{
    start_and_connect();
    client_.write32(client_.bar2, reg::interrupt_enable, ~0u);
    submit(platform_status, true);
    EXPECT_EQ(poll_response(), response_bit | platform_status << 16);
}

TEST_F(psp_device_test, answers_registers_while_a_command_runs)
{
    start_and_connect();
    std::unique_lock rmp(machine_.rmp_lock()); // holds the command up
    submit(shutdown_command, false);
    EXPECT_EQ(client_.read32(client_.bar2, reg::command), request(shutdown_command, false));
    submit(platform_status, false); // ignored: one command at a time
    EXPECT_EQ(client_.read32(client_.bar2, reg::command), request(shutdown_command, false));
    rmp.unlock();
    EXPECT_EQ(poll_response(), response_bit | shutdown_command << 16);
}

TEST_F(psp_device_test, forgets_a_command_that_was_reset)
{
    start_and_connect();
    std::unique_lock rmp(machine_.rmp_lock());
    submit(df_flush, false);
    EXPECT_TRUE(client_.reset());
    EXPECT_EQ(client_.read32(client_.bar2, reg::command), response_bit);
    rmp.unlock();
    submit(shutdown_command, false);
    EXPECT_EQ(poll_response(), response_bit | shutdown_command << 16);
}

TEST_F(psp_device_test, reset_uninitialises_the_firmware)
{
    start_and_connect();
    submit(0x01, false); // INIT with a zeroed buffer
    EXPECT_EQ(poll_response(), response_bit | 0x01u << 16);
    EXPECT_TRUE(firmware_.snapshot().platform_init);
    client_.write32(client_.bar2, reg::interrupt_enable, ~0u);
    EXPECT_TRUE(client_.reset());
    EXPECT_EQ(client_.read32(client_.bar2, reg::interrupt_enable), 0u);
    submit(df_flush, false);
    EXPECT_EQ(poll_response(), response_bit | df_flush << 16 | 0x01u) << "not initialised";
    EXPECT_FALSE(firmware_.snapshot().platform_init);
}

TEST_F(psp_device_test, registers_are_32_bits_wide)
{
    start_and_connect();
    client_.write32(client_.bar2, reg::address_low, 0x11223344);
    const auto byte = client_.read(client_.bar2, reg::address_low + 1, 1);
    ASSERT_TRUE(byte.ok);
    EXPECT_EQ(byte.body.at(0), std::byte{0x33});
    client_.write(client_.bar2, reg::address_low, bytes_of(std::uint16_t{0xffff}));
    EXPECT_EQ(client_.read32(client_.bar2, reg::address_low), 0x11223344u);
    client_.write(client_.bar2, reg::address_low, bytes_of(std::uint64_t{0x500000006}));
    EXPECT_EQ(client_.read32(client_.bar2, reg::address_low), 6u);
    EXPECT_EQ(client_.read32(client_.bar2, reg::address_high), 5u);
}

TEST_F(psp_device_test, refuses_what_is_outside_its_regions)
{
    start_and_connect();
    EXPECT_EQ(client_.read32(client_.bar2, bar2_bytes - 4), 0u);
    EXPECT_EQ(client_.read32(client_.bar2, bar2_bytes), ~0u);
    EXPECT_EQ(client_.read32(client_.bar2, ~0ull - 1), ~0u);
    EXPECT_EQ(client_.read32(client_.bar5, 0x2000), ~0u);
    EXPECT_EQ(client_.read32(99, 0), ~0u);
    EXPECT_EQ(client_.read32(client_.bar2, reg::capability), 1u) << "still there";
}

TEST_F(psp_device_test, takes_dma_maps_that_it_does_not_need)
{
    start_and_connect();
    const auto map = bytes_of(std::uint32_t{32}, std::uint32_t{3}, std::uint64_t{0},
                              std::uint64_t{0x100000}, std::uint64_t{0x1000});
    EXPECT_TRUE(client_.call(client_.dma_map, map).ok) << "without a file";
    const int fd = eventfd(0, 0);
    EXPECT_TRUE(client_.call(client_.dma_map, map, fd).ok) << "with one that cannot be mapped";
    close(fd);
    EXPECT_TRUE(client_.call(client_.dma_unmap, map).ok);
    EXPECT_EQ(client_.read32(client_.bar2, reg::capability), 1u);
}

TEST_F(psp_device_test, survives_requests_of_nonsense)
{
    start_and_connect();
    EXPECT_FALSE(client_.call(77, bytes_of(0ull)).ok) << "no such request";
    EXPECT_FALSE(client_.call(client_.region_read, bytes_of(0u)).ok) << "too short";
    EXPECT_FALSE(client_.call(client_.set_irqs, bytes_of(20u, 0x24u, 2u, 1u, 9u)).ok)
        << "more vectors than there are";
    EXPECT_FALSE(client_.call(client_.get_region_info, bytes_of(0u)).ok);
    EXPECT_EQ(client_.read32(client_.bar2, reg::capability), 1u);
}

TEST_F(psp_device_test, survives_a_truncated_message_and_takes_the_next_client)
{
    start_and_connect();
    ASSERT_TRUE(client_.send_raw(bytes_of(std::uint16_t{1}, std::uint16_t{9}, 100u)));
    client_.hang_up();
    connect();
    EXPECT_EQ(client_.read32(client_.bar2, reg::capability), 1u);
}

TEST_F(psp_device_test, survives_random_bytes)
{
    start_and_connect();
    std::mt19937 random(1); // NOLINT: the same bytes every time
    for (int round = 0; round < 50; ++round) {
        std::vector<std::byte> noise(1 + random() % 200);
        for (auto &b : noise) {
            b = static_cast<std::byte>(random());
        }
        client_.send_raw(noise);
        client_.hang_up();
        ASSERT_TRUE(client_.connect(socket_));
        ASSERT_TRUE(client_.negotiate());
    }
    EXPECT_EQ(client_.read32(client_.bar2, reg::capability), 1u);
}

TEST_F(psp_device_test, refuses_a_client_of_another_version)
{
    start();
    ASSERT_TRUE(client_.connect(socket_));
    EXPECT_FALSE(client_.call(client_.version, bytes_of(std::uint16_t{7}, std::uint16_t{0})).ok);
    client_.hang_up();
    connect();
}

TEST_F(psp_device_test, a_lost_client_resets_the_device)
{
    start_and_connect();
    client_.write32(client_.bar2, reg::interrupt_enable, 2);
    client_.hang_up();
    connect();
    EXPECT_EQ(client_.read32(client_.bar2, reg::interrupt_enable), 0u);
}

TEST_F(psp_device_test, stops_while_a_client_says_nothing)
{
    start();
    ASSERT_TRUE(client_.connect(socket_));
    std::this_thread::sleep_for(50ms); // until the server waits for the version
    const auto before = std::chrono::steady_clock::now();
    device_.stop();
    EXPECT_LT(std::chrono::steady_clock::now() - before, 3s);
    EXPECT_FALSE(fs::exists(socket_));
}

TEST_F(psp_device_test, stops_with_requests_on_the_way)
{
    start_and_connect();
    const int fd = eventfd(0, EFD_NONBLOCK);
    ASSERT_TRUE(client_.set_msix(0, fd));
    client_.write32(client_.bar2, reg::interrupt_enable, ~0u);
    submit(platform_status, true);
    device_.stop();
    device_.stop();
    EXPECT_FALSE(fs::exists(socket_));
    close(fd);
}

TEST_F(psp_device_test, replaces_a_socket_that_nobody_listens_on)
{
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un addr{};
    addr.sun_family = AF_UNIX;
    socket_.string().copy(addr.sun_path, sizeof addr.sun_path - 1);
    ASSERT_EQ(bind(fd, reinterpret_cast<const sockaddr *>(&addr), sizeof addr), 0);
    close(fd);
    ASSERT_TRUE(fs::exists(socket_));
    start_and_connect();
    EXPECT_EQ(client_.read32(client_.bar2, reg::capability), 1u);
}

TEST_F(psp_device_test, leaves_a_live_socket_alone)
{
    start_and_connect();
    device second;
    EXPECT_NE(second.start(socket_, callbacks()).find("another process listens"),
              std::string::npos);
    EXPECT_EQ(client_.read32(client_.bar2, reg::capability), 1u);
    second.stop();
    EXPECT_TRUE(fs::exists(socket_));
}

TEST_F(psp_device_test, says_what_is_wrong_with_a_path)
{
    EXPECT_NE(device_.start("", callbacks()).find("empty"), std::string::npos);
    EXPECT_NE(device_.start(directory_ / std::string(200, 'x'), callbacks()).find("shorter"),
              std::string::npos);
    EXPECT_NE(
        device_.start(directory_ / "none" / "s", callbacks()).find("directory does not exist"),
        std::string::npos);
    std::ofstream(directory_ / "file") << "text";
    EXPECT_NE(device_.start(directory_ / "file", callbacks()).find("no socket"), std::string::npos);
    EXPECT_TRUE(fs::exists(directory_ / "file"));
    EXPECT_NE(
        device_.start(directory_ / "file" / "s", callbacks()).find("directory does not exist"),
        std::string::npos);
}

TEST_F(psp_device_test, can_be_used_without_being_started)
{
    device_.stop();
}

} // namespace
} // namespace rmpopt::psp
