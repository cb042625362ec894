package powerfs

import (
	"fmt"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// FS is a mounted disk.
type FS struct {
	server *fuse.Server
	dir    string
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
	go server.Serve() // ended, and waited for, by Unmount
	if err := server.WaitMount(); err != nil {
		return nil, fmt.Errorf("mount powerfs on %s: %w", dir, err)
	}
	return &FS{server: server, dir: dir}, nil
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
			f.server.Wait()
			return nil
		}
		if err != syscall.EBUSY || time.Now().After(deadline) {
			return err
		}
	}
}
