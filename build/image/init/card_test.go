package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

const ours = 0x71de6a7e

// newMachine has disks with signatures, and four partitions each, as the kernel
// shows them: links to folders in one another.
func newMachine(t *testing.T, disks map[string]uint32) block {
	t.Helper()
	dir := t.TempDir()
	b := block{filepath.Join(dir, "class"), filepath.Join(dir, "dev")}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do(os.MkdirAll(b.sys, 0o755))
	do(os.MkdirAll(b.dev, 0o755))
	for disk, signature := range disks {
		sector := make([]byte, 512)
		binary.LittleEndian.PutUint32(sector[440:], signature)
		do(os.WriteFile(filepath.Join(b.dev, disk), sector, 0o600))
		home := filepath.Join(dir, "devices", disk)
		do(os.MkdirAll(home, 0o755))
		do(os.Symlink(home, filepath.Join(b.sys, disk)))
		for n := range 4 {
			part := fmt.Sprint(disk, n+1)
			if disk[len(disk)-1] <= '9' {
				part = fmt.Sprint(disk, "p", n+1)
			}
			do(os.MkdirAll(filepath.Join(home, part), 0o755))
			do(os.WriteFile(filepath.Join(home, part, "partition"), fmt.Appendln(nil, n+1), 0o644))
			do(os.Symlink(filepath.Join(home, part), filepath.Join(b.sys, part)))
			// A file system may have any bytes where a disk has its signature.
			do(os.WriteFile(filepath.Join(b.dev, part), sector, 0o600))
		}
	}
	return b
}

// Of two cards with the same signature the one that U-Boot started from is taken,
// whichever comes first.
func TestWhichDisk(t *testing.T) {
	for name, c := range map[string]struct {
		disks map[string]uint32
		line  string
		want  []string
	}{
		"one card":               {map[string]uint32{"mmcblk0": ours}, "ro tidegate.from=mmc quiet", []string{"mmcblk0"}},
		"an old one in a reader": {map[string]uint32{"sda": ours, "mmcblk0": ours}, "tidegate.from=mmc", []string{"mmcblk0"}},
		"started from USB":       {map[string]uint32{"mmcblk0": ours, "sda": ours}, "tidegate.from=usb", []string{"sda"}},
		"a stick":                {map[string]uint32{"sda": 0x12345678, "mmcblk0": ours}, "tidegate.from=mmc", []string{"mmcblk0"}},
		"two on USB":             {map[string]uint32{"sda": ours, "sdb": ours}, "tidegate.from=usb", []string{"sda", "sdb"}},
		"not there yet":          {map[string]uint32{"sda": ours}, "tidegate.from=mmc", nil},
		"an older U-Boot":        {map[string]uint32{"vda": ours}, "ro quiet", []string{"vda"}},
		"a kind unheard of":      {map[string]uint32{"vda": ours}, "tidegate.from=floppy", []string{"vda"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newMachine(t, c.disks)
			if got := b.disks(ours, 2, kindOf(c.line)); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestPartitionsOfADisk(t *testing.T) {
	b := newMachine(t, map[string]uint32{"mmcblk0": ours, "sda": ours})
	for disk, want := range map[string]string{"mmcblk0": "mmcblk0p4", "sda": "sda4"} {
		if got := b.partition(disk, 4); got != want {
			t.Errorf("%s: got %q, want %q", disk, got, want)
		}
	}
	if got := b.partition("sda", 5); got != "" {
		t.Errorf("got %q, want none", got)
	}
}
