// SPDX-License-Identifier: GPL-2.0-or-later
/* Work on processes and connections, and none at all. */
#include "workload.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { COPIED_PAGES = 64, EXEC_EACH = 4, BLOCK = 16384, FEWEST_FORKS = 64, MOST_FORKS = 4096 };
#define FORKS_PER (2 * WORKLOAD_MIB) /* of free memory */
#define LEAST_SENT WORKLOAD_MIB
#define MOST_SENT (256 * WORKLOAD_MIB)

static uint8_t pages[COPIED_PAGES][WORKLOAD_PAGE] __attribute__((aligned(4096)));

/* The child writes to its pages, so that it gets copies, and may execute another program. */
static void live(size_t number)
{
    for (size_t i = 0; i < COPIED_PAGES; i++)
        pages[i][number % WORKLOAD_PAGE] = (uint8_t)number;
    if (number % EXEC_EACH == 0) {
        execl("/proc/self/exe", "workload", "nothing", NULL);
        _exit(EXIT_FAILURE);
    }
    _exit(EXIT_SUCCESS);
}

static void work_forks(unsigned process, size_t share, struct workload_amounts *done)
{
    int status;

    memset(pages, (int)process + 1, sizeof(pages));
    for (size_t i = 0; i < share; i++) {
        long child = workload_must(fork(), "fork");
        if (child == 0)
            live(i);
        workload_must(waitpid((pid_t)child, &status, 0), "waitpid");
        if (status)
            workload_wrong("status of a process");
        done->of[0]++;
        done->of[1] += i % EXEC_EACH == 0;
        done->of[2] += COPIED_PAGES;
    }
}

static size_t fit_forks(size_t free_memory)
{
    return workload_between(free_memory / FORKS_PER, FEWEST_FORKS, MOST_FORKS);
}

const struct workload forks_workload = {
    .name = "forks",
    .what = "forks processes that write to their copies of pages, each fourth executes a program",
    .unit = "processes",
    .smallest = 1,
    .fit = fit_forks,
    .work = work_forks,
    .amounts = {"forks", "execs", "pages copied"},
};

static void bring_loopback_up(int any_socket)
{
    struct ifreq request = {.ifr_name = "lo"};

    workload_must(ioctl(any_socket, SIOCGIFFLAGS, &request), "flags of lo");
    request.ifr_flags |= IFF_UP;
    workload_must(ioctl(any_socket, SIOCSIFFLAGS, &request), "bring lo up");
}

/* Makes a socket that listens on a port of the kernel's choice, and gets its address. */
static int listen_anywhere(struct sockaddr_in *address)
{
    socklen_t length = sizeof(*address);
    int server = (int)workload_must(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");

    *address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    bring_loopback_up(server);
    workload_must(bind(server, (struct sockaddr *)address, length), "bind");
    workload_must(listen(server, 1), "listen");
    workload_must(getsockname(server, (struct sockaddr *)address, &length), "getsockname");
    return server;
}

static void send_all(const struct sockaddr_in *address, size_t length)
{
    static uint8_t block[BLOCK] __attribute__((aligned(16)));
    int connection = (int)workload_must(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");

    workload_must(connect(connection, (const struct sockaddr *)address, sizeof(*address)),
                  "connect");
    for (size_t at = 0; at < length; at += BLOCK) {
        workload_fill(block, at, BLOCK);
        workload_write(connection, block, BLOCK);
    }
    close(connection);
}

static size_t receive_all(int server)
{
    static uint8_t block[BLOCK] __attribute__((aligned(16)));
    int connection = (int)workload_must(accept(server, NULL, NULL), "accept");
    size_t length, sum = 0;

    while ((length = workload_read(connection, block, BLOCK))) {
        if (*(uint64_t *)block != sum)
            workload_wrong("what came");
        sum += length;
    }
    close(connection);
    return sum;
}

static void work_network(unsigned process, size_t share, struct workload_amounts *done)
{
    struct sockaddr_in address;
    size_t length = share & -(size_t)BLOCK;
    int server = listen_anywhere(&address), status;
    long sender = workload_must(fork(), "fork");

    (void)process;
    if (sender == 0) {
        send_all(&address, length);
        exit(EXIT_SUCCESS);
    }
    done->of[0] = receive_all(server) / WORKLOAD_KIB;
    workload_must(waitpid((pid_t)sender, &status, 0), "waitpid");
    if (status || done->of[0] * WORKLOAD_KIB != length)
        workload_wrong("what came");
    close(server);
}

static unsigned pairs(unsigned cpus)
{
    return cpus > 1 ? cpus / 2 : 1;
}

static size_t an_eighth(size_t free_memory)
{
    return workload_between(free_memory / 8, LEAST_SENT, MOST_SENT);
}

const struct workload network_workload = {
    .name = "network",
    .what = "sends data over TCP connections to itself, one for each two CPUs",
    .unit = "bytes",
    .smallest = BLOCK,
    .fit = an_eighth,
    .processes = pairs,
    .work = work_network,
    .amounts = {"KiB sent"},
};

static unsigned one(unsigned cpus)
{
    (void)cpus;
    return 1;
}

static size_t two(size_t free_memory)
{
    (void)free_memory;
    return 2;
}

static void work_idle(unsigned process, size_t share, struct workload_amounts *done)
{
    (void)process;
    sleep((unsigned)share);
    done->of[0] = share;
}

const struct workload idle_workload = {
    .name = "idle",
    .what = "nothing for a while",
    .unit = "seconds",
    .smallest = 1,
    .fit = two,
    .processes = one,
    .work = work_idle,
    .amounts = {"idle seconds"},
};

static size_t zero(size_t free_memory)
{
    (void)free_memory;
    return 0;
}

static void work_boot(unsigned process, size_t share, struct workload_amounts *done)
{
    (void)process;
    (void)share;
    (void)done;
}

const struct workload boot_workload = {
    .name = "boot",
    .what = "nothing, the boot is over when it runs",
    .unit = "nothing",
    .fit = zero,
    .processes = one,
    .work = work_boot,
};
