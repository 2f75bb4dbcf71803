// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor.h"

#include "bytes.h"
#include "fail.h"
#include "layout.h"
#include "mapping.h"
#include "runtime/sev_guest.h"
#include "runtime/x86.h"

/* Requests in the MSR: the code in bits 11:0. */
enum {
    MSR_INFO_ANSWER = 0x1,
    MSR_INFO = 0x2,
    MSR_REGISTER = 0x12,
    MSR_REGISTER_ANSWER = 0x13,
    MSR_PAGE_STATE = 0x14,
    MSR_PAGE_STATE_ANSWER = 0x15,
    MSR_TERMINATE = 0x100
};
#define MSR_CODE 0xffful
#define PAGE_PRIVATE (1ul << 52)
#define PAGE_SHARED (2ul << 52)
#define PAGE_IS_LARGE (1ul << 56)

/* Exit codes in the GHCB. */
enum { EXIT_IOIO = 0x7b, EXIT_MSR = 0x7c };
#define EXIT_MMIO_WRITE 0x80000002ul
#define EXIT_PAGE_STATE 0x80000010ul
#define IOIO_IN 1ul
#define MSR_WRITE 1ul

enum { PROTOCOL_VERSION = 2, MOST_PAGE_STATES = 253 };

struct __attribute__((packed)) page_states {
    uint16_t current, last;
    uint32_t reserved;
    uint64_t entries[MOST_PAGE_STATES];
};

struct ghcb {
    uint8_t reserved_000[0x1f8];
    uint64_t rax;
    uint8_t reserved_200[0x308 - 0x200];
    uint64_t rcx, rdx;
    uint8_t reserved_318[0x390 - 0x318];
    uint64_t exit_code, exit_info_1, exit_info_2, scratch;
    uint8_t reserved_3b0[0x3f0 - 0x3b0];
    uint8_t valid[16];
    uint8_t reserved_400[0x800 - 0x400];
    union { /* a buffer for what does not fit elsewhere */
        struct page_states states;
        uint32_t mmio_value;
    };
    uint8_t reserved_ff0[0xffa - 0xff0];
    uint16_t version;
    uint32_t usage;
};
_Static_assert(sizeof(struct ghcb) == PAGE_BYTES, "AMD 56421, table 3");
#define VALID(field) (offsetof(struct ghcb, field) / 8)

static volatile struct ghcb *const ghcb = (volatile struct ghcb *)GHCB_PAGE;
static bool is_open;

static uint64_t request_by_msr(uint64_t request)
{
    wrmsr(MSR_GHCB, request);
    __asm__ volatile(VMGEXIT : : : "memory");
    return rdmsr(MSR_GHCB);
}

void hypervisor_terminate(unsigned set, unsigned code)
{
    for (;;)
        request_by_msr(MSR_TERMINATE | (uint64_t)set << 12 | (uint64_t)code << 16);
}

bool hypervisor_is_open(void)
{
    return is_open;
}

static void check_protocol(uint64_t encryption_mask)
{
    uint64_t answer = request_by_msr(MSR_INFO);
    uint64_t most = answer >> 48, least = answer >> 32 & 0xffff, position = answer >> 24 & 0xff;

    if ((answer & MSR_CODE) != MSR_INFO_ANSWER || least > PROTOCOL_VERSION ||
        most < PROTOCOL_VERSION)
        fail(REASON_HYPERVISOR, "no GHCB protocol of version 2");
    /* A C-bit in another place would make private pages shared. */
    if (position > 63 || 1ul << position != encryption_mask)
        fail(REASON_HYPERVISOR, "hypervisor and CPUID page disagree on the C-bit");
}

/* One page of 4 KiB. */
static void set_state_by_msr(uint64_t page, uint64_t state)
{
    uint64_t answer = request_by_msr(page | state | MSR_PAGE_STATE);

    if ((answer & MSR_CODE) != MSR_PAGE_STATE_ANSWER || answer >> 32)
        fail(REASON_HYPERVISOR, "the state of the GHCB's page cannot be changed");
}

static void mark_valid(unsigned word)
{
    ghcb->valid[word / 8] |= (uint8_t)(1 << word % 8);
}

