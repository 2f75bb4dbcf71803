# SPDX-License-Identifier: GPL-2.0-or-later
# Mounts what the user brought into the guest. Part of init.sh: it sets $enter, with which programs run in the
# user's userland, and $top, where that is.
# shellcheck disable=SC2154,SC2034

must() {
	problem=$("$@" 2>&1) && return 0
	word cannot-bring "${problem:-$*}"
	return 1
}

mount_9p() { # TAG ro|rw MOUNT
	how=cache=mmap
	[ "$2" = ro ] && how=cache=loose
	must mount -t 9p -o "trans=virtio,version=9p2000.L,msize=524288,$how,$2" "$1" "$3"
}

bring_root() {
	top=$home/top
	mkdir -p $home/lower $home/upper $top
	mount_9p root ro $home/lower &&
		must mount -t tmpfs -o mode=755 tmpfs $home/upper &&
		mkdir $home/upper/files $home/upper/work &&
		must mount -t overlay -o "lowerdir=$home/lower,upperdir=$home/upper/files,workdir=$home/upper/work" \
			overlay $top || return 1
	mkdir -p $top/proc $top/sys $top/dev $top/tmp $top/run $top/root $top$home
	mkdir -p /dev/pts /dev/shm
	mount -t devpts devpts /dev/pts 2>/dev/null
	mount -t tmpfs tmpfs /dev/shm 2>/dev/null
	for each in proc sys dev; do
		must mount --rbind /$each $top/$each || return 1
	done
	for each in tmp run; do
		must mount -t tmpfs tmpfs $top/$each || return 1
	done
	must mount --bind $home $top$home || return 1
	for each in /root/*; do
		[ -e "$each" ] && cp -a "$each" $top/root/
	done
	# The root's own shell starts programs: busybox would take its own applets for them.
	echo 'exec "$@"' >$home/start
	# Bash is the better shell at a console.
	echo 'unset ENV; ! command -v bash >/dev/null || exec bash' >$home/interactive
	enter="env HOME=/root ENV=$home/interactive chroot $top /bin/sh $home/start"
}

bring_share() { # TAG ro|rw MOUNT
	must mkdir -p "$top$3" && mount_9p "$1" "$2" "$top$3"
}

# The addresses are those of QEMU's user network.
bring_net() {
	ip link set lo up
	for each in /sys/class/net/*; do
		device=${each##*/}
		[ "$device" = lo ] || break
	done
	[ "$device" = lo ] && word cannot-bring "no network device appeared" && return 1
	must ip link set "$device" up &&
		must ip addr add 10.0.2.15/24 dev "$device" &&
		must ip route add default via 10.0.2.2 || return 1
	mkdir -p "$top/etc"
	rm -f "$top/etc/resolv.conf"
	echo nameserver 10.0.2.3 >"$top/etc/resolv.conf"
}

# A kernel without these consoles still has the first one. A shell that ends is started anew.
bring_consoles() {
	number=0
	while [ "$number" -lt "$1" ]; do
		console=/dev/hvc$number
		[ -c $console ] || return
		stty -F $console sane
		while sleep 0.2; do
			run setsid sh -c "exec sh -i <$console >$console 2>&1"
		done </dev/null >/dev/null 2>&1 3>&- &
		number=$((number + 1))
	done
}

while read -r what first second third; do
	case $what in
	root) bring_root ;;
	share) bring_share "$first" "$second" "$third" ;;
	net) bring_net ;;
	consoles) consoles=$first ;;
	esac || { action=nothing code=125 && break; }
done <$home/brought
# Where the user stands, if the guest has that directory.
[ -d "$top$started" ] && directory=$started
[ "$consoles" ] && bring_consoles "$consoles"
