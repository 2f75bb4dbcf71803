// SPDX-License-Identifier: GPL-2.0-or-later
#include "platform/cpus.h"

#include "base/format.h"
#include "qemu/vcpu.h"

#include <map>

namespace rmpopt
{

namespace
{

std::string cpu_advice(const hw::cpu_model &p)
{
    return formatted("give QEMU a -cpu whose family is {} and whose model is {} to {}, with "
                     "-hypervisor,+svm,+npt (scripts/rmpopt boot --dry-run prints one)",
                     p.family, p.model_first, p.model_last);
}

} // namespace

std::string check_cpu(const hw::cpu_model &p)
{
    const vcpu cpu = vcpu::by_index(0);
    if (!cpu.is_amd()) {
        return "the guest CPU is not an AMD CPU; use -cpu EPYC-Turin or another EPYC model";
    }
    const cpuid_result r = cpu.native_cpuid(1, 0);
    const unsigned family = ((r.eax >> 8) & 0xf) + ((r.eax >> 20) & 0xff);
    const unsigned model = ((r.eax >> 4) & 0xf) | ((r.eax >> 12) & 0xf0);
    if (family != p.family || model < p.model_first || model > p.model_last) {
        return formatted("persona {} cannot be CPU family {} model {}; {}", p.name, family, model,
                         cpu_advice(p));
    }
    if ((r.ecx >> 31) != 0) {
        return "the guest CPU sets the hypervisor bit, and Linux then refuses to enable SNP; " +
               cpu_advice(p);
    }
    constexpr std::uint32_t svm = 1u << 2;
    if ((cpu.native_cpuid(0x80000001, 0).ecx & svm) == 0) {
        return "the guest CPU has no SVM; " + cpu_advice(p);
    }
    return {};
}

hw::topology read_topology(unsigned vcpus)
{
    hw::topology t;
    std::map<std::uint32_t, unsigned> core_numbers;
    for (unsigned i = 0; i < vcpus; ++i) {
        const cpuid_result r = vcpu::by_index(i).native_cpuid(0xb, 0);
        const std::uint32_t core_id = r.edx >> (r.eax & 0x1f);
        const auto number = static_cast<unsigned>(core_numbers.size());
        t.core_of_thread.push_back(core_numbers.emplace(core_id, number).first->second);
    }
    return t;
}

unsigned read_phys_bits()
{
    return vcpu::by_index(0).native_cpuid(0x80000008, 0).eax & 0xff;
}

} // namespace rmpopt
