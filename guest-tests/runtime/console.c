// SPDX-License-Identifier: GPL-2.0-or-later
#include "console.h"

#include <stdarg.h>

#include "x86.h"

enum {
    COM1_DATA = 0x3f8,
    COM1_INTERRUPT_ENABLE = 0x3f9,
    COM1_LINE_CONTROL = 0x3fb,
    COM1_LINE_STATUS = 0x3fd,
    LINE_STATUS_TRANSMIT_EMPTY = 0x20,
    DEBUG_EXIT_PORT = 0xf4,
    /*
     * QEMU's exit status is twice the value plus one. The value is never 0, because QEMU exits with
     * 1 on its own errors.
     */
    DEBUG_EXIT_PASS = 0x10,
    DEBUG_EXIT_FAIL = 0x11,
};

static volatile int print_lock;

void *memset(void *to, int byte, size_t size)
{
    void *start = to;
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(byte) : "memory");
    return start;
}

void *memcpy(void *to, const void *from, size_t size)
{
    void *start = to;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
    return start;
}

int memcmp(const void *a, const void *b, size_t size)
{
    const uint8_t *left = a, *right = b;
    for (size_t i = 0; i < size; i++) {
        if (left[i] != right[i])
            return left[i] - right[i];
    }
    return 0;
}

size_t strlen(const char *text)
{
    size_t length = 0;
    while (text[length])
        length++;
    return length;
}

void console_init(void)
{
    out8(COM1_INTERRUPT_ENABLE, 0);
    out8(COM1_LINE_CONTROL, 0x80);
    out8(COM1_DATA, 1); /* divisor 1: 115200 */
    out8(COM1_INTERRUPT_ENABLE, 0);
    out8(COM1_LINE_CONTROL, 0x03);
}

static void put_char(char c)
{
    while (!(in8(COM1_LINE_STATUS) & LINE_STATUS_TRANSMIT_EMPTY))
        cpu_relax();
    out8(COM1_DATA, (uint8_t)c);
}

static void put_text(const char *text, unsigned width)
{
    size_t length = strlen(text);
    for (const char *c = text; *c; c++)
        put_char(*c);
    for (; length < width; length++)
        put_char(' ');
}

static void put_number(uint64_t value, unsigned base, unsigned width, char pad)
{
    char digits[24];
    unsigned count = 0;
    do {
        digits[count++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    for (unsigned i = count; i < width; i++)
        put_char(pad);
    while (count)
        put_char(digits[--count]);
}

struct conversion {
    bool prefix, is_long;
    char pad;
    unsigned width;
};

static const char *parse_conversion(const char *p, struct conversion *c)
{
    *c = (struct conversion){.pad = ' '};
    for (;; p++) {
        if (*p == '#')
            c->prefix = true;
        else if (*p == '0')
            c->pad = '0';
        else
            break;
    }
    for (; *p >= '0' && *p <= '9'; p++)
        c->width = c->width * 10 + (unsigned)(*p - '0');
    for (; *p == 'l' || *p == 'z'; p++)
        c->is_long = true;
    return p;
}

static void put_signed(int64_t value, const struct conversion *c)
{
    if (value < 0)
        put_char('-');
    put_number(value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 10, c->width, c->pad);
}

static void print_arguments(const char *format, va_list arguments)
{
    for (const char *p = format; *p; p++) {
        struct conversion c;
        if (*p != '%') {
            put_char(*p);
            continue;
        }
        p = parse_conversion(p + 1, &c);
        switch (*p) {
        case 'd':
            put_signed(c.is_long ? va_arg(arguments, long) : va_arg(arguments, int), &c);
            break;
        case 'u':
        case 'x': {
            uint64_t value =
                c.is_long ? va_arg(arguments, unsigned long) : va_arg(arguments, unsigned);
            if (c.prefix)
                put_text("0x", 0);
            put_number(value, *p == 'x' ? 16 : 10, c.width, c.pad);
            break;
        }
        case 's':
            put_text(va_arg(arguments, const char *), c.width);
            break;
        case 'c':
            put_char((char)va_arg(arguments, int));
            break;
        default:
            put_char(*p);
            break;
        }
    }
}

void print(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    while (__atomic_exchange_n(&print_lock, 1, __ATOMIC_ACQUIRE))
        cpu_relax();
    print_arguments(format, arguments);
    __atomic_store_n(&print_lock, 0, __ATOMIC_RELEASE);
    va_end(arguments);
}

_Noreturn void exit_run(bool passed)
{
    out32(DEBUG_EXIT_PORT, passed ? DEBUG_EXIT_PASS : DEBUG_EXIT_FAIL);
    for (;;)
        __asm__ volatile("cli; hlt");
}
