// SPDX-License-Identifier: GPL-2.0-or-later
#include "qemu/symbols.h"

#include <link.h>

namespace rmpopt
{

qemu_symbol *qemu_symbol::first_ = nullptr;

std::string missing_symbols()
{
    std::string missing;
    for (qemu_symbol *s = qemu_symbol::first_; s != nullptr; s = s->next_) {
        s->address_ = dlsym(RTLD_DEFAULT, s->name_);
        if (s->address_ == nullptr) {
            missing.append(missing.empty() ? "" : ", ").append(s->name_);
        }
    }
    return missing;
}

std::size_t size_of_object(const void *address)
{
    Dl_info info;
    void *found = nullptr;
    const int ok = dladdr1(address, &info, &found, RTLD_DL_SYMENT);
    const auto *symbol = static_cast<const ElfW(Sym) *>(found);
    return ok != 0 && info.dli_saddr == address && symbol != nullptr ? symbol->st_size : 0;
}

} // namespace rmpopt
