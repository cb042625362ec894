package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

// label says which file system a partition has and what it is called, as far as
// a person needs that to know a card again; "" when it is none of the usual.
func label(r io.ReaderAt, at int64) string {
	b := make([]byte, 4096)
	if n, _ := r.ReadAt(b, at); n < len(b) {
		return ""
	}
	name := func(raw []byte) string {
		text, _, _ := strings.Cut(string(raw), "\x00")
		return strings.TrimSpace(strings.Map(func(c rune) rune {
			if c < ' ' || c > '~' {
				return -1
			}
			return c
		}, text))
	}
	switch {
	case binary.LittleEndian.Uint16(b[0x438:]) == 0xef53: // ext2, 3, 4
		return "ext4 " + name(b[0x478:0x488])
	case string(b[82:87]) == "FAT32":
		return "FAT32 " + name(b[71:82])
	case string(b[54:58]) == "FAT1":
		return "FAT " + name(b[43:54])
	case string(b[3:8]) == "EXFAT":
		return "exFAT"
	case string(b[3:7]) == "NTFS":
		return "NTFS"
	}
	return ""
}

// show says what is on the disk.
func (d *disk) show(w io.Writer, r io.ReaderAt) {
	kind := []string{}
	for _, k := range []struct {
		is   bool
		word string
	}{{d.Removable, "removable"}, {d.USB, "on USB"}, {d.SD, "SD card"}} {
		if k.is {
			kind = append(kind, k.word)
		}
	}
	model := d.Model
	if model == "" {
		model = "a disk without a name"
	}
	fmt.Fprintf(w, "%s  %s  %s  %s\n", d.Path, bytes(d.Size), model, strings.Join(kind, ", "))
	for _, p := range d.Parts {
		fmt.Fprintf(w, "    %-10s %10s  %s\n", p.Name, bytes(p.Size), label(r, p.Start))
	}
	if len(d.Parts) == 0 {
		fmt.Fprintln(w, "    no partitions")
	}
}
