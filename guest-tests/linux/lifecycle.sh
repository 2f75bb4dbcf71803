# SPDX-License-Identifier: GPL-2.0-or-later
# Shuts SNP down on a host and initialises it again. Runs in the guest, with /root/snp-lifecycle
# and, for kexec and panic, the kernel at /root/bzImage. Prints KTAP; exit status 0 if no case failed.
# A scenario that restarts the kernel goes on in the new kernel, as its stage 2.
# shellcheck disable=SC2317,SC2086,SC2154,SC1091 # functions called through check, names without blanks
#
# Words on the kernel's command line: rmpopt.x86_shutdown when firmware offers X86_SNP_SHUTDOWN;
# retain_initrd for kexec and panic; msr.allow_writes=on and kvm.enable_virt_at_load=0 for reload
# and kexec.
#
# usage: lifecycle.sh reload | modules | deferred | reboot | kexec | panic
scenario=$1
tool=/root/snp-lifecycle
table=/sys/kernel/debug/x86/rmpopt/rmpopt-table
nvram=/sys/bus/nvmem/devices/cmos_nvram0/nvmem
boot_byte=98 # of the CMOS memory; neither firmware nor kernel uses it
syscfg=c0010010 rmpopt_base=c0010139

count=0
failures=0

# check NAME COMMAND...
check() {
	count=$((count + 1))
	name=$1
	shift
	if problem=$("$@" 2>&1); then
		echo "ok $count $name"
	else
		failures=$((failures + 1))
		echo "# $* $problem"
		echo "not ok $count $name"
	fi
}

finish() {
	[ $failures -gt 0 ] && dmesg | tail -n 20 | sed 's/^/# /'
	echo "1..$count"
	exit $((failures > 0))
}

said() { [ "$(dmesg | grep -c "$1")" -eq "$2" ]; }
never_said() { ! dmesg | grep "$1"; }

no_damage() {
	never_said 'Leaking\|RMP violation\|BUG:\|WARNING:\|Oops\|shutdown failed\|unchecked MSR\|RMPOPT: exception'
}

# all_cpus INDEX MASK VALUE: what each CPU's MSR must be
all_cpus() {
	[ -e /dev/cpu/0/msr ] || return 0 # a module that is not loaded
	for cpu in /dev/cpu/[0-9]*; do
		value=$($tool msr "${cpu##*/}" "$1") || return 1
		[ $((0x$value & $2)) -eq $(($3)) ] || { echo "CPU ${cpu##*/}: $value"; return 1; }
	done
}

snp_is_on() { all_cpus $syscfg 0x1000000 0x1000000; }
snp_is_off() { all_cpus $syscfg 0x1000000 0; }
rmpopt_is_on() { all_cpus $rmpopt_base 1 1; }
rmpopt_is_off() { all_cpus $rmpopt_base 1 0; }
table_is_closed() { ! cat $table; }

# Waits, because a pass takes a moment.
optimised() {
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		grep -q 'CPU(s): [0-9]' $table && return 0
		sleep 0.5
	done
	cat $table
	return 1
}

check_running() {
	check "$1: SNP is initialised $2 times" said 'SEV-SNP API:' "$2"
	check "$1: SNP_EN on all CPUs" snp_is_on
	if [ -e $table ]; then
		check "$1: RMPOPT enabled" rmpopt_is_on
		check "$1: regions optimised" optimised
	fi
	check "$1: no damage" no_damage
}

has_word() { grep -q "$1" /proc/cmdline; }

check_shut_down() {
	if has_word rmpopt.x86_shutdown; then
		check "$1: SNP_EN cleared" snp_is_off
		[ -e $table ] && check "$1: RMPOPT disabled" rmpopt_is_off
	else
		check "$1: SNP_EN stays" snp_is_on
		[ -e $table ] && check "$1: RMPOPT stays enabled" rmpopt_is_on
	fi
	[ -e $table ] && check "$1: rmpopt-table closed" table_is_closed
	check "$1: no damage" no_damage
}

initialise_again() {
	if has_word rmpopt.x86_shutdown; then $tool sev-init; else $tool sev-init-again; fi
}

# For a kernel with everything built in, which has no modules to unload.
reload() {
	check_running 'boot' 1
	for round in 1 2 3; do
		check "round $round: firmware is shut down" $tool shut-down
		check_shut_down "round $round"
		check "round $round: a guest initialises SNP" initialise_again
		check_running "round $round" $((round + 1))
	done
}

