// SPDX-License-Identifier: GPL-2.0-or-later
// QEMU's functions and objects, by the names under which a build with modules exports them. A file
// that needs one declares it, with its type and name, and that is all: each symbol adds itself to
// the list that missing_symbols() goes through. QEMU promises none of them, so a QEMU without one
// is refused before anything is called.
#pragma once

#include <algorithm>
#include <cstring>
#include <dlfcn.h>
#include <span>
#include <string>

namespace rmpopt
{

/// Only for objects that live as long as the plugin. The name is found by missing_symbols().
class qemu_symbol
{
  public:
    explicit qemu_symbol(const char *name) : name_(name), next_(first_) { first_ = this; }
    qemu_symbol(const qemu_symbol &) = delete;
    qemu_symbol &operator=(const qemu_symbol &) = delete;

    const char *name() const { return name_; }
    void *address() const { return address_; }

  private:
    friend std::string missing_symbols();

    static qemu_symbol *first_;
    const char *name_;
    void *address_ = nullptr;
    qemu_symbol *next_;
};

/// A variable.
using qemu_object = qemu_symbol;

/// A function; called like one.
template <class F> class qemu_function;
template <class R, class... A> class qemu_function<R(A...)> : public qemu_symbol
{
  public:
    using qemu_symbol::qemu_symbol;

    R operator()(A... arguments) const
    {
        return reinterpret_cast<R (*)(A...)>(address())(arguments...);
    }
};

/// Finds all symbols. Returns the names of those that QEMU does not export, separated by commas;
/// until it has returned an empty string none may be used. Any thread, once.
std::string missing_symbols();

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
