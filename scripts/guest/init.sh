# SPDX-License-Identifier: GPL-2.0-or-later
# First process of the guest. It speaks to the host on the second serial port, in sections
# "NUL @TOKEN begin NAME" ... "NUL @TOKEN end NAME STATUS" and words "NUL @TOKEN word ...".
# With a NUL first, the host need not keep back the end of each line to see what follows.
# The first serial port is left to the kernel's console.
# shellcheck disable=SC2154  # variables that come from the config file
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/.rmpopt/bin
export PATH HOME=/ TERM="${TERM:-linux}"
home=/.rmpopt
enter=
directory=/
table=/sys/kernel/debug/x86/rmpopt/rmpopt-table

mkdir -p /proc /sys /dev /tmp /run
mount -t proc proc /proc 2>/dev/null
mount -t sysfs sysfs /sys 2>/dev/null
mount -t devtmpfs devtmpfs /dev 2>/dev/null
mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null
[ -c /dev/ttyS1 ] || mknod /dev/ttyS1 c 4 65
[ -c /dev/null ] || mknod /dev/null c 1 3

# Set by the host for this boot: token, action, wait, modules, pasted, await, kept, columns, rows.
# shellcheck disable=SC1091
. $home/config

exec 3>/dev/ttyS1
stty -F /dev/ttyS1 raw -echo

word() { printf '\0@%s %s\n' "$token" "$*" >&3; }

# section NAME COMMAND...: the command's output, its status, and nothing in between
section() {
	name=$1
	shift
	word begin "$name"
	"$@" >&3 2>&1 3>&-
	status=$?
	word end "$name" "$status"
	return $status
}

load_modules() {
	for module in $modules; do
		problem=$(insmod "$home/modules/$module" 2>&1) || word module-failed "$module" "$problem"
	done
}

facts() {
	echo "release $(uname -r)"
	read -r uptime _ </proc/uptime
	echo "uptime $uptime"
	for cpu in /sys/devices/system/cpu/cpu[0-9]*; do
		siblings=$(cat "$cpu/topology/thread_siblings_list" 2>/dev/null)
		echo "cpu ${cpu##*/cpu} $siblings"
	done
}

# It cannot be opened while RMPOPT is not in use.
has_table() { cat $table >/dev/null 2>&1; }

# The table counts as settled once two looks agree and the pass is known to be over: some region
# is optimised, or our kernel says so. Of other kernels, three seconds without a change must do.
settle() {
	has_table || return 0
	seen=
	same=0
	looks=0
	while [ $looks -lt $((wait * 5)) ]; do
		now=$(cat $table)
		if [ "$now" = "$seen" ]; then same=$((same + 1)); else same=0; fi
		[ $same -ge 15 ] && return 0
		[ $same -ge 1 ] && pass_is_over && return 0
		seen=$now
		looks=$((looks + 1))
		sleep 0.2
	done
}

pass_is_over() {
	case $now in
	*": "[0-9]*) return 0 ;;
	esac
	dmesg | grep -q 'RMPOPT: pass over'
}

# Linux 7.4 makes its first pass 10 s after SNP_INIT. Who looks at a boot alone, or requires RMPOPT, wants to see it.
await_first_pass() {
	rmpopt-mark --due || return 0
	seconds=15
	while rmpopt-mark --due; do
		[ $seconds -eq 0 ] && word no-pass && return 0
		seconds=$((seconds - 1))
		sleep 1
	done
	show_table
}

# Someone who pasted the command has no host that reads sections: show it on the console, too.
show_table() {
	has_table || return 0
	section table cat $table
	[ "$pasted" ] && cat $table >/dev/ttyS0
}

# run PROGRAM...: in the user's userland, if they brought one
run() {
	# shellcheck disable=SC2016  # it is the inner shell that knows the arguments
	$enter sh -c 'cd "$1" && shift && exec "$@"' sh "$directory" "$@"
}

shell_on_console() {
	stty -F /dev/ttyS0 sane
	[ "$columns" ] && stty -F /dev/ttyS0 cols "$columns" rows "$rows"
	run setsid sh -c 'exec sh -i </dev/ttyS0 >/dev/ttyS0 2>&1' 3>&-
}

word hello
load_modules
section facts facts
settle
section dmesg dmesg
show_table
code=0
# shellcheck disable=SC1091
[ -f $home/bring ] && . $home/bring
case $action in
command)
	section output run sh $home/command
	code=$?
	for each in $kept; do
		[ -f "$top$each" ] && section "${each##*/}" cat "$top$each"
	done
	[ "$await" ] && await_first_pass
	show_table
	;;
shell)
	word shell
	shell_on_console
	code=$?
	show_table
	;;
init)
	word handover
	exec 3>&-
	exec /init
	;;
nothing) ;;
*) await_first_pass ;;
esac
section dmesg-end dmesg
word 'done' $code
# The host ends QEMU now, so that its report shows the state as it is; with a seed the plugin does, at this very
# instruction. Without either: power off.
rmpopt-mark --end
sleep 5
poweroff -f