# Set by init for this boot, dependencies first: a list of files in /.rmpopt/modules.
unload_modules() {
	reversed=
	for module in $modules; do reversed="${module%.ko} $reversed"; done
	for module in $reversed; do rmmod "$module" 2>/dev/null; done
	! grep '^ccp \|^kvm_amd ' /proc/modules
}

# load_modules PARAMETER-OF-CCP...
load_modules() {
	for module in $modules; do
		case $module in
		ccp.ko) insmod /.rmpopt/modules/"$module" "$@" ;;
		*) insmod /.rmpopt/modules/"$module" ;;
		esac || return 1
	done
}

modules() {
	. /.rmpopt/config
	check_running 'boot' 1
	for round in 1 2; do
		check "round $round: modules go" unload_modules
		check_shut_down "round $round"
		check "round $round: modules come" load_modules
		check_running "round $round" $((round + 1))
	done
	check "deferred: modules go" unload_modules
	check "deferred: modules come" load_modules psp_init_on_probe=0
	deferred 4 3
}

# deferred SNP-INITS SEV-INITS: psp_init_on_probe=0 puts off INIT, not SNP_INIT_EX
deferred() {
	check_running 'deferred' "$1"
	check 'deferred: SEV is not initialised' said 'SEV API:' "$2"
	check 'deferred: a guest initialises SEV' $tool sev-init
	check 'deferred: SEV is initialised' said 'SEV API:' $(($2 + 1))
	check_running 'deferred, after a guest' "$1"
}

boots_so_far() { dd if=$nvram bs=1 skip=$boot_byte count=1 2>/dev/null | tr -cd '12'; }
count_boot() { printf %s "$1" | dd of=$nvram bs=1 seek=$boot_byte conv=notrunc 2>/dev/null; }

# First an orderly reboot, then a reset that no driver is told of.
reboot_machine() {
	case $(boots_so_far) in
	'')
		check_running 'first boot' 1
		check 'first boot: counted' count_boot 1
		[ $failures -eq 0 ] && reboot -f
		;;
	1)
		check_running 'second boot' 1
		check 'second boot: a guest' $tool sev-init
		check 'second boot: counted' count_boot 2
		[ $failures -eq 0 ] && echo b >/proc/sysrq-trigger
		;;
	2)
		check_running 'third boot' 1
		check 'third boot: a guest' $tool sev-init
		check 'third boot: no damage' no_damage
		;;
	esac
}

# load HOW WORDS: this kernel, again, with the same initramfs (kept by retain_initrd)
load() { $tool "$1" /root/bzImage /sys/firmware/initrd "rmpopt.stage=2 $2 $(cat /proc/cmdline)"; }

kexec() {
	if ! has_word rmpopt.stage=2; then
		check_running 'first kernel' 1
		check 'first kernel: loads another' load load ''
		[ $failures -eq 0 ] && $tool kexec
		finish
	fi
	check_running 'second kernel' 1
	check 'second kernel: offers SNP' said 'SEV-SNP enabled (ASIDs' 1
	check 'second kernel: a guest' $tool sev-init
	check 'second kernel: firmware is shut down' $tool shut-down
	check_shut_down 'second kernel'
	check 'second kernel: a guest again' initialise_again
	check_running 'second kernel, again' 2
}

vmcore_is_elf() { [ "$(dd if=/proc/vmcore bs=1 skip=1 count=3 2>/dev/null)" = ELF ]; }

# Reads all memory of the kernel that has crashed.
vmcore_is_readable() { cat /proc/vmcore >/dev/null; }

panic() {
	if ! has_word rmpopt.stage=2; then
		check_running 'first kernel' 1
		check 'first kernel: loads one for a crash' load load-crash 'nr_cpus=1 reset_devices'
		[ $failures -eq 0 ] && echo c >/proc/sysrq-trigger
		finish
	fi
	check 'capture kernel: no SNP_INIT_EX' never_said 'SEV-SNP API:'
	check_shut_down 'capture kernel'
	check 'capture kernel: vmcore' vmcore_is_elf
	check 'capture kernel: all of vmcore' vmcore_is_readable
	check 'capture kernel: no damage' no_damage
}

echo 'KTAP version 1'
case $scenario in
reload) reload ;;
modules) modules ;;
deferred) deferred 1 0 ;;
reboot) reboot_machine ;;
kexec) kexec ;;
panic) panic ;;
*) echo "Bail out! no scenario '$scenario'" && exit 1 ;;
esac
finish
