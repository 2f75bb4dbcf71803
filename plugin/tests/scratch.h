// SPDX-License-Identifier: GPL-2.0-or-later
// Paths for the files of a test program that runs beside others of its kind.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

namespace rmpopt
{

/// `name` in a directory that belongs to this process alone and goes when it ends: the same tests
/// run at the same time with and without sanitizers. Not for several threads at once.
inline std::string scratch_path(const std::string &name)
{
    struct directory {
        directory()
        {
            std::string place = std::filesystem::temp_directory_path() / "plugin-test-XXXXXX";
            if (mkdtemp(place.data()) == nullptr) {
                throw std::runtime_error("no directory can be made like " + place);
            }
            path = place;
        }
        ~directory()
        {
            std::error_code ignored;
            std::filesystem::remove_all(path, ignored);
        }
        directory(const directory &) = delete;
        directory &operator=(const directory &) = delete;

        std::filesystem::path path;
    };
    static const directory own;
    return own.path / name;
}

} // namespace rmpopt
