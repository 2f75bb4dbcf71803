// SPDX-License-Identifier: GPL-2.0-or-later
// The secure processor's device over a fake of QEMU, with the model of its firmware behind it.
#include "fake_qemu.h"
#include "hw-model/firmware/firmware.h"
#include "platform/psp/device.h"
#include "platform/psp/mailbox.h"
#include "qemu/register_access.h"

#include <gtest/gtest.h>
#include <random>
#include <vector>

namespace rmpopt::psp
{
namespace
{

using fake::qemu;

constexpr std::uint32_t init = 0x01, shutdown_command = 0x02, platform_status = 0x04,
                        df_flush = 0x0a, no_such_command = 0x7f;
constexpr std::uint64_t ram_bytes = 1 << 20;
constexpr std::uint64_t buffer = 0x8000;
constexpr std::uint32_t not_initialised = 0x01, invalid_command = 0x11;

std::uint32_t request(std::uint32_t command, bool interrupt)
{
    return command << command_shift | (interrupt ? interrupt_on_completion : 0);
}

/// A machine with a little RAM and the device.
class psp_device_test : public testing::Test
{
  protected:
    void SetUp() override
    {
        qemu = {};
        offer("none");
    }

    void offer(const char *takes)
    {
        latency l;
        ASSERT_EQ(latency::parse(takes, l), "");
        device_.offer({.announce = [this](std::uint16_t command) { announced_.push_back(command); },
                       .run =
                           [this](std::uint16_t command, std::uint64_t address) {
                               ++runs_;
                               return firmware_.execute(command, address).status;
                           },
                       .reset = [this] { firmware_.reset(); }},
                      l);
    }

    static hw::machine::settings machine_settings(std::vector<std::byte> &ram)
    {
        hw::machine::settings s;
        s.cpu = hw::find_cpu_model("venice");
        s.cpus.core_of_thread = {0};
        s.memory = hw::memory_view({{0, ram.size(), ram.data()}});
        return s;
    }

    static std::uint32_t read(std::uint32_t offset)
    {
        return qemu.function.read(qemu.function.self, offset);
    }
    static void write(std::uint32_t offset, std::uint32_t value)
    {
        qemu.function.write(qemu.function.self, offset, value);
    }
    static void reset() { qemu.function.reset(qemu.function.self); }
    /// Writes a command as the driver does.
    static void submit(std::uint32_t command, bool interrupt, std::uint64_t address = buffer)
    {
        write(reg::address_low, static_cast<std::uint32_t>(address));
        write(reg::address_high, static_cast<std::uint32_t>(address >> 32));
        write(reg::command, request(command, interrupt));
    }
    /// The response to a command that runs to its end.
    static std::uint32_t response(std::uint32_t command, bool interrupt = false)
    {
        submit(command, interrupt);
        fake::run_queued();
        return read(reg::command);
    }

