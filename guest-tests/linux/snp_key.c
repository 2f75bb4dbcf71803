// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * In an SNP guest: asks the secure processor for a derived key and prints it, as 64 hexadecimal
 * digits. Exit status 0, 1 if there is no key, or 2 for bad arguments.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sev-guest.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

enum { FAILED = 1, USAGE = 2 };

static void usage(void)
{
    fprintf(stderr, "usage: snp-key ROOT FIELDS VMPL SVN TCB\n"
                    "  ROOT    0: from the VCEK, 1: from the guest's own root key\n"
                    "  FIELDS  GUEST_FIELD_SELECT: what the key depends on\n"
                    "Numbers are decimal, or hexadecimal with 0x in front.\n");
    exit(USAGE);
}

static unsigned long long number(const char *text)
{
    char *end;
    unsigned long long value;

    errno = 0;
    value = strtoull(text, &end, 0);
    if (end == text || *end || errno)
        usage();
    return value;
}

/* What MSG_KEY_RSP begins with. */
struct answer {
    __u32 status;
    __u8 reserved[28];
    __u8 key[32];
};

int main(int argc, char **argv)
{
    struct snp_derived_key_req request = {0};
    struct snp_derived_key_resp response = {0};
    struct snp_guest_request_ioctl call = {.msg_version = 1};
    struct answer answer;
    int device;

    if (argc != 6)
        usage();
    request.root_key_select = number(argv[1]);
    request.guest_field_select = number(argv[2]);
    request.vmpl = number(argv[3]);
    request.guest_svn = number(argv[4]);
    request.tcb_version = number(argv[5]);
    call.req_data = (unsigned long)&request;
    call.resp_data = (unsigned long)&response;

    device = open("/dev/sev-guest", O_RDWR);
    if (device < 0 || ioctl(device, SNP_GET_DERIVED_KEY, &call)) {
        fprintf(stderr, "snp-key: /dev/sev-guest: %s\n", strerror(errno));
        return FAILED;
    }
    memcpy(&answer, response.data, sizeof(answer));
    if (answer.status) {
        fprintf(stderr, "snp-key: the secure processor answers %#x\n", answer.status);
        return FAILED;
    }
    for (size_t i = 0; i < sizeof(answer.key); i++)
        printf("%02x", answer.key[i]);
    printf("\n");
    return 0;
}