/* Whatever is valid for this request beside these has been marked. Afterwards nothing is. */
static void request(uint64_t exit_code, uint64_t info_1, uint64_t info_2)
{
    ghcb->exit_code = exit_code;
    ghcb->exit_info_1 = info_1;
    ghcb->exit_info_2 = info_2;
    mark_valid(VALID(exit_code));
    mark_valid(VALID(exit_info_1));
    mark_valid(VALID(exit_info_2));
    ghcb->version = PROTOCOL_VERSION;
    ghcb->usage = 0;
    request_by_msr(GHCB_PAGE);
    if ((uint32_t)ghcb->exit_info_1)
        fail(REASON_HYPERVISOR, "the hypervisor refuses a request");
    for (unsigned i = 0; i < sizeof(ghcb->valid); i++)
        ghcb->valid[i] = 0;
}

static void use_buffer(void)
{
    ghcb->scratch = GHCB_PAGE + offsetof(struct ghcb, states);
    mark_valid(VALID(scratch));
}

/* The entries that have been written, which may take the hypervisor more than one request. */
static void request_page_states(unsigned count)
{
    ghcb->states.current = 0;
    ghcb->states.last = (uint16_t)(count - 1);
    ghcb->states.reserved = 0;
    for (unsigned done = 0; done < count;) {
        unsigned before = done;

        use_buffer();
        request(EXIT_PAGE_STATE, 0, 0);
        done = ghcb->states.current;
        if (ghcb->exit_info_2 || done <= before || done > count)
            fail(REASON_HYPERVISOR, "the state of memory cannot be changed");
    }
}

static void set_state(uint64_t start, uint64_t end, uint64_t state)
{
    unsigned count = 0;

    while (start < end) {
        bool is_large = start % LARGE_PAGE_BYTES == 0 && end - start >= LARGE_PAGE_BYTES;

        ghcb->states.entries[count++] = start | state | (is_large ? PAGE_IS_LARGE : 0);
        start += is_large ? LARGE_PAGE_BYTES : PAGE_BYTES;
        if (count == MOST_PAGE_STATES || start >= end) {
            request_page_states(count);
            count = 0;
        }
    }
}

void request_private(uint64_t start, uint64_t end)
{
    set_state(start, end, PAGE_PRIVATE);
}

void hypervisor_open(uint64_t encryption_mask)
{
    check_protocol(encryption_mask);
    set_state_by_msr(GHCB_PAGE, PAGE_SHARED);
    map_shared(GHCB_PAGE);
    if (request_by_msr(GHCB_PAGE | MSR_REGISTER) != (GHCB_PAGE | MSR_REGISTER_ANSWER))
        fail(REASON_HYPERVISOR, "the hypervisor wants no GHCB where it is");
    memset((void *)GHCB_PAGE, 0, PAGE_BYTES);
    is_open = true;
    set_state(BUFFER, BUFFER + BUFFER_BYTES, PAGE_SHARED);
    map_shared(BUFFER);
}

void hypervisor_close(void)
{
    set_state(BUFFER, BUFFER + BUFFER_BYTES, PAGE_PRIVATE);
    set_state(GHCB_PAGE + PAGE_BYTES, SHARED_END, PAGE_PRIVATE);
    map_private(BUFFER);
    is_open = false;
    set_state_by_msr(GHCB_PAGE, PAGE_PRIVATE);
    map_private(GHCB_PAGE);
}

static uint64_t io_kind(uint16_t port, unsigned bytes)
{
    return (uint64_t)port << 16 | bytes << 4;
}

void port_out(uint16_t port, unsigned bytes, uint32_t value)
{
    ghcb->rax = value;
    mark_valid(VALID(rax));
    request(EXIT_IOIO, io_kind(port, bytes), 0);
}

uint32_t port_in(uint16_t port, unsigned bytes)
{
    ghcb->rax = 0;
    mark_valid(VALID(rax));
    request(EXIT_IOIO, io_kind(port, bytes) | IOIO_IN, 0);
    return (uint32_t)(ghcb->rax & (~0ul >> (64 - 8 * bytes)));
}

void mmio_out(uint64_t gpa, uint32_t value)
{
    ghcb->mmio_value = value;
    use_buffer();
    request(EXIT_MMIO_WRITE, gpa, sizeof(value));
}

void write_msr(uint32_t msr, uint64_t value)
{
    ghcb->rcx = msr;
    ghcb->rax = (uint32_t)value;
    ghcb->rdx = value >> 32;
    mark_valid(VALID(rcx));
    mark_valid(VALID(rax));
    mark_valid(VALID(rdx));
    request(EXIT_MSR, MSR_WRITE, 0);
}
