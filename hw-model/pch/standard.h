// SPDX-License-Identifier: GPL-2.0-or-later
// Precompiled for the model. Only headers that are not ours, so that a change of ours compiles what
// it must and no more. Each file still includes what it uses: CI compiles without this one, too.
#include <algorithm>
#include <array>
#include <atomic>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>
