// SPDX-License-Identifier: GPL-2.0-or-later
// QEMU's Notifier: an entry in a list of those who are told of an event.
#pragma once

namespace rmpopt
{

struct notifier {
    void (*notify)(notifier *self, void *data);
    notifier *next = nullptr;
    notifier **pointer_to_this = nullptr;
};

} // namespace rmpopt
