// SPDX-License-Identifier: GPL-2.0-or-later
// What is done around QEMU's VMRUN and #VMEXIT for guests with encrypted memory. QEMU is a fake,
// which saves at #VMEXIT what QEMU saves.
#include "enforce/enforcement.h"
#include "fake_listener.h"
#include "fake_qemu.h"
#include "hw-model/base/x86_bits.h"
#include "hw-model/guest/vmexit.h"
#include "insn/dispatch.h"
#include "machine_fixture.h"
#include "sev/encrypted_guest.h"
#include "sev/guest_counts.h"

#include <gtest/gtest.h>

namespace rmpopt
{
namespace
{

using fake::qemu;

class encrypted_guest_test : public hw::machine_fixture
{
  protected:
    static constexpr hw::spa_t vmcb = low_2m, vmsa = low_2m + 0x1000, hsave = low_2m + 0x2000,
                               nested = low_2m + 0x4000, code = low_2m + 0x10000;
    static constexpr hw::spa_t saved = vmcb + 0x400;
    enum kind : std::uint64_t { sev = 1u << 1, sev_es = 3u << 1 };

    void SetUp() override
    {
        machine_fixture::SetUp();
        qemu = {};
        qemu.ram = low_ram_.data();
        qemu.ram_bytes = low.bytes;
        qemu.reg[rax] = vmcb;
        qemu.paging = {.cr0 = cr0_pe | cr0_pg, .cr3 = 0, .cr4 = cr4_pae, .rflags = 2};
        start_emulation(
            {.machine = m.get(),
             .heard = &listening,
             .rmpupdate_failure = {},
             .enter_operating_system = [this](std::uint32_t, std::uint32_t) { ++systems_entered; },
             .set_measure = {},
             .end_run = {}});
        ASSERT_EQ(
            install_checks(
                {.level = enforcement::on, .machine = m.get(), .ram = &ram, .heard = &listening},
                [](translation_rules &r) {
                    add_encrypted_guest_rules(r);
                    rules = r;
                },
                {}, 0),
            "");
        forget_encrypted_guests();
        enable_snp();
        write_msr(0, hw::msr::vm_hsave_pa, hsave);
        store(vmcb + 0x58, 5); // ASID
        store(vmcb + 0xb0, nested);
        store(vmcb + 0x108, vmsa);
        store(vmsa + 0x3e8, 7); // XCR0
    }
    void TearDown() override { forget_encrypted_guests(); }

    void store(hw::spa_t spa, std::uint64_t value) const { m->memory().store(spa, value); }
    std::uint64_t load(hw::spa_t spa) const { return *m->memory().load<std::uint64_t>(spa); }

    /// True when QEMU need not execute it.
    bool execute(std::initializer_list<std::uint8_t> insn)
    {
        const std::vector<std::uint8_t> bytes(insn);
        last_fault.reset();
        last_exit.reset();
        try {
            const emulation_callback emulation = find_emulation(bytes);
            emulation.function(0, emulation.data);
            return false;
        } catch (const fake::raised &fault) {
            last_fault = fault;
        } catch (const fake::left &exit) {
            last_exit = exit;
        } catch (const fake::continued &) {
        } catch (const fake::entered &) {
        }
        return true;
    }
    void run(kind guest)
    {
        store(vmcb + 0x90, guest | 1);
        qemu.reg[rax] = vmcb;
        execute({0x0f, 0x01, 0xd8});
        qemu.vmcb = vmcb;
    }
    /// QEMU comes to deliver a #VMEXIT.
    bool leave(std::uint64_t exit_code, std::uint64_t info1 = 0)
    {
        store(vmcb + 0x70, exit_code);
        store(vmcb + 0x78, info1);
        return rules.leaves(vcpu::current());
    }
    void become_snp()
    {
        store(vmsa + 0x3b0, 1);
        hw::rmp_entry e;
        e.assigned = e.validated = e.vmsa = true;
        e.asid = 5;
        m->rmp().store(vmsa, e);
    }
    /// Maps the first 2 MB of the guest by nested tables to where its code is.
    void map_code(std::initializer_list<std::uint8_t> bytes)
    {
        store(nested, (nested + 0x1000) | 7);
        store(nested + 0x1000, (nested + 0x2000) | 7);
        store(nested + 0x2000, low_2m | 0x87);
        qemu.paging.cr0 = cr0_pe;
        qemu.rip = code - low_2m;
        m->memory().write(code, std::data(bytes), bytes.size());
    }

