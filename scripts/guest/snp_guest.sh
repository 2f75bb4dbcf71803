# SPDX-License-Identifier: GPL-2.0-or-later
# The init of an SNP guest inside the emulated host. The first serial port is the console, and OVMF writes to the second
# as well; so the command's output goes to the third. The fourth says when init begins and when the command has ended,
# by the kernel's clock, with its status.
export PATH=/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for port in 2 3; do
	stty -F /dev/ttyS$port raw -echo
done
uptime() { read -r up _ </proc/uptime && echo "$up"; }
echo "init $(uptime)" >/dev/ttyS3
while read -r module; do
	insmod "/modules/$module" || echo "the guest's kernel refuses $module"
done </modules/order
mount -t configfs config /sys/kernel/config 2>/dev/null # where reports come from, if the kernel has it
cd /root || exit
sh /command </dev/null >/dev/ttyS2 2>&1
status=$?
echo "done $(uptime) $status" >/dev/ttyS3
reboot -f
