# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens in the life of a real SNP guest, in one boot: devices that read and write its memory through shared
buffers, NMIs and interrupts while it works, a VMM that stops it again and again, a crash and a new beginning."""
import hashlib
import os
from pathlib import Path

from .command import Checks, Done, rmpopt, scratch

ROUNDS = 20
DATA = "/data"  # where host and QEMU see the test's files
DISK, SERVED, PORT = "disk", "served", "port"
DISK_BYTES, SERVED_BYTES = 16 << 20, 200_000
MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "virtio_console", "virtio_rng")
SHARED = "disable-legacy=on,iommu_platform=on"
# The guest has its VMM's monitor at a port of its own, so that it can have itself stopped when it likes.
DEVICES = (f"-drive if=none,id=disk,file={DATA}/{DISK},format=raw -device virtio-blk-pci,drive=disk,{SHARED}",
           f"-netdev user,id=net,tftp={DATA} -device virtio-net-pci,netdev=net,romfile=,{SHARED}",
           f"-device virtio-rng-pci,{SHARED}",
           f"-device virtio-serial-pci,{SHARED}",
           "-chardev socket,id=server,path=/tmp/monitor,server=on,wait=off -mon chardev=server,mode=control",
           "-chardev socket,id=client,path=/tmp/monitor -device virtserialport,nr=1,chardev=client",
           f"-chardev file,id=port,path={DATA}/{PORT} -device virtserialport,nr=2,chardev=port")

# The first life ends in a crash. The second one begins where the disk says that there was a first one.
GUEST = f"""
exec 3<>"$(echo /dev/vport*p1)"
cat <&3 >/tmp/told & reader=$!
tell() {{ printf '{{"execute": "%s"%s}}\\n' "$1" "$2" >&3; }}
on_reboot() {{ tell set-action ", \\"arguments\\": {{\\"reboot\\": \\"$1\\"}}"; }}
data() {{ dd if=/dev/vda bs=1M count=8 2>/dev/null; }}
tell qmp_capabilities
echo 1 >/proc/sys/kernel/sysrq

if [ "$(dd if=/dev/vda bs=1M skip=8 count=1 2>/dev/null | head -c 5)" != again ]; then
	dd if=/dev/urandom of=/tmp/x bs=1M count=8 2>/dev/null
	dd if=/tmp/x of=/dev/vda bs=1M conv=fsync 2>/dev/null
	echo 3 >/proc/sys/vm/drop_caches
	data | cmp - /tmp/x && echo read back
	printf again | dd of=/dev/vda bs=1M seek=8 conv=fsync 2>/dev/null
	on_reboot reset
	echo c >/proc/sysrq-trigger
fi

ip addr add 10.0.2.15/24 dev eth0 && ip link set eth0 up
tftp -g -b 1400 -r {SERVED} -l /tmp/got 10.0.2.2 && md5sum </tmp/got
head -c 64 /dev/hwrng | wc -c
echo through a port >"$(echo /dev/vport*p2)"
dd if=/dev/urandom of=/tmp/y bs=1M count=2 2>/dev/null
for worker in 1 2; do
	while [ ! -e /tmp/end ]; do md5sum </tmp/y; sleep 0.001; done >/tmp/sums$worker & workers="$workers $!"
done
while [ ! -e /tmp/end ]; do echo 1 >/proc/sys/vm/drop_caches; data | md5sum; done >/tmp/sums & workers="$workers $!"
i=0
while [ $i -lt {ROUNDS} ]; do
	i=$((i + 1))
	echo l >/proc/sysrq-trigger
	printf '%s\\n' '{{"execute": "stop"}}{{"execute": "cont"}}' >&3 # at once: it will not come to a second write
	sleep 0.05
done
touch /tmp/end
wait $workers
on_reboot shutdown
sort -u /tmp/sums
sort -u /tmp/sums1 /tmp/sums2 | wc -l
grep -o '"event": "[A-Z]*"' /tmp/told | sort | uniq -c | awk '{{print $3, $1}}'
awk '/NMI/ {{print "NMI", $2 + $3}}' /proc/interrupts
dmesg | grep -E 'WARNING:|BUG:|detected stall|lockup'
kill $reader
"""


def _lives() -> str | None:
    with scratch() as files, scratch() as report:
        disk, served = Path(files, DISK), Path(files, SERVED)
        disk.write_bytes(bytes(DISK_BYTES))
        served.write_bytes(os.urandom(SERVED_BYTES))
        modules = [f"--module={name}" for name in MODULES]
        done = rmpopt("guest", "boot", "--smp", "2", "--append", "loglevel=1", f"--qemu-opts={' '.join(DEVICES)}",
                      *modules, f"--host=--share {files}:{DATA}:rw --watch-fatal --report {report}", "--", GUEST)
        return done.failure or _problem(done, disk, served, Path(files, PORT))


def _problem(done: Done, disk: Path, served: Path, port: Path) -> str | None:
    on_disk = f"{hashlib.md5(disk.read_bytes()[:8 << 20]).hexdigest()}  -"
    expected = ["read back", f"{hashlib.md5(served.read_bytes()).hexdigest()}  -", "64", on_disk, "1",
                f'"RESUME" {ROUNDS}', f'"STOP" {ROUNDS}', f"NMI {ROUNDS}"]
    if done.text.splitlines() != expected:
        return f"output: {done.text!r}, not {expected}"
    if "through a port" not in port.read_text():
        return f"the port got {port.read_text()!r}"
    return None if "Kernel and plugin agree" in done.told else "kernel and plugin do not agree"


def tests() -> Checks:
    return [("snp guests/devices, NMIs, stops, a crash and a new beginning", _lives)]
