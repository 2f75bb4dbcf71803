#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Succeeds when this clang++ comes with libFuzzer, which Debian packages apart from it.
echo 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char *, unsigned long) { return 0; }' |
    "$1" -fsanitize=fuzzer,address,undefined -x c++ - -o /dev/null
