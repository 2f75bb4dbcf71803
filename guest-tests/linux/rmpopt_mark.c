// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Lets a script in the guest start and stop the plugin's measurement and name its phases. Does
 * nothing on a machine without the plugin. Exit status 0, or 2 for bad arguments; with --due, 1 for
 * no.
 */
#include "rmpopt_mark.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { USAGE = 2 };
#define LARGEST_INTERVAL UINT32_MAX

static void usage(const char *what)
{
    fprintf(
        stderr,
        "rmpopt-mark: %s\n"
        "usage: rmpopt-mark NAME       a phase of this name begins (\"\": the last one ends)\n"
        "       rmpopt-mark --on [N]   measure each store, or on average one of N\n"
        "       rmpopt-mark --on tlb   measure each store, and model TLBs\n"
        "       rmpopt-mark --off      measure no longer\n"
        "       rmpopt-mark --points on|off   count points for --stall, or no longer\n"
        "       rmpopt-mark --end      the run is over: with --seed the machine powers off here\n"
        "       rmpopt-mark --due      is a pass, or a finding, to be expected?\n",
        what);
    exit(USAGE);
}

static uint64_t interval(const char *text)
{
    char *end;
    unsigned long value;

    errno = 0;
    value = strtoul(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || *end || errno || value < 1 || value > LARGEST_INTERVAL)
        usage("--on takes a number from 1 to 4294967295, or tlb");
    return value;
}

static bool printable(const char *text)
{
    for (; *text; text++)
        if (!isprint((unsigned char)*text))
            return false;
    return true;
}

static void mark(const char *name)
{
    size_t length = strlen(name);

    if (name[0] == '-')
        usage("no such option, and a name can't begin with '-'");
    if (length > RMPOPT_MARK_LONGEST)
        usage("a name has at most 63 characters");
    if (!printable(name))
        usage("a name consists of printable ASCII characters");
    rmpopt_mark_phase(name, length);
}

int main(int argc, char *argv[])
{
    const char *word = argc > 1 ? argv[1] : NULL;

    if (!word)
        usage("what begins?");
    if (!strcmp(word, "--on") && argc == 3 && !strcmp(argv[2], "tlb"))
        rmpopt_mark_on_tlb();
    else if (!strcmp(word, "--on") && argc <= 3)
        rmpopt_mark_on(argc == 3 ? interval(argv[2]) : 0);
    else if (!strcmp(word, "--off") && argc == 2)
        rmpopt_mark_off();
    else if (!strcmp(word, "--points") && argc == 3 &&
             (!strcmp(argv[2], "on") || !strcmp(argv[2], "off")))
        rmpopt_mark_points(!strcmp(argv[2], "on"));
    else if (!strcmp(word, "--end") && argc == 2)
        rmpopt_mark_end();
    else if (!strcmp(word, "--due") && argc == 2)
        return rmpopt_mark_due() ? EXIT_SUCCESS : EXIT_FAILURE;
    else if (argc > 2)
        usage("too many words");
    else
        mark(word);
    return EXIT_SUCCESS;
}
