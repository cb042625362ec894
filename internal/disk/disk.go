// Package disk knows what the kernel tells of the disk below a folder: which it
// is, what was written to it, and how worn it is.
package disk

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Of returns the name in /sys/block of the disk that holds a folder, by way of
// the mount table; the first card where that does not say (overlay, network);
// "" for none. root is "/", or a folder that looks like it; folder is in root.
func Of(root, folder string) string {
	mounts, _ := os.ReadFile(filepath.Join(root, "proc/self/mountinfo"))
	if number := mountedFrom(mounts, folder); number != "" {
		for _, pattern := range []string{"sys/block/*/dev", "sys/block/*/*/dev"} {
			for _, path := range glob(root, pattern) {
				if content, _ := os.ReadFile(path); strings.TrimSpace(string(content)) == number {
					rest, _ := filepath.Rel(filepath.Join(root, "sys/block"), path)
					name, _, _ := strings.Cut(rest, "/")
					return name
				}
			}
		}
	}
	for _, pattern := range []string{"sys/block/mmcblk?", "sys/block/nvme?n?", "sys/block/sd?"} {
		if all := glob(root, pattern); len(all) > 0 {
			return filepath.Base(all[0])
		}
	}
	return ""
}

// File is a file of a disk: "stat", "device/life_time".
func File(root, name, file string) string { return filepath.Join(root, "sys/block", name, file) }

func glob(root, pattern string) []string {
	all, _ := filepath.Glob(filepath.Join(root, pattern)) // fails on a bad pattern only
	return all
}

// mountedFrom returns the number, major:minor, of the device of the file system
// that holds a folder [proc_pid_mountinfo(5): fields 3 and 5]; "" when the
// table does not say.
func mountedFrom(table []byte, folder string) string {
	number, longest := "", -1
	for line := range bytes.Lines(table) {
		fields := strings.Fields(string(line))
		if len(fields) < 5 {
			continue
		}
		point := fields[4]
		holds := point == "/" || folder == point || strings.HasPrefix(folder, point+"/")
		if holds && len(point) >= longest { // a later mount hides an earlier one
			number, longest = fields[2], len(point)
		}
	}
	return number
}

// Written returns the bytes written since boot, from a disk's file stat: its
// seventh number counts 512 bytes, whatever the disk's sectors are [kernel:
// Documentation/block/stat.rst].
func Written(stat []byte) (n int64, ok bool) {
	sectors, err := strconv.ParseInt(string(field(stat, 6)), 10, 54)
	return sectors * 512, err == nil && sectors >= 0
}

// Wear returns the share of the rated life that is used, in percent and steps
// of 10, from device/life_time of an eMMC: two estimates, for two kinds of cell,
// "0x01 0x02", 0 where the card does not say; 110 is beyond it [JESD84-B51,
// 7.4.98, 7.4.99].
func Wear(lifeTime []byte) (percent int, ok bool) {
	one, ok1 := hex(field(lifeTime, 0))
	two, ok2 := hex(field(lifeTime, 1))
	worst := max(one, two)
	return 10 * worst, ok1 && ok2 && worst > 0
}

// SparesLow says whether 80 % of the spare blocks are used, from
// device/pre_eol_info of an eMMC: 1 for normal, 2 for 80 %, 3 for 90 %, 0 where
// the card does not say [JESD84-B51, 7.4.97].
func SparesLow(preEOL []byte) (low, ok bool) {
	level, ok := hex(field(preEOL, 0))
	return level > 1, ok && level > 0
}

// field returns the n-th field, counted from 0; empty when there are fewer. It
// allocates nothing.
func field(line []byte, n int) []byte {
	for {
		line = bytes.TrimLeft(line, " \t")
		end := bytes.IndexAny(line, " \t\n")
		if end < 0 {
			end = len(line)
		}
		if n == 0 || end == 0 {
			return line[:end]
		}
		line, n = line[end:], n-1
	}
}

func hex(b []byte) (v int, ok bool) {
	n, err := strconv.ParseUint(string(bytes.TrimPrefix(b, []byte("0x"))), 16, 16)
	return int(n), err == nil
}
