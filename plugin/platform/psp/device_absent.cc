// SPDX-License-Identifier: GPL-2.0-or-later
// Stands in for psp_device.cc in builds without libvfio-user.
#include "platform/psp/device.h"

namespace rmpopt
{

class psp_device::server
{
};

psp_device::psp_device() = default;
psp_device::~psp_device() = default;

// NOLINTNEXTLINE(performance-unnecessary-value-param): the signature is psp_device.cc's
std::string psp_device::start(const std::string &path, callbacks)
{
    return "psp=" + path +
           ": this plugin was built without the secure processor; build it again with "
           "-Dlibvfio_user_src=DIR or leave psp= out";
}

void psp_device::attach_firmware(hw::firmware &) {}

void psp_device::stop() {}

bool psp_device::available()
{
    return false;
}

} // namespace rmpopt