    static inline translation_rules rules;
    guest_ram ram;
    fake_listener listening;
    unsigned systems_entered = 0;
    std::optional<fake::raised> last_fault;
    std::optional<fake::left> last_exit;
};

} // namespace

TEST_F(encrypted_guest_test, vmrun_takes_registers_from_the_vmsa)
{
    for (unsigned r = 0; r < 16; ++r) {
        store(vmsa + hw::general_register(r), 0x1000 + r);
    }
    store(vmsa + 0x178, 0x5678); // RIP
    store(vmsa + 0x150, 0x9000 | hw::c_bit);
    store(vmsa + 0x470, 0x1234); // XMM0
    store(vmsa + 0x2e8, 0x55);   // PKRU
    run(sev_es);
    EXPECT_TRUE(qemu.in_guest);
    EXPECT_EQ(qemu.reg[rax], vmcb) << "for QEMU's VMRUN";
    EXPECT_EQ(qemu.reg[rcx], 0x1001u);
    EXPECT_EQ(qemu.reg[15], 0x100fu);
    EXPECT_EQ(load(saved + 0x1f8), 0x1000u);
    EXPECT_EQ(load(saved + 0x178), 0x5678u);
    EXPECT_EQ(load(saved + 0x150), 0x9000u) << "QEMU's CR3 has no C-bit";
    EXPECT_EQ(qemu.loaded, std::vector{vmcb});
    EXPECT_EQ(qemu.xcr0, 7u);
    EXPECT_EQ(std::to_integer<unsigned>(qemu.vectors[160]), 0x34u);
    EXPECT_EQ(std::to_integer<unsigned>(qemu.vectors[fake::pkru_offset]), 0x55u);
    EXPECT_TRUE(rules.translates(vcpu::current()));
}

TEST_F(encrypted_guest_test, vmrun_says_whether_it_is_an_snp_guest)
{
    run(sev_es);
    EXPECT_EQ(listening.last_guest, hw::initiator::nonsnp_guest);
    leave(hw::exit_code::interrupt);
    become_snp();
    run(sev_es);
    EXPECT_EQ(listening.last_guest, hw::initiator::snp_guest);
}

TEST_F(encrypted_guest_test, vmrun_fails_without_what_it_needs)
{
    const auto fails = [&](std::uint64_t control) {
        store(vmcb + 0x90, control | 1);
        qemu.in_guest = false;
        execute({0x0f, 0x01, 0xd8});
        return !qemu.in_guest && load(vmcb + 0x70) == ~std::uint64_t{0};
    };
    EXPECT_TRUE(fails(1u << 2)) << "SEV-ES without SEV";
    store(vmsa + 0x3e8, 6);
    EXPECT_TRUE(fails(sev_es)) << "XCR0 without x87";
    store(vmsa + 0x3e8, 7);
    m->memory().store(vmsa + 0xca, std::uint8_t{4});
    EXPECT_TRUE(fails(sev_es)) << "VMPL 4";
    m->memory().store(vmsa + 0xca, std::uint8_t{0});
    store(vmcb + 0x108, hole);
    EXPECT_TRUE(fails(sev_es)) << "a VMSA outside RAM";
    store(vmcb + 0x108, vmsa);
    store(vmcb + 0x58, 0);
    EXPECT_TRUE(fails(sev)) << "ASID 0";
    store(vmcb + 0x58, 5);
    EXPECT_FALSE(fails(sev_es));
    store(vmsa + 0x3b0, 1);
    EXPECT_TRUE(fails(sev_es)) << "an SNP guest whose VMSA is not its own in the RMP";
}

TEST_F(encrypted_guest_test, a_vmexit_saves_all_registers_and_gives_the_host_its_own)
{
    store(saved + 0x178, 0xaaaa); // what the host has there
    store(vmsa + 0x150, hw::c_bit);
    store(hsave + 0x400 + 0x318, 0xb0b0); // RBX
    store(hsave + 0x400 + 0x3e8, 1);      // XCR0
    store(hsave + 0x400 + 0x2e8, 0x44);   // PKRU
    run(sev_es);
    for (unsigned r = 0; r < 16; ++r) {
        qemu.reg[r] = 0x2000 + r;
    }
    qemu.rip = 0x7777;
    qemu.paging.cr3 = 0x5000;
    qemu.paging.rflags = rflags_if | 2;
    qemu.xcr0 = 3;
    qemu.vectors[160] = std::byte{0x99};
    qemu.vectors[fake::pkru_offset] = std::byte{0x88};
    EXPECT_TRUE(leave(hw::exit_code::interrupt));
    EXPECT_FALSE(qemu.in_guest);
    EXPECT_EQ(qemu.delivered, std::vector{-1});
    EXPECT_EQ(qemu.saved, std::vector{vmcb});
    for (unsigned r = 0; r < 16; ++r) {
        EXPECT_EQ(load(vmsa + hw::general_register(r)), 0x2000 + r);
    }
    EXPECT_EQ(load(vmsa + 0x178), 0x7777u);
    EXPECT_EQ(load(vmsa + 0x150), 0x5000 | hw::c_bit);
    EXPECT_EQ(load(vmsa + 0x3e8), 3u);
    EXPECT_EQ(load(vmsa + 0x470) & 0xff, 0x99u);
    EXPECT_EQ(load(vmsa + 0x2e8) & 0xff, 0x88u);
    EXPECT_EQ(load(vmcb + 0x68) & 3, 2u) << "the guest's interrupts are on";
    EXPECT_EQ(load(saved + 0x178), 0xaaaau) << "nothing of the guest stays in the VMCB";
    EXPECT_EQ(qemu.loaded.back(), hsave);
    EXPECT_EQ(qemu.reg[rbx], 0xb0b0u);
    EXPECT_EQ(qemu.reg[rcx], 0u);
    EXPECT_EQ(qemu.xcr0, 1u);
    EXPECT_EQ(qemu.vectors[160], std::byte{0});
    EXPECT_EQ(qemu.vectors[fake::pkru_offset], std::byte{0x44});
    EXPECT_FALSE(rules.translates(vcpu::current()));
}

TEST_F(encrypted_guest_test, exits_that_the_host_must_not_see_become_vc)
{
    run(sev_es);
    EXPECT_FALSE(rules.leaves(vcpu::current())) << "an exception of the guest's own";
    EXPECT_TRUE(leave(hw::exit_code::cpuid));
    EXPECT_TRUE(qemu.in_guest);
    EXPECT_EQ(qemu.delivered, std::vector{29});
    EXPECT_EQ(qemu.pushed, (std::vector<std::pair<std::uint64_t, unsigned>>{{0x72, 8}}));
    EXPECT_FALSE(rules.leaves(vcpu::current())) << "it is not delivered twice";
    qemu.long_mode = false;
    EXPECT_TRUE(leave(hw::exit_code::page_not_validated));
    EXPECT_EQ(qemu.pushed.back(), (std::pair<std::uint64_t, unsigned>{0x404, 4}));
    qemu.paging.cr0 = 0;
    EXPECT_TRUE(leave(hw::exit_code::msr));
    EXPECT_EQ(qemu.pushed.size(), 2u) << "real mode has no error codes";
    EXPECT_EQ(qemu.delivered.size(), 3u);
}

TEST_F(encrypted_guest_test, a_vc_that_cannot_be_delivered_is_a_double_fault)
{
    constexpr int vc = 29, df = 8;
    const auto undeliverable = [this](std::uint64_t exit) {
        try {
            leave(exit);
        } catch (const fake::left &led_to) {
            return led_to.code;
        }
        return std::uint64_t{0};
    };
    run(sev_es);
    qemu.undeliverable = {vc};
    EXPECT_EQ(undeliverable(hw::exit_code::cpuid), 0x4du);
    EXPECT_TRUE(leave(0x4d));
    EXPECT_EQ(qemu.delivered, (std::vector{vc, df}));
    EXPECT_TRUE(qemu.pushed.empty()) << "QEMU pushes the error code of #DF";

    EXPECT_EQ(undeliverable(hw::exit_code::cpuid), 0x4du) << "#VC again";
    EXPECT_FALSE(rules.leaves(vcpu::current())) << "which leads to the guest's own exception";
    EXPECT_EQ(undeliverable(hw::exit_code::cpuid), 0x4du);
    EXPECT_EQ(qemu.delivered, (std::vector{vc, df, vc, vc})) << "one that it has handled";

    qemu.undeliverable = {vc, df};
    EXPECT_EQ(undeliverable(0x4d), 0x4du);
    EXPECT_EQ(undeliverable(0x4d), hw::exit_code::shutdown);
    qemu.in_guest = false;
    run(sev_es);
    store(vmcb + 8, 1u << df); // intercepted
    EXPECT_EQ(undeliverable(hw::exit_code::cpuid), 0x4du);
    EXPECT_EQ(undeliverable(0x4d), hw::exit_code::shutdown);
}

TEST_F(encrypted_guest_test, a_guest_always_has_a_task_state_segment)
{
    constexpr hw::spa_t tr = 0x90;
    const auto tr_with = [](std::uint64_t attributes, std::uint64_t limit) {
        return 0x40 | attributes << 16 | limit << 32;
    };
    const auto expect_tr = [&](std::uint64_t after, std::uint64_t before) {
        store(vmsa + tr, before);
        qemu.in_guest = false;
        run(sev_es);
        EXPECT_EQ(load(saved + tr), after) << std::hex << before;
    };
    for (const std::uint64_t attributes : {0x89, 0x8b}) {
        expect_tr(tr_with(attributes, 0x67), tr_with(attributes, 0x67));
    }
    for (const std::uint64_t attributes : {0x00, 0x0b, 0x82, 0x8f}) {
        expect_tr(tr_with(0x8b, 0), tr_with(attributes, 0x67));
    }
}

TEST_F(encrypted_guest_test, a_vmrun_that_fails_leaves_the_vmsa_as_it_is)
{
    store(vmsa + 0x178, 0x5678);
    store(vmsa + 0x308, 0x1111);          // RCX
    store(saved + 0x178, 0xaaaa);         // the host's
    store(hsave + 0x400 + 0x308, 0xc0c0); // RCX
    run(sev_es);
    qemu.in_guest = false; // QEMU checks something before it enters the guest
    qemu.rip = 0x3000;
    EXPECT_TRUE(leave(~std::uint64_t{0}));
    EXPECT_EQ(load(vmsa + 0x178), 0x5678u);
    EXPECT_EQ(load(saved + 0x178), 0xaaaau);
    EXPECT_EQ(qemu.reg[rcx], 0xc0c0u);
    EXPECT_TRUE(qemu.saved.empty());
    EXPECT_FALSE(rules.leaves(vcpu::current()));
    store(vmcb + 0x90, 1); // an ordinary guest on the same CPU
    qemu.reg[rax] = vmcb;
    execute({0x0f, 0x01, 0xd8});
    EXPECT_FALSE(rules.translates(vcpu::current()));
    EXPECT_FALSE(leave(hw::exit_code::cpuid));
}

TEST_F(encrypted_guest_test, an_exit_code_that_the_host_forges_is_no_exit)
{
    run(sev_es);
    qemu.exits = false; // QEMU delivers an exception of the guest's
    qemu.reg[rbx] = 0x77;
    EXPECT_TRUE(leave(hw::exit_code::interrupt));
    EXPECT_EQ(qemu.reg[rbx], 0x77u);
    EXPECT_TRUE(rules.translates(vcpu::current()));
    EXPECT_FALSE(rules.leaves(vcpu::current()));
}

TEST_F(encrypted_guest_test, addresses_have_as_many_bits_as_their_access)
{
    map_code({0x90});
    run(sev_es);
    own_access a{.cpu = vcpu::current(),
                 .address = 0xffffffff00005000,
                 .kind = translation::access::read,
                 .user = false,
                 .smap = false,
                 .is_32 = true,
                 .may_fault = false,
                 .ra = 0};
    EXPECT_FALSE(rules.translate(a).found) << "a 64-bit stack of compatibility mode";
    qemu.long_mode = false;
    EXPECT_EQ(rules.translate(a).spa, low_2m + 0x5000);
    a.is_32 = false;
    EXPECT_FALSE(rules.translate(a).found);
    a.is_32 = qemu.long_mode = true;
    a.address = 0x100000ff8;
    EXPECT_EQ(rules.translate(a).spa, low_2m + 0xff8) << "over the end";
}

TEST_F(encrypted_guest_test, hlt_and_pause_are_complete)
{
    map_code({0xf4});
    run(sev_es);
    EXPECT_TRUE(leave(hw::exit_code::hlt));
    EXPECT_EQ(load(vmsa + 0x178), code - low_2m + 1);
    map_code({0xf3, 0x90});
    run(sev_es);
    EXPECT_TRUE(leave(hw::exit_code::pause));
    EXPECT_EQ(load(vmsa + 0x178), code - low_2m + 2);
    map_code({0xf4});
    run(sev_es);
    EXPECT_TRUE(leave(hw::exit_code::nmi));
    EXPECT_EQ(load(vmsa + 0x178), code - low_2m) << "an interrupt comes before the instruction";
}

TEST_F(encrypted_guest_test, the_host_of_a_plain_sev_guest_is_told_of_the_instruction)
{
    store(saved + 0x150, hw::c_bit);
    map_code({0x41, 0x0f, 0x22, 0xc1}); // MOV %r9,%cr0
    qemu.code_64 = true;
    run(sev);
    EXPECT_EQ(load(saved + 0x150), 0u);
    EXPECT_TRUE(leave(0x10));
    EXPECT_EQ(load(vmcb + 0xc8), code - low_2m + 4);
    EXPECT_EQ(load(vmcb + 0x78), 1ull << 63 | 9);
    EXPECT_EQ(load(vmcb + 0xd0) & 0xff, 0u);
    EXPECT_EQ(load(saved + 0x150), hw::c_bit);
    EXPECT_EQ(qemu.loaded.size(), 0u) << "its registers are the host's, too";
    map_code({0x88, 0x07}); // a store that a device emulates
    run(sev);
    EXPECT_TRUE(leave(hw::exit_code::nested_page_fault, 6));
    EXPECT_EQ(load(vmcb + 0xc8), 0u);
    EXPECT_EQ(load(vmcb + 0xd0) & 0xffffff, 0x07880fu);
    EXPECT_EQ(load(vmcb + 0x78), 6u);
}

TEST_F(encrypted_guest_test, a_shared_access_to_a_validated_page_is_told)
{
    using kind = guest_page_event::kind;
    constexpr hw::spa_t page = low_2m + 0x45000, foreign = low_2m + 0x46000;
    map_code({0x90});
    store(nested + 0x2000, (nested + 0x3000) | 7);
    for (hw::spa_t i = 0; i < 512; ++i) {
        store(nested + 0x3000 + 8 * i, (low_2m + i * hw::page_4k) | 7);
    }
    // Paging with one 2 MB page, without the C-bit; the tables are the guest's own.
    constexpr hw::spa_t tables = low_2m + 0x20000;
    store(tables, 0x21000 | 7);
    store(tables + 0x1000, 0x22000 | 7);
    store(tables + 0x2000, 0x87 | 0x60);
    const auto own = [&](hw::spa_t spa, std::uint32_t asid, bool validated) {
        hw::rmp_entry e;
        e.assigned = true;
        e.validated = validated;
        e.asid = asid;
        e.gpa = spa - low_2m;
        e.vmpl[0] = 0xf;
        m->rmp().store(spa, e);
    };
    for (const hw::spa_t table : {tables, tables + 0x1000, tables + 0x2000}) {
        own(table, 5, true);
    }
    own(page, 5, true);
    own(foreign, 6, true);
    become_snp();
    run(sev_es);
    qemu.paging = {.cr0 = cr0_pe | cr0_pg, .cr3 = 0x20000, .cr4 = cr4_pae, .rflags = 2};
    qemu.efer = efer_lma;
    own_access a{.cpu = vcpu::current(),
                 .address = page - low_2m + 8,
                 .kind = translation::access::read,
                 .user = false,
                 .smap = false,
                 .is_32 = false,
                 .may_fault = true,
                 .ra = 0};
    const auto access = [&](translation::access what, hw::spa_t spa) {
        a.kind = what;
        a.address = spa - low_2m + 8;
        try {
            rules.translate(a);
            return true;
        } catch (const fake::left &) {
            return false;
        }
    };
    EXPECT_TRUE(access(translation::access::read, page));
    ASSERT_EQ(listening.pages.size(), 1u);
    EXPECT_EQ(listening.pages[0].what, kind::shared_access);
    EXPECT_EQ(listening.pages[0].asid, 5u);
    EXPECT_EQ(listening.pages[0].gpa, 0x45000u);
    EXPECT_EQ(listening.pages[0].spa, page);
    EXPECT_FALSE(access(translation::access::write, page)) << "the RMP stops it";
    EXPECT_EQ(listening.pages.size(), 2u);
    listening.pages.clear();
    EXPECT_TRUE(access(translation::access::read, low_2m + 0x47000)) << "a shared page";
    EXPECT_TRUE(access(translation::access::write, low_2m + 0x47000));
    EXPECT_TRUE(access(translation::access::read, foreign)) << "the hypervisor's mistake";
    EXPECT_FALSE(access(translation::access::write, foreign));
    own(page, 5, false);
    EXPECT_TRUE(access(translation::access::read, page)) << "its validation is rescinded";
    own(page, 5, true);
    a.may_fault = false;
    EXPECT_TRUE(access(translation::access::read, page)) << "not an access of the guest's";
    a.may_fault = true;
    EXPECT_TRUE(access(translation::access::fetch, page)) << "fetches are private in any case";
    EXPECT_TRUE(listening.pages.empty());
    own(page, 5, false);
    EXPECT_FALSE(access(translation::access::fetch, page));
    ASSERT_EQ(listening.pages.size(), 1u);
    EXPECT_EQ(listening.pages[0].what, kind::not_validated);
}

TEST_F(encrypted_guest_test, pvalidate_of_a_validated_page_is_told)
{
    constexpr hw::spa_t page = low_2m + 0x45000;
    map_code({0x90});
    store(nested + 0x2000, (nested + 0x3000) | 7);
    store(nested + 0x3000 + 8 * 0x45, page | 7);
    hw::rmp_entry e;
    e.assigned = true;
    e.asid = 5;
    e.gpa = 0x45000;
    m->rmp().store(page, e);
    become_snp();
    run(sev_es);
    qemu.paging.cr0 = cr0_pe; // private, one to one
    const auto pvalidate = [&](std::uint64_t rdx) {
        qemu.reg[rax] = 0x45000;
        qemu.reg[rcx] = 0;
        qemu.reg[rmpopt::rdx] = rdx;
        return execute({0xf2, 0x0f, 0x01, 0xff}) && !last_fault && !last_exit;
    };
    EXPECT_TRUE(pvalidate(1));
    EXPECT_TRUE(m->rmp().load(page).validated);
    EXPECT_TRUE(listening.pages.empty());
    EXPECT_TRUE(pvalidate(1));
    ASSERT_EQ(listening.pages.size(), 1u);
    EXPECT_EQ(listening.pages[0].what, guest_page_event::kind::validated_again);
    EXPECT_EQ(listening.pages[0].gpa, 0x45000u);
    EXPECT_TRUE(pvalidate(0));
    EXPECT_TRUE(pvalidate(0)) << "to rescind twice does no harm";
    EXPECT_EQ(listening.pages.size(), 1u);
}

TEST_F(encrypted_guest_test, a_request_to_share_a_validated_page_is_told)
{
    // The fake's guest-physical addresses are system addresses.
    constexpr hw::spa_t ghcb = low_2m + 0x30000, list = ghcb + 0x800, page = low_2m + 0x5000;
    hw::rmp_entry e;
    e.assigned = e.validated = true;
    e.asid = 5;
    e.gpa = page;
    m->rmp().store(page, e);
    const auto ask = [&](std::uint64_t code, std::uint64_t operation) {
        store(vmcb + 0xa0, ghcb);
        store(ghcb + 0x390, code);
        store(ghcb + 0x3a8, list);
        store(list, 1ull << 16);
        store(list + 8, (page - hw::page_4k) | operation << 52);
        store(list + 16, page | operation << 52);
        run(sev_es);
        qemu.rip = 0x3000;
        EXPECT_TRUE(execute({0xf3, 0x0f, 0x01, 0xd9}));
        leave(hw::exit_code::vmgexit);
    };
    ask(0x80000010, 2);
    EXPECT_TRUE(listening.pages.empty()) << "SEV-ES";
    become_snp();
    ask(0x80000010, 1);
    ask(0x80000011, 2);
    EXPECT_TRUE(listening.pages.empty());
    ask(0x80000010, 2);
    ASSERT_EQ(listening.pages.size(), 1u);
    EXPECT_EQ(listening.pages[0].what, guest_page_event::kind::shared_request);
    EXPECT_EQ(listening.pages[0].gpa, page);
    EXPECT_EQ(listening.pages[0].rip, 0x3000u);
    e.validated = false;
    m->rmp().store(page, e);
    ask(0x80000010, 2);
    EXPECT_EQ(listening.pages.size(), 1u) << "rescinded before";
}

TEST_F(encrypted_guest_test, entries_and_exits_are_counted)
{
    const auto count = [](std::string_view what, const std::string &name) {
        const nlohmann::ordered_json all = guest_counts_json();
        return all.is_null() ? 0 : all[what].value(name, 0);
    };
    const auto entries = [] {
        const nlohmann::ordered_json all = guest_counts_json();
        return all.is_null() ? 0 : all["entries"].get<int>();
    };
    const int entered = entries(), cpuid = count("vc", "CPUID"),
              interrupts = count("exits", "INTR");
    run(sev_es);
    leave(hw::exit_code::cpuid);
    leave(hw::exit_code::cpuid);
    leave(hw::exit_code::interrupt);
    EXPECT_EQ(entries(), entered + 1);
    EXPECT_EQ(count("vc", "CPUID"), cpuid + 2);
    EXPECT_EQ(count("exits", "INTR"), interrupts + 1);
    EXPECT_EQ(count("exits", "CPUID"), 0) << "the host did not see it";
    store(vmcb + 0x90, 1);
    qemu.reg[rax] = vmcb;
    execute({0x0f, 0x01, 0xd8});
    EXPECT_EQ(entries(), entered + 1) << "an ordinary guest";
}

TEST(code_counts, have_room_for_what_a_guest_makes_up)
{
    code_counts counts;
    for (std::uint64_t code = 0; code < 1000; ++code) {
        counts.add(code);
        counts.add(7);
    }
    std::map<std::uint64_t, std::uint64_t> sums;
    counts.add_to(sums);
    EXPECT_EQ(sums.size(), 128u);
    EXPECT_EQ(sums[7], 1001u);
    EXPECT_EQ(sums[0], 1u);
}

TEST_F(encrypted_guest_test, vmgexit_ends_the_guest_behind_itself)
{
    EXPECT_FALSE(execute({0xf3, 0x0f, 0x01, 0xd9})) << "without a guest it is VMMCALL";
    run(sev);
    EXPECT_FALSE(execute({0xf3, 0x0f, 0x01, 0xd9}));
    leave(hw::exit_code::interrupt);
    run(sev_es);
    qemu.rip = 0x3000;
    EXPECT_TRUE(execute({0xf3, 0x0f, 0x01, 0xd9}));
    ASSERT_TRUE(last_exit.has_value());
    EXPECT_EQ(last_exit->code, 0x403u);
    EXPECT_EQ(qemu.rip, 0x3004u);
    EXPECT_TRUE(execute({0xf2, 0x0f, 0x01, 0xd9}));
    EXPECT_EQ(qemu.rip, 0x3008u);
}

TEST_F(encrypted_guest_test, the_guest_has_registers_of_its_own)
{
    const auto read = [&](std::uint32_t index) {
        qemu.reg[rcx] = index;
        return execute({0x0f, 0x32});
    };
    const auto write = [&](std::uint32_t index, std::uint64_t value) {
        qemu.reg[rcx] = index;
        qemu.reg[rax] = static_cast<std::uint32_t>(value);
        qemu.reg[rdx] = value >> 32;
        return execute({0x0f, 0x30});
    };
    become_snp();
    run(sev_es);
    EXPECT_TRUE(read(0xc0010131));
    EXPECT_EQ(qemu.reg[rax], 7u);
    EXPECT_TRUE(write(0xc0010130, 0x123456789));
    EXPECT_EQ(load(vmcb + 0xa0), 0x123456789u);
    EXPECT_TRUE(read(0xc0010130));
    EXPECT_EQ(qemu.reg[rdx], 1u);
    EXPECT_TRUE(write(0xc0010131, 0));
    EXPECT_EQ(last_fault.value_or(fake::raised{}).vector, vector::gp);
    EXPECT_FALSE(read(hw::msr::syscfg)) << "all others are for the hypervisor to intercept";
    EXPECT_FALSE(write(hw::msr::rmp_base, 0));
    EXPECT_FALSE(write(0xc0000080, efer_lme));
    EXPECT_EQ(systems_entered, 0u) << "a guest's long mode is no boot of the machine";
    qemu.cpl = 3;
    EXPECT_TRUE(read(0xc0010131));
    EXPECT_EQ(last_fault.value_or(fake::raised{}).vector, vector::gp);
}

TEST_F(encrypted_guest_test, cr3_has_a_c_bit_that_qemu_does_not_see)
{
    store(vmsa + 0x150, 0x9000 | hw::c_bit);
    run(sev_es);
    qemu.paging.cr3 = 0x9000;
    qemu.efer = efer_lma;
    EXPECT_TRUE(execute({0x0f, 0x20, 0xd9})); // MOV %cr3,%rcx
    EXPECT_EQ(qemu.reg[rcx], 0x9000 | hw::c_bit);
    qemu.reg[rdx] = 0x5000 | hw::c_bit;
    EXPECT_TRUE(execute({0x0f, 0x22, 0xda}));
    EXPECT_EQ(qemu.paging.cr3, 0x5000u);
    EXPECT_TRUE(execute({0x0f, 0x20, 0xd9}));
    EXPECT_EQ(qemu.reg[rcx], 0x5000 | hw::c_bit);
    qemu.reg[rdx] = 0x6000;
    EXPECT_TRUE(execute({0x0f, 0x22, 0xda}));
    EXPECT_TRUE(execute({0x0f, 0x20, 0xd9}));
    EXPECT_EQ(qemu.reg[rcx], 0x6000u);
    for (const std::uint64_t bad : {1ull << 48, 1ull << 62, 1ull << 63}) {
        qemu.reg[rdx] = bad;
        EXPECT_TRUE(execute({0x0f, 0x22, 0xda}));
        EXPECT_EQ(last_fault.value_or(fake::raised{}).vector, vector::gp) << std::hex << bad;
        EXPECT_EQ(qemu.paging.cr3, 0x6000u);
    }
    qemu.paging.cr4 |= cr4_pcide;
    qemu.reg[rdx] = 1ull << 63 | 0x7001;
    EXPECT_TRUE(execute({0x0f, 0x22, 0xda}));
    EXPECT_EQ(qemu.paging.cr3, 0x7001u);
    store(vmcb, std::uint64_t{0x8} | std::uint64_t{0x8} << 16); // intercept both
    EXPECT_FALSE(execute({0x0f, 0x22, 0xda}));
    EXPECT_FALSE(execute({0x0f, 0x20, 0xd9}));
    store(vmcb, 0);
    qemu.cpl = 3;
    EXPECT_FALSE(execute({0x0f, 0x22, 0xda}));
    EXPECT_FALSE(execute({0x0f, 0x20, 0xd9}));
}

TEST_F(encrypted_guest_test, write_traps_come_after_the_write)
{
    run(sev_es);
    qemu.reg[rcx] = 0x80000011;
    EXPECT_TRUE(execute({0x0f, 0x22, 0xc1})); // MOV %rcx,%cr0
    EXPECT_FALSE(last_exit.has_value());
    store(vmcb + 0x10, std::uint64_t{1} << 16 | std::uint64_t{1} << 24); // CR0, CR8
    qemu.rip = 0x3000;
    EXPECT_TRUE(execute({0x0f, 0x22, 0xc1}));
    ASSERT_TRUE(last_exit.has_value());
    EXPECT_EQ(last_exit->code, 0x90u);
    EXPECT_EQ(last_exit->info1, 0x80000011u);
    EXPECT_EQ(qemu.rip, 0x3003u);
    EXPECT_TRUE(execute({0x44, 0x0f, 0x22, 0xc1})); // MOV %rcx,%cr8
    ASSERT_TRUE(last_exit.has_value());
    EXPECT_EQ(last_exit->code, 0x98u);
    EXPECT_TRUE(execute({0x0f, 0x22, 0xe1}));
    EXPECT_FALSE(last_exit.has_value()) << "CR4 is not trapped";
    using write = std::pair<unsigned, std::uint64_t>;
    EXPECT_EQ(
        qemu.cr_writes,
        (std::vector<write>{{0, 0x80000011}, {0, 0x80000011}, {8, 0x80000011}, {4, 0x80000011}}));
}

TEST_F(encrypted_guest_test, efer_is_trapped_after_the_write)
{
    const auto write = [&] {
        qemu.rip = 0x3000;
        qemu.reg[rcx] = 0xc0000080;
        qemu.reg[rax] = 0xd01;
        qemu.reg[rdx] = 0;
        return execute({0x0f, 0x30});
    };
    run(sev_es);
    EXPECT_FALSE(write()) << "QEMU's, unless it is trapped";
    store(vmcb + 0x10, 1u << 15);
    EXPECT_TRUE(write());
    ASSERT_TRUE(last_exit.has_value());
    EXPECT_EQ(last_exit->code, 0x8fu);
    EXPECT_EQ(last_exit->info1, 0xd01u);
    EXPECT_EQ(qemu.rip, 0x3002u);
    EXPECT_EQ(qemu.msr_writes, std::vector<std::uint32_t>{0xc0000080});
    qemu.cpl = 3;
    EXPECT_FALSE(write()) << "QEMU raises #GP";
}

TEST_F(encrypted_guest_test, only_cr8_of_other_guests_is_emulated)
{
    EXPECT_FALSE(execute({0x44, 0x0f, 0x22, 0xc1})) << "the host's";
    store(vmcb + 0x90, 1);
    execute({0x0f, 0x01, 0xd8});
    qemu.vmcb = vmcb;
    EXPECT_TRUE(execute({0x44, 0x0f, 0x22, 0xc1}));
    EXPECT_EQ(qemu.cr_writes.size(), 1u);
    EXPECT_FALSE(execute({0x0f, 0x22, 0xd9}));
    EXPECT_FALSE(execute({0x0f, 0x20, 0xd9}));
    store(vmcb, std::uint64_t{1} << 24);
    EXPECT_FALSE(execute({0x44, 0x0f, 0x22, 0xc1})) << "intercepted";
}

TEST_F(encrypted_guest_test, pages_are_validated_and_adjusted)
{
    constexpr std::uint64_t gpa = 0x9000;
    const hw::spa_t page = low_2m + gpa;
    const auto pvalidate = [&](std::uint64_t address, std::uint64_t size, std::uint64_t validate) {
        qemu.reg[rax] = address;
        qemu.reg[rcx] = size;
        qemu.reg[rdx] = validate;
        return execute({0xf2, 0x0f, 0x01, 0xff});
    };
    const auto rmpadjust = [&](std::uint64_t address, std::uint64_t attributes) {
        qemu.reg[rax] = address;
        qemu.reg[rcx] = 0;
        qemu.reg[rdx] = attributes;
        return execute({0xf3, 0x0f, 0x01, 0xfe});
    };
    EXPECT_TRUE(pvalidate(gpa, 0, 1)) << "outside an SNP guest";
    EXPECT_EQ(last_fault.value_or(fake::raised{}).vector, vector::ud);
    map_code({0x90});
    become_snp();
    run(sev_es);
    // The nested tables map 2 MB; the RMP has entries of 4 KB.
    store(nested + 0x2000, (nested + 0x3000) | 7);
    store(nested + 0x3000 + 9 * 8, page | 7);
    hw::rmp_entry e;
    e.assigned = true;
    e.asid = 5;
    e.gpa = gpa;
    m->rmp().store(page, e);
    EXPECT_TRUE(rmpadjust(gpa, 0x101));
    ASSERT_TRUE(last_exit.has_value()) << "not validated yet";
    EXPECT_EQ(last_exit->code, 0x404u);
    EXPECT_TRUE(pvalidate(gpa, 0, 1));
    EXPECT_EQ(qemu.reg[rax], 0u);
    EXPECT_TRUE(m->rmp().load(page).validated);
    EXPECT_TRUE(rmpadjust(gpa + 0x14, 0)) << "VMPL 0 names itself";
    EXPECT_EQ(qemu.reg[rax], 2u);
    EXPECT_TRUE(rmpadjust(gpa + 0x14, 1));
    EXPECT_EQ(qemu.reg[rax], 0u);
    EXPECT_TRUE(pvalidate(gpa + 8, 0, 1));
    EXPECT_EQ(qemu.reg[rax], 1u);
    EXPECT_TRUE(pvalidate(0xa000, 0, 1)) << "not mapped";
    ASSERT_TRUE(last_exit.has_value());
    EXPECT_EQ(last_exit->code, 0x400u);
    EXPECT_EQ(last_exit->info1, 0x500000004u);
    m->rmp().store(page, {});
    EXPECT_TRUE(pvalidate(gpa, 0, 1)) << "taken away";
    ASSERT_TRUE(last_exit.has_value());
    EXPECT_EQ(last_exit->info1, 0x580000005u);
    EXPECT_EQ(load(vmcb + 0x80), gpa);
}

TEST_F(encrypted_guest_test, faults_on_the_way_leave_as_the_walk_says)
{
    qemu.paging.cr0 = cr0_pe;
    run(sev_es);
    own_access a{.cpu = vcpu::current(),
                 .address = 0x5123,
                 .kind = translation::access::write,
                 .user = false,
                 .smap = false,
                 .is_32 = false,
                 .may_fault = false,
                 .ra = 0};
    EXPECT_FALSE(rules.translate(a).found);
    a.may_fault = true;
    try {
        rules.translate(a);
        FAIL();
    } catch (const fake::left &exit) {
        EXPECT_EQ(exit.code, 0x400u);
        EXPECT_EQ(exit.info1, 0x100000006u);
    }
    EXPECT_EQ(load(vmcb + 0x80), 0x5123u);
    map_code({0x90});
    const own_translation t = rules.translate(a);
    EXPECT_TRUE(t.found && t.writable);
    EXPECT_EQ(t.spa, low_2m + 0x5123);
}

} // namespace rmpopt
