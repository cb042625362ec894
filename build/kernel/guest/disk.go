package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mount mounts a disk: DEVICE DIR KIND OPTIONS, with the options of mount(8)
// that are used here.
func mount(words []string) (string, error) {
	var flags uintptr
	var rest []string
	for o := range strings.SplitSeq(words[3], ",") {
		switch o {
		case "ro":
			flags |= unix.MS_RDONLY
		case "noatime":
			flags |= unix.MS_NOATIME
		case "nodev":
			flags |= unix.MS_NODEV
		case "nosuid":
			flags |= unix.MS_NOSUID
		case "noexec":
			flags |= unix.MS_NOEXEC
		case "", "rw":
		default:
			rest = append(rest, o)
		}
	}
	if err := os.MkdirAll(words[1], 0o755); err != nil {
		return "", err
	}
	if err := unix.Mount(words[0], words[1], words[2], flags, strings.Join(rest, ",")); err != nil {
		return "", fmt.Errorf("mount %s: %w", words[0], err)
	}
	return "", nil
}

// direct writes COUNT bytes of a letter at OFFSET of a device or file, past the
// cache of the kernel; with "sync" behind it the device is told to keep it.
func direct(words []string) (string, error) {
	offset, errOffset := strconv.ParseInt(words[1], 10, 64)
	count, errCount := strconv.Atoi(words[2])
	if err := errors.Join(errOffset, errCount); err != nil {
		return "", err
	}
	f, err := os.OpenFile(words[0], os.O_WRONLY|unix.O_DIRECT, 0)
	if err != nil {
		return "", err
	}
	_, err = f.WriteAt(aligned(bytes.Repeat([]byte(words[3]), count)), offset)
	if err == nil && len(words) > 4 && words[4] == "sync" {
		err = f.Sync()
	}
	return "", errors.Join(err, f.Close())
}

// aligned is b where O_DIRECT can take it from.
func aligned(b []byte) []byte {
	const page = 4096
	room := make([]byte, len(b)+page)
	at := -int(uintptr(unsafe.Pointer(&room[0]))) & (page - 1)
	return room[at : at+copy(room[at:], b)]
}

// fill takes all of a file system but KEEP bytes for a file.
func fill(words []string) (string, error) {
	keep, err := strconv.ParseInt(words[1], 10, 64)
	if err != nil {
		return "", err
	}
	f, err := os.Create(words[0])
	if err != nil {
		return "", err
	}
	defer f.Close()
	left, err := free(words[:1])
	if err != nil {
		return "", err
	}
	n, err := strconv.ParseInt(left, 10, 64)
	if err == nil {
		err = unix.Fallocate(int(f.Fd()), 0, 0, n-keep)
	}
	return "", errors.Join(err, f.Sync())
}

// free says how many bytes of the file system of a file are left.
func free(words []string) (string, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(words[0], &s); err != nil {
		return "", err
	}
	return strconv.FormatUint(s.Bavail*uint64(s.Bsize), 10), nil
}

// setAddress gives a network interface an address and brings it up: NAME
// ADDRESS/BITS.
func setAddress(words []string) (string, error) {
	p, err := netip.ParsePrefix(words[1])
	if err != nil {
		return "", err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	r, err := unix.NewIfreq(words[0])
	if err != nil {
		return "", err
	}
	mask := ^uint32(0) << (32 - p.Bits())
	for _, step := range []struct {
		request uint
		value   []byte
	}{
		{unix.SIOCSIFADDR, p.Addr().AsSlice()},
		{unix.SIOCSIFNETMASK, []byte{byte(mask >> 24), byte(mask >> 16), byte(mask >> 8), byte(mask)}},
	} {
		if err := errors.Join(r.SetInet4Addr(step.value), unix.IoctlIfreq(fd, step.request, r)); err != nil {
			return "", fmt.Errorf("address of %s: %w", words[0], err)
		}
	}
	return "", up(fd, words[0])
}

// up brings an interface up.
func up(fd int, name string) error {
	r, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r)
}
