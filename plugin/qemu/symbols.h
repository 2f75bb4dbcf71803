// SPDX-License-Identifier: GPL-2.0-or-later
// What the files of the adapter share: QEMU's symbols and tables of function pointers.
#pragma once

#include <algorithm>
#include <cstring>
#include <dlfcn.h>
#include <span>
#include <string>

namespace rmpopt
{

/// Sets `pointer` to QEMU's function or object of that name; otherwise adds the name to `missing`.
template <class P> void resolve(P &pointer, const char *name, std::string &missing)
{
    void *address = dlsym(RTLD_DEFAULT, name);
    std::memcpy(&pointer, &address, sizeof address);
    if (address == nullptr) {
        missing.append(missing.empty() ? "" : ", ").append(name);
    }
}

template <class F> void *address_of(F *function)
{
    void *address = nullptr;
    std::memcpy(&address, &function, sizeof address);
    return address;
}

/// The only word of `words` that holds `value`; nullptr when there is none or more than one.
inline void **find_word(std::span<void *> words, const void *value)
{
    const auto first = std::ranges::find(words, value);
    if (first == words.end() || std::find(first + 1, words.end(), value) != words.end()) {
        return nullptr;
    }
    return &*first;
}

/// Size of the object that QEMU exports at `address`; 0 when it exports none.
std::size_t size_of_object(const void *address);

} // namespace rmpopt
