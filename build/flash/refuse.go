package main

import (
	"errors"
	"fmt"
	"strings"
)

// mostCard is the size from which a disk is not taken for a card.
const mostCard = 512 << 30

// refuse says why a disk must not be overwritten with an image of some size; nil
// when it may. even is the override of the user: the path of a disk that is to
// be written though it does not look like a card.
func (d *disk) refuse(size int64, even string) error {
	switch {
	case d.Whole != "":
		return fmt.Errorf("%s is a partition; name the whole disk: /dev/%s", d.Path, d.Whole)
	case len(d.Used) > 0:
		return fmt.Errorf("%s is in use: %s; %s", d.Path, strings.Join(d.Used, ", "), d.release())
	case d.Size == 0:
		return fmt.Errorf("%s has no card in it", d.Path)
	case d.ReadOnly:
		return fmt.Errorf("%s is write-protected; slide the switch at the side of the card up, or take another adapter", d.Path)
	case d.Size < size:
		return fmt.Errorf("%s is too small: it has %s, and the image needs %s", d.Path, bytes(d.Size), bytes(size))
	case even == d.Path:
		return nil
	case even != "":
		return fmt.Errorf("EVEN names %s, and DEV %s; they must be the same", even, d.Path)
	case !d.Removable && !d.USB && !d.SD:
		return fmt.Errorf("%s does not look like a card: it is neither removable, nor on USB, nor an SD card; if everything on it may go, say so with EVEN=%s", d.Path, d.Path)
	case d.Size > mostCard:
		return fmt.Errorf("%s has %s, more than any card that the gateway is for; if everything on it may go, say so with EVEN=%s", d.Path, bytes(d.Size), d.Path)
	}
	return nil
}

// release says what to do about a disk that is in use. What holds the running
// system is nothing to unmount.
func (d *disk) release() string {
	for _, use := range d.Used {
		for _, at := range []string{"/", "/boot", "/boot/efi", "/boot/firmware", "/usr", "/var", "/home"} {
			if strings.HasSuffix(use, " is mounted on "+at) {
				return "it has the system that runs here"
			}
		}
	}
	for _, use := range d.Used {
		if !strings.Contains(use, " is mounted on ") {
			return "take it out of there first"
		}
	}
	return "unmount it: umount /dev/" + d.Name + "*"
}

var errNotAsked = errors.New("nothing was written")

// bytes writes a size as the labels of cards do.
func bytes(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%d bytes", n)
}
