// SPDX-License-Identifier: GPL-2.0-or-later
// A thread that calls a function periodically.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace rmpopt
{

/// start() and stop() belong to one thread.
class ticker
{
  public:
    ~ticker() { stop(); }

    /// Calls `f` every `period` (host time) until stop().
    void start(std::chrono::milliseconds period, std::function<void()> f);
    /// Once it returns `f` is not called any more. Idempotent.
    void stop();
    bool running() const { return thread_.joinable(); }

  private:
    std::mutex lock_;
    std::condition_variable wake_;
    bool stop_ = false;
    std::thread thread_;
};

} // namespace rmpopt
