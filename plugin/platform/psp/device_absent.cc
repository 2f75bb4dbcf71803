// SPDX-License-Identifier: GPL-2.0-or-later
// Replaces device.cc in builds without libvfio-user.
#include "platform/psp/device.h"

namespace rmpopt::psp
{

class device::server
{
};

device::device() = default;
device::~device() = default;

// NOLINTNEXTLINE(performance-unnecessary-value-param): the signature is device.cc's
std::string device::start(const std::string &path, callbacks)
{
    return "psp=" + path +
           ": this plugin was built without the secure processor; build it again with "
           "-Dlibvfio_user_src=DIR or leave psp= out";
}

void device::stop() {}

bool device::available()
{
    return false;
}

} // namespace rmpopt::psp
