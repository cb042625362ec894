package powerfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// FS is a mounted disk.
type FS struct {
	server *fuse.Server
	dir    string
	abort  *os.File // ends the connection to the kernel when written to; nil without root
}

// Mount mounts the disk on the directory dir. It needs /dev/fuse, and root or
// the fusermount3 command (Debian: fuse3).
func Mount(d *Disk, dir string) (*FS, error) {
	server, err := fuse.NewServer(newCalls(d), dir, &fuse.MountOptions{
		Name:        "powerfs",
		FsName:      "powerfs",
		DirectMount: true, // fusermount3 only without root
		// One call per write of up to 128 KiB; the kernel locks files itself.
		MaxWrite:           128 << 10,
		DisableXAttrs:      true,
		DisableReadDirPlus: true,
	})
	if err != nil {
		return nil, fmt.Errorf("mount powerfs on %s: %w", dir, err)
	}
	f := &FS{server: server, dir: dir}
	go server.Serve() // ended, and waited for, by Unmount
	if err = server.WaitMount(); err == nil && os.Geteuid() == 0 {
		f.abort, err = openAbort(dir)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("mount powerfs on %s: %w", dir, err), f.unmount())
	}
	return f, nil
}

// openAbort opens the kernel's file that ends the connection behind the mount
// on dir (fuse(4)). It stays that connection's when its number is used again.
func openAbort(dir string) (*os.File, error) {
	var stat syscall.Stat_t
	if err := syscall.Stat(dir, &stat); err != nil {
		return nil, err
	}
	control, err := os.MkdirTemp("", "fusectl-")
	if err != nil {
		return nil, err
	}
	defer os.Remove(control)
	if err := syscall.Mount("fusectl", control, "fusectl", 0, ""); err != nil {
		return nil, fmt.Errorf("mount fusectl: %w", err)
	}
	defer syscall.Unmount(control, syscall.MNT_DETACH)
	return os.OpenFile(filepath.Join(control, strconv.FormatUint(stat.Dev, 10), "abort"), os.O_WRONLY, 0)
}

// Unmount returns when nothing serves the mount any more. What was not synced
// stays pending. It fails while a process still has a file open.
func (f *FS) Unmount() error {
	if err := f.unmount(); err != nil {
		return fmt.Errorf("unmount %s: %w", f.dir, err)
	}
	return nil
}

// unmount tries for a while: the kernel may still be closing the files of a
// process that has just been killed.
func (f *FS) unmount() error {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		err := syscall.Unmount(f.dir, 0)
		if err == syscall.EPERM { // mounted by fusermount3
			return f.server.Unmount()
		}
		if err == nil {
			return f.end()
		}
		if err != syscall.EBUSY || time.Now().After(deadline) {
			return err
		}
	}
}

// end waits until the kernel has let go. It would not while a process with
// mounts of its own, a container for instance, holds a copy of this one.
func (f *FS) end() error {
	var err error
	if f.abort != nil {
		_, err = f.abort.WriteString("1")
		err = errors.Join(err, f.abort.Close())
	}
	f.server.Wait()
	return err
}
