// SPDX-License-Identifier: GPL-2.0-or-later
#include "qemu/queued_work.h"

#include "qemu/symbols.h"
#include "qemu/vcpu.h"

#include <memory>

namespace rmpopt
{

namespace
{

namespace qemu
{
using queue = void(void *cpu, void (*work)(void *cpu, void *data), void *data);
qemu_function<queue> async_safe_run_on_cpu("async_safe_run_on_cpu");
qemu_function<queue> async_run_on_cpu("async_run_on_cpu");
} // namespace qemu

struct job {
    void (*work)(void *data);
    void *data;

    static void run(void *, void *job_of_ours)
    {
        const std::unique_ptr<job> self(static_cast<job *>(job_of_ours));
        self->work(self->data);
    }
};

} // namespace

void between_blocks(void (*alone)(void *data), void (*after)(void *data), void *data)
{
    void *cpu = vcpu::on_vcpu_thread() ? *vcpu::current_slot() : vcpu::all().front();
    // QEMU takes a vCPU's jobs in the order in which they were queued.
    qemu::async_safe_run_on_cpu(cpu, job::run, new job{alone, data});
    qemu::async_run_on_cpu(cpu, job::run, new job{after, data});
}

} // namespace rmpopt
