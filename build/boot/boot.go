// Package boot has the U-Boot script that chooses a root slot.
//
//	U-Boot -> boot.scr -> slots.0, slots.1 -> slot A or B: /boot/vmlinuz, /boot/initrd.img
//
// The same script runs on a Pi and in QEMU's virt machine, which is why it can
// be tested in seconds. An image needs of this package:
//
//	boot partition   boot.scr (Script), slots.0 (slots.Fresh), slots.1 (zeros, slots.Size)
//	every root       /etc/rauc/system.conf (Config), /usr/lib/tidegate/rauc-bootloader (Backend, mode 0755),
//	                 /etc/rauc/keyring.pem; rauc-mark-good.service masked, since tidegate-confirm.service decides
//	disk             the signature DiskID; partitions 1 boot, 2 slot A, 3 slot B, 4 data
package boot

import (
	_ "embed"
	"encoding/binary"
	"hash/crc32"
)

// DiskID is the signature in the partition table, by which the initrd knows the
// card, whatever the disk is called. Every card has it: of two in a machine the
// initrd takes the one of the kind that U-Boot started from.
const DiskID = 0x71de6a7e

//go:embed boot.cmd
var commands string

// Config is RAUC's.
//
//go:embed system.conf
var Config string

// Backend is what RAUC runs to read and write the state of the slots.
//
//go:embed rauc-bootloader
var Backend string

// Script returns the content of boot.scr: the script in the form that U-Boot's
// `source` takes (a legacy image: include/image.h of U-Boot). It is the same
// for the same commands, so it has no date.
func Script() []byte {
	const header, magic = 64, 0x27051956
	const linux, arm64, script, uncompressed = 5, 22, 6, 0
	// A table of sizes, ended by a zero, stands before the one script.
	data := binary.BigEndian.AppendUint32(nil, uint32(len(commands)))
	data = append(binary.BigEndian.AppendUint32(data, 0), commands...)
	b := make([]byte, header, header+len(data))
	binary.BigEndian.PutUint32(b[0:], magic)
	binary.BigEndian.PutUint32(b[12:], uint32(len(data)))
	binary.BigEndian.PutUint32(b[24:], crc32.ChecksumIEEE(data))
	copy(b[28:], []byte{linux, arm64, script, uncompressed})
	copy(b[32:], "tidegate slots")
	binary.BigEndian.PutUint32(b[4:], crc32.ChecksumIEEE(b)) // with zeros in its own place
	return append(b, data...)
}
