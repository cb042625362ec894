package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// patience is how long a card may take to appear. A slow one takes 2 s.
const patience = 30 * time.Second

// block is where the kernel tells of disks.
type block struct{ sys, dev string }

var machine = block{"/sys/class/block", "/dev"}

// kinds are how the kernel calls disks of what U-Boot calls so.
var kinds = map[string]string{"mmc": "mmcblk", "usb": "sd", "virtio": "vd", "nvme": "nvme"}

// kindOf returns how the name of the disk begins that U-Boot started from; "" when
// it does not say.
func kindOf(commandLine string) string {
	m := regexp.MustCompile(`(?:^|\s)tidegate\.from=(\w+)(?:\s|$)`).FindStringSubmatch(commandLine)
	if m == nil {
		return ""
	}
	return kinds[m[1]]
}

// find waits for the disk with a signature and a partition, such as "mmcblk0". One
// of another kind than wanted is taken only when patience has ended.
func find(signature uint32, partition int, kind string) (string, error) {
	for begin := time.Now(); time.Since(begin) < patience; time.Sleep(20 * time.Millisecond) {
		if all := machine.disks(signature, partition, kind); len(all) > 0 {
			if len(all) > 1 {
				fmt.Printf("init: %q have the same signature; the first is taken\n", all)
			}
			return all[0], nil
		}
	}
	if all := machine.disks(signature, partition, ""); len(all) > 0 {
		return all[0], nil
	}
	seen, _ := filepath.Glob(machine.sys + "/*")
	return "", fmt.Errorf("no partition %d of a disk %08x after %v; there are %q", partition, signature, patience, seen)
}

// disks are those with a signature, a partition, and names that begin with kind, in
// the order of their names.
func (b block) disks(signature uint32, partition int, kind string) []string {
	var all []string
	files, _ := filepath.Glob(filepath.Join(b.sys, kind+"*")) // in order
	for _, f := range files {
		name := filepath.Base(f)
		if b.signature(name) == signature && b.partition(name, partition) != "" {
			all = append(all, name)
		}
	}
	return all
}

// partition is the name of a disk's partition; "" for none. Its folder lies in that
// of its disk.
func (b block) partition(disk string, number int) string {
	files, _ := filepath.Glob(filepath.Join(b.sys, disk, "*", "partition"))
	for _, f := range files {
		text, _ := os.ReadFile(f)
		if n, _ := strconv.Atoi(strings.TrimSpace(string(text))); n == number {
			return filepath.Base(filepath.Dir(f))
		}
	}
	return ""
}

// signature reads the number that a partition table (MBR) gives its disk; 0 when
// there is none.
func (b block) signature(disk string) uint32 {
	f, err := os.Open(filepath.Join(b.dev, disk))
	if err != nil {
		return 0
	}
	defer f.Close()
	sector := make([]byte, 512)
	if _, err := io.ReadFull(f, sector); err != nil {
		return 0
	}
	return binary.LittleEndian.Uint32(sector[440:])
}

// link has udev call the partitions of a disk /dev/card/N.
func link(disk string) error {
	const dir = "/run/udev/rules.d"
	rule := fmt.Sprintf(`SUBSYSTEM=="block", ENV{DEVTYPE}=="partition", KERNELS=="%s", SYMLINK+="card/%%n"`+"\n", disk)
	return errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "61-tidegate-card.rules"), []byte(rule), 0o644))
}
