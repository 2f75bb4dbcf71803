// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/ticker.h"

namespace rmpopt
{

void ticker::start(std::chrono::milliseconds period, std::function<void()> f)
{
    thread_ = std::thread([this, period, f = std::move(f)] {
        std::unique_lock lock(lock_);
        while (!wake_.wait_for(lock, period, [this] { return stop_; })) {
            lock.unlock();
            f();
            lock.lock();
        }
    });
}

void ticker::stop()
{
    if (!thread_.joinable()) {
        return;
    }
    {
        const std::scoped_lock lock(lock_);
        stop_ = true;
    }
    wake_.notify_all();
    thread_.join();
}

} // namespace rmpopt