    alignas(8) std::vector<std::byte> ram_ = std::vector<std::byte>(ram_bytes);
    hw::machine machine_{machine_settings(ram_)};
    hw::firmware firmware_{machine_};
    device device_;
    std::vector<std::uint16_t> announced_;
    unsigned runs_ = 0;
};

TEST_F(psp_device_test, is_the_pci_function_that_the_driver_knows)
{
    EXPECT_STREQ(qemu.function.name, "rmpopt-psp");
    EXPECT_EQ(qemu.function.vendor, 0x1022);
    EXPECT_EQ(qemu.function.device, 0x14ca);
    EXPECT_EQ(qemu.function.class_code, 0x1080);
    EXPECT_EQ(qemu.function.register_bar, 2);
    EXPECT_EQ(qemu.function.register_bytes, bar2_bytes);
    EXPECT_EQ(qemu.function.msix_bar, 5);
    EXPECT_EQ(qemu.function.msix_vectors, 2);
    EXPECT_EQ(read(reg::capability), 1u);
    EXPECT_EQ(read(reg::command), response_bit);
    EXPECT_NE(read(reg::bootloader_version), ~0u);
}

TEST_F(psp_device_test, runs_a_polled_command)
{
    EXPECT_EQ(response(platform_status), response_bit | platform_status << 16);
    EXPECT_EQ(ram_[buffer], std::byte{1}) << "API major";
    EXPECT_EQ(read(reg::address_low), buffer);
    EXPECT_EQ(announced_, std::vector<std::uint16_t>{platform_status});
}

TEST_F(psp_device_test, reports_the_status_of_a_failed_command)
{
    EXPECT_EQ(response(df_flush), response_bit | df_flush << 16 | not_initialised);
    EXPECT_EQ(response(no_such_command), response_bit | no_such_command << 16 | invalid_command);
}

TEST_F(psp_device_test, neither_effect_nor_answer_shows_before_vcpus_have_stopped)
{
    write(reg::interrupt_enable, ~0u);
    submit(platform_status, true);
    EXPECT_EQ(ram_[buffer], std::byte{0});
    EXPECT_EQ(read(reg::command), request(platform_status, true));
    EXPECT_EQ(announced_.size(), 1u) << "before it runs";
    fake::run_next_queued();
    EXPECT_EQ(ram_[buffer], std::byte{1});
    EXPECT_EQ(read(reg::command), request(platform_status, true)) << "the answer comes last";
    EXPECT_EQ(qemu.interrupts, 0u);
    fake::run_queued();
    EXPECT_EQ(read(reg::command), response_bit | platform_status << 16);
    EXPECT_EQ(qemu.interrupts, 1u);
}

TEST_F(psp_device_test, a_command_takes_its_time)
{
    offer("20us");
    write(reg::interrupt_enable, ~0u);
    EXPECT_EQ(response(platform_status, true), request(platform_status, true));
    EXPECT_EQ(ram_[buffer], std::byte{1}) << "the effects come first";
    EXPECT_EQ(qemu.timer_delay, 20'000u);
    EXPECT_EQ(qemu.interrupts, 0u);
    qemu.timer();
    EXPECT_EQ(read(reg::command), response_bit | platform_status << 16);
    EXPECT_EQ(qemu.interrupts, 1u);
}

TEST_F(psp_device_test, a_reset_while_a_command_takes_its_time_drops_the_answer)
{
    offer("20us");
    write(reg::interrupt_enable, ~0u);
    response(df_flush, true);
    reset();
    EXPECT_EQ(response(platform_status), request(platform_status, false));
    qemu.timer();
    EXPECT_EQ(read(reg::command), response_bit | platform_status << 16);
    EXPECT_EQ(qemu.interrupts, 0u);
}

TEST_F(psp_device_test, interrupts_on_completion)
{
    write(reg::interrupt_enable, ~0u);
    EXPECT_EQ(response(platform_status, true), response_bit | platform_status << 16);
    EXPECT_EQ(qemu.interrupts, 1u);
    EXPECT_EQ(read(reg::interrupt_status), command_interrupt);
    write(reg::interrupt_status, command_interrupt);
    EXPECT_EQ(read(reg::interrupt_status), 0u);
}

TEST_F(psp_device_test, does_not_interrupt_unasked)
{
    write(reg::interrupt_enable, ~0u);
    response(platform_status, false);
    write(reg::interrupt_enable, 0);
    response(platform_status, true);
    EXPECT_EQ(qemu.interrupts, 0u);
}

TEST_F(psp_device_test, takes_one_command_at_a_time)
{
    submit(shutdown_command, false);
    submit(platform_status, false);
    EXPECT_EQ(read(reg::command), request(shutdown_command, false));
    fake::run_queued();
    EXPECT_EQ(read(reg::command), response_bit | shutdown_command << 16);
    EXPECT_EQ(runs_, 1u);
}

TEST_F(psp_device_test, forgets_a_command_that_was_reset_before_it_ran)
{
    submit(df_flush, false);
    reset();
    EXPECT_EQ(read(reg::command), response_bit);
    fake::run_queued();
    EXPECT_EQ(runs_, 0u);
    EXPECT_EQ(read(reg::command), response_bit);
}

TEST_F(psp_device_test, a_command_after_a_reset_does_not_get_the_answer_of_the_one_before)
{
    submit(df_flush, false);
    fake::run_next_queued(); // it has run, and its answer is still to come
    reset();
    submit(platform_status, false);
    fake::run_next_queued();
    EXPECT_EQ(read(reg::command), request(platform_status, false)) << "the old answer is dropped";
    fake::run_queued();
    EXPECT_EQ(read(reg::command), response_bit | platform_status << 16);
}

TEST_F(psp_device_test, reset_uninitialises_the_firmware)
{
    EXPECT_EQ(response(init), response_bit | init << 16) << "with a zeroed buffer";
    EXPECT_TRUE(firmware_.snapshot().platform_init);
    write(reg::interrupt_enable, ~0u);
    reset();
    EXPECT_EQ(read(reg::interrupt_enable), 0u);
    EXPECT_EQ(response(df_flush), response_bit | df_flush << 16 | not_initialised);
    EXPECT_FALSE(firmware_.snapshot().platform_init);
}

TEST_F(psp_device_test, survives_random_accesses)
{
    std::mt19937 random(1); // NOLINT: the same accesses every time
    static constexpr std::array offsets{
        reg::interrupt_enable, reg::interrupt_status, reg::command, reg::address_low,
        reg::address_high,     reg::capability,       0x10984u,     0u,
        bar2_bytes - 4};
    unsigned answered = 0;
    for (int i = 0; i < 20000; ++i) {
        const std::uint32_t offset = offsets.at(random() % offsets.size());
        switch (random() % 8) {
        case 0:
            reset();
            break;
        case 1:
            fake::run_next_queued();
            break;
        case 2:
        case 3:
            read(offset);
            break;
        default:
            write(offset, random() % 2 == 0 ? random() : random() % 0x40 << command_shift);
        }
        answered += static_cast<unsigned>((read(reg::command) & response_bit) != 0);
    }
    EXPECT_GT(answered, 100u);
    EXPECT_GT(runs_, 100u);
    reset();
    fake::run_queued();
    EXPECT_EQ(response(platform_status), response_bit | platform_status << 16) << "still there";
}

/// Registers that hold the bytes 0, 1, 2, ...
std::uint32_t counting(std::uint32_t reg)
{
    return 0x03020100u + reg * 0x01010101u;
}

TEST(register_access, a_read_returns_the_bytes_that_it_covers)
{
    EXPECT_EQ(read_registers(8, 4, counting), 0x0b0a0908u);
    EXPECT_EQ(read_registers(9, 1, counting), 0x09u);
    EXPECT_EQ(read_registers(10, 2, counting), 0x0b0au);
    EXPECT_EQ(read_registers(10, 4, counting), 0x0d0c0b0au);
    EXPECT_EQ(read_registers(8, 8, counting), 0x0f0e0d0c0b0a0908u);
}

TEST(register_access, a_write_counts_where_it_fills_a_register)
{
    using writes = std::vector<std::pair<std::uint32_t, std::uint32_t>>;
    const auto done = [](std::uint64_t offset, unsigned bytes, std::uint64_t value) {
        writes w;
        write_registers(offset, bytes, value,
                        [&](std::uint32_t reg, std::uint32_t v) { w.emplace_back(reg, v); });
        return w;
    };
    EXPECT_EQ(done(8, 4, 0x11223344), (writes{{8, 0x11223344}}));
    EXPECT_EQ(done(8, 8, 0x5566778811223344), (writes{{8, 0x11223344}, {12, 0x55667788}}));
    EXPECT_EQ(done(8, 2, 0xffff), writes{});
    EXPECT_EQ(done(9, 4, 0x11223344), writes{});
    EXPECT_EQ(done(10, 8, 0x5566778811223344), (writes{{12, 0x77881122}}));
}

} // namespace
} // namespace rmpopt::psp
