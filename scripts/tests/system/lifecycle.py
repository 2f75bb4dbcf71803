# SPDX-License-Identifier: GPL-2.0-or-later
"""How SNP on a Linux host ends and begins again; guest-tests/linux/lifecycle.sh is the guest's part."""
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rmpopt_cli.base.errors import OK
from rmpopt_cli.base.paths import BUILD, CHECKOUT, PROGRAM
from rmpopt_cli.base.shell import last_line, output
from .suites import Check, Checks

FILES = (CHECKOUT / "guest-tests" / "linux" / "lifecycle.sh", BUILD / "guest-tests" / "snp-lifecycle")
TAKES_AT_MOST = 400

AGAIN = "msr.allow_writes=on kvm.enable_virt_at_load=0"  # to initialise SNP again with everything built in
X86_SHUTDOWN = ("--policy", "x86-snp-shutdown=on")

UP = {"psp.state": "init", "psp.snp_state": "init", "snp_cpus": "0-3", "rmpopt_cpus": "0-3", "counters.rmp_faults": 0}
# What a crashed kernel leaves behind: SNP_EN, but neither firmware nor RMPOPT in use.
CRASHED = {**UP, "psp.state": "uninit", "psp.snp_state": "uninit", "rmpopt_cpus": ""}


@dataclass(frozen=True)
class Scenario:
    """A scenario of lifecycle.sh, and what the plugin must report in the end."""
    name: str
    scenario: str
    append: str = ""
    words: tuple[str, ...] = ()
    starts: int = 1
    second_kernel: bool = False  # the guest needs an image of its kernel
    plugin: dict[str, object] = field(default_factory=lambda: UP)


SCENARIOS = (
    Scenario("legacy shutdown and SNP_INIT_EX, three times", "reload", AGAIN),
    Scenario("full shutdown and SNP_INIT_EX, three times", "reload", f"{AGAIN} rmpopt.x86_shutdown", X86_SHUTDOWN),
    Scenario("modules unloaded and loaded, psp_init_on_probe=0", "modules", words=("--kernel", "debian"),
             plugin={**UP, "rmpopt_cpus": ""}),
    Scenario("psp_init_on_probe=0", "deferred", "ccp.psp_init_on_probe=0"),
    Scenario("reboot, then reset", "reboot", starts=3),
    Scenario("kexec", "kexec", f"{AGAIN} retain_initrd", starts=2, second_kernel=True),
    Scenario("kexec, full shutdown", "kexec", f"{AGAIN} retain_initrd rmpopt.x86_shutdown", X86_SHUTDOWN, 2, True),
    Scenario("panic and kdump", "panic", "retain_initrd crashkernel=256M", ("--mem", "3G"), 2, True, CRASHED),
    Scenario("panic and kdump, full shutdown", "panic", "retain_initrd crashkernel=256M rmpopt.x86_shutdown",
             (*X86_SHUTDOWN, "--mem", "3G"), 2, True, {**CRASHED, "snp_cpus": ""}),
)


def _command(scenario: Scenario, image: Path | None) -> list[str | Path]:
    files = [*FILES, *([image] if image else [])]
    return [PROGRAM, "boot", "--json", *scenario.words, "--append", scenario.append, "--reboots",
            str(scenario.starts - 1), *(word for path in files for word in ("--file", path)),
            "--", f"sh /root/lifecycle.sh {scenario.scenario}"]


def _value(report: dict, path: str) -> object:
    found: object = report
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _problem(scenario: Scenario, status: int, result: dict) -> str | None:
    lines = result.get("output", "").splitlines()
    failed = next((line for line in lines if line.startswith(("not ok", "Bail out!"))), "")
    if status != OK:
        return f"status {status}: {failed or result.get('message', '')}"
    if result["starts"] != scenario.starts:
        return f"{result['starts']} kernels instead of {scenario.starts}"
    differing = {path: _value(result["plugin"], path) for path, wanted in scenario.plugin.items()
                 if _value(result["plugin"], path) != wanted}
    return f"the plugin reports {differing}" if differing else None


def _check(scenario: Scenario, reference_image: Callable[[], Path]) -> Check:
    def call() -> str | None:
        image = reference_image() if scenario.second_kernel else None
        status, text, problems = output(_command(scenario, image), timeout=TAKES_AT_MOST)
        try:
            problem = _problem(scenario, status, json.loads(text))
        except ValueError:
            problem = f"status {status}: {last_line(problems)}"
        if problem:
            sys.stderr.write(problems)
        return problem
    return call


def lifecycle_tests(reference_image: Callable[[], Path]) -> Checks:
    """`reference_image` finds the image of the kernel that boot boots by default."""
    return [(f"lifecycle/{scenario.name}", _check(scenario, reference_image)) for scenario in SCENARIOS]
