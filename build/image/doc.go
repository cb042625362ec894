// Package image builds the SD card's image for the Pi 3, 4, CM4 and Zero 2 W
// out of Debian's arm64 packages, checks it, and boots it in QEMU.
//
//	Debian's packages -> base root (cached by its inputs) --+
//	root/: units, scripts, configuration of the system    --+--> slot A (ext4)
//	the gateway                                           --+
//	firmware, U-Boot, device trees, boot.scr, overlays    -----> boot partition (FAT32)
//	MBR, two copies of the boot state, empty slot B, data -----> one file
//
// Packages are unpacked and never installed: no script of theirs runs, so
// nothing is emulated, and a build takes a minute or two instead of ten. What those scripts
// would have done is little and written here: users with fixed numbers, which
// services start, the authorities' bundle, the initrd.
//
// Neither loop devices nor mounts are needed, but the files must be root's:
// run it as root, or through fakeroot.
//
// # The card
//
//	0          MBR
//	1 MiB      boot state, copy 0 (4 KiB, U-Boot's redundant environment)
//	2 MiB      boot state, copy 1
//	4 MiB      1: FAT32 TIDEGATE, /boot/firmware
//	           2: ext4 root-a, the root file system, read-only
//	           3: ext4 root-b, empty in a fresh image
//	           4: ext4 data, /data; grows to the end of the card at first boot
package image
