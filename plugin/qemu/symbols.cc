// SPDX-License-Identifier: GPL-2.0-or-later
#include "qemu/symbols.h"

#include <link.h>

namespace rmpopt
{

std::size_t size_of_object(const void *address)
{
    Dl_info info;
    void *found = nullptr;
    const int ok = dladdr1(address, &info, &found, RTLD_DL_SYMENT);
    const auto *symbol = static_cast<const ElfW(Sym) *>(found);
    return ok != 0 && info.dli_saddr == address && symbol != nullptr ? symbol->st_size : 0;
}

} // namespace rmpopt
