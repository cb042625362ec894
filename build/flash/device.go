package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// device is a disk that is ours alone: while it is open with O_EXCL the kernel
// lets nobody mount it or a partition of it, and refuses to open what is mounted.
// Writing and reading go past the page cache.
type device struct{ *os.File }

func openDevice(path string) (*device, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_EXCL|unix.O_DIRECT, 0)
	switch {
	case errors.Is(err, syscall.EBUSY):
		return nil, fmt.Errorf("%w: the kernel says that something uses it; unmount it", err)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w: disks may be written by root: use sudo", err)
	case errors.Is(err, syscall.ENOMEDIUM):
		return nil, fmt.Errorf("%w: there is no card in the reader", err)
	case errors.Is(err, syscall.EROFS):
		return nil, fmt.Errorf("%w: the card is write-protected; slide the switch at its side up", err)
	case err != nil:
		return nil, err
	}
	return &device{f}, nil
}

// size is the kernel's word on the device that was opened, whatever was looked
// at before.
func (d *device) size() (int64, error) { return d.Seek(0, 2) }

// Forget drops what the page cache has of the disk.
func (d *device) Forget() error { return unix.IoctlSetInt(int(d.Fd()), unix.BLKFLSBUF, 0) }

// reread has the kernel look at the new partition table. A desktop then shows
// the card.
func (d *device) reread() error { return unix.IoctlSetInt(int(d.Fd()), unix.BLKRRPART, 0) }
