# Which of the two root file systems starts. U-Boot runs this from the boot
# partition, on a Pi and in QEMU. What it keeps is told in internal/slots: two
# files written in turn, because U-Boot's own environment is one file, and a
# power cut while it is written would forget which slot is good.
#
# The same words are tested by U-Boot itself: go test ./build/boot

if test "${board}" != qemu-arm; then
	# A Pi's own addresses are for smaller kernels: Debian's, unpacked, would
	# be written over this script.
	setenv kernel_addr_r 0x01000000; setenv ramdisk_addr_r 0x0a000000; setenv pxefile_addr_r 0x09f00000
fi
setenv scratch ${pxefile_addr_r}
setenv dev "${devtype} ${devnum}"
setenv vars "seq order A_left A_good B_left B_good"
setenv order "A B"; setenv A_left 3; setenv B_left 3; setenv A_good 0; setenv B_good 0
setenv seq 0; setenv seq1 0; setenv next 0

if load ${dev}:1 ${scratch} slots.1; then
	if env import -c ${scratch} ${filesize} ${vars}; then setenv seq1 ${seq}; fi
fi
# Read in second, so that all of it counts, unless the other one is newer.
setenv seq 0
if load ${dev}:1 ${scratch} slots.0; then
	if env import -c ${scratch} ${filesize} seq; then setenv next 1; fi
fi
if itest.l 0x${seq1} -gt 0x${seq}; then
	setenv seq ${seq1}; setenv next 0
elif test ${next} = 1; then
	env import -c ${scratch} ${filesize} ${vars}
fi

setenv slot
for s in ${order}; do
	if test -z "${slot}"; then
		if test ${s} = A; then setenv left ${A_left}; setenv part 2; else setenv left ${B_left}; setenv part 3; fi
		if itest.b 0x${left} -gt 0; then
			setexpr left ${left} - 1
			if test ${s} = A; then setenv A_left ${left}; else setenv B_left ${left}; fi
			# The try is counted before it is made, and kept even if this
			# slot's kernel turns out to be missing.
			setexpr seq ${seq} + 1
			env export -c -s 0x200 ${scratch} ${vars}
			setenv try 1
			if fatwrite ${dev}:1 ${scratch} slots.${next} 200; then
				setexpr next 1 - ${next}
			elif test ${s}${A_good}${B_good} = A01 -o ${s}${A_good}${B_good} = B10; then
				# A trial that is not counted would never end.
				echo "tidegate: slot ${s} is not tried, because that cannot be written down"
				setenv try 0
			fi
			if test ${try} = 1; then
				echo "tidegate: slot ${s}, ${left} tries left"
				if load ${dev}:${part} ${kernel_addr_r} /boot/vmlinuz; then
					if load ${dev}:${part} ${ramdisk_addr_r} /boot/initrd.img; then
						setenv slot ${s}; setenv initrd_size ${filesize}
					fi
				fi
				if test -z "${slot}"; then echo "tidegate: slot ${s} holds no kernel"; fi
			fi
		fi
	fi
done

if test -z "${slot}"; then
	# Neither is left: begin again, with what was good once if there is any.
	echo "tidegate: no slot is left, beginning again"
	setenv A_left 0; setenv B_left 0
	if test ${A_good} = 1; then setenv A_left 3; fi
	if test ${B_good} = 1; then setenv B_left 3; fi
	if test ${A_good}${B_good} = 00; then setenv A_left 3; setenv B_left 3; fi
	setexpr seq ${seq} + 1
	env export -c -s 0x200 ${scratch} ${vars}
	fatwrite ${dev}:1 ${scratch} slots.${next} 200
	sleep 5
	reset
fi

if test -z "${fdt_addr}"; then setenv fdt_addr ${fdtcontroladdr}; fi
# The last one is where services write.
if test "${board}" = qemu-arm; then setenv console "console=ttyAMA0"; else setenv console "console=tty1 console=ttyS1,115200"; fi
# Words for the kernel from whoever has the card in his hands: extra=...
setenv extra
if test -e ${dev}:1 extra.txt; then
	if load ${dev}:1 ${scratch} extra.txt; then env import -t ${scratch} ${filesize} extra; fi
fi
part uuid ${dev}:${part} uuid
# Not rootwait: a kernel whose initrd is broken must panic, and so restart, and
# not wait for a disk for ever.
# Names of interfaces that stay when a board is replaced; no security modules
# for which there are no rules, which saves a second or two.
setenv bootargs "${console} root=PARTUUID=${uuid} ro panic=10 rauc.slot=${slot} tidegate.from=${devtype} net.ifnames=0 lsm=landlock,yama quiet ${extra}"
booti ${kernel_addr_r} ${ramdisk_addr_r}:${initrd_size} ${fdt_addr}
echo "tidegate: slot ${slot} does not start"
reset
