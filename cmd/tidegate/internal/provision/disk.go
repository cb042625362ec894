package provision

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// disk changes files so that a power cut leaves the old or the new. Every single
// change goes through step, where tests cut the power.
type disk struct {
	before func(what, path string) error // nil: nothing happens before a change
	loose  bool                          // nothing is synced, for tests with hundreds of runs
}

// owner says whose a file is to be and who may read it. The FAT partition knows
// neither: files there have the zero owner.
type owner struct {
	mode     fs.FileMode
	uid, gid int
	set      bool
}

// The ends of names that only this package uses on the boot partition. A file
// with one was being written or erased when the power went.
const (
	newEnd    = ".tg-new"
	erasedEnd = ".tg-old"
)

func (d *disk) sync(f *os.File) error {
	if d.loose {
		return nil
	}
	return f.Sync()
}

func (d *disk) step(what, path string) error {
	if d.before == nil {
		return nil
	}
	return d.before(what, path)
}

// write makes a file whole or not at all. It has happened when it returns.
func (d *disk) write(path string, data []byte, o owner) error {
	if err := d.temporary(path+newEnd, data, o); err != nil {
		return err
	}
	return d.rename(path+newEnd, path)
}

func (d *disk) temporary(path string, data []byte, o owner) (err error) {
	if err := d.step("create", path); err != nil {
		return err
	}
	mode := o.mode
	if !o.set {
		mode = 0o600
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	half := len(data) / 2
	if _, err := f.Write(data[:half]); err != nil {
		return err
	}
	if err := d.step("write", path); err != nil {
		return err
	}
	if _, err := f.Write(data[half:]); err != nil {
		return err
	}
	if o.set {
		if err := errors.Join(f.Chmod(o.mode), f.Chown(o.uid, o.gid)); err != nil {
			return err
		}
	}
	if err := d.step("sync", path); err != nil {
		return err
	}
	return d.sync(f)
}

func (d *disk) rename(from, to string) error {
	if err := d.step("rename", to); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	// On FAT a file's length stands beside its name. Linux writes a new name with
	// a length of zero, and the true one only when the file itself is synced.
	if err := d.syncPath(to); err != nil {
		return err
	}
	if filepath.Dir(from) != filepath.Dir(to) {
		if err := d.syncDir(filepath.Dir(from)); err != nil {
			return err
		}
	}
	return d.syncDir(filepath.Dir(to))
}

func (d *disk) syncDir(path string) error {
	if err := d.step("sync", path); err != nil {
		return err
	}
	return d.syncPath(path)
}

func (d *disk) syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.sync(f), f.Close())
}

// remove takes a file away; one that is not there is no error.
func (d *disk) remove(path string) error {
	if err := d.step("remove", path); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return d.syncDir(filepath.Dir(path))
}

// erase overwrites a file and takes it away. Its new name comes first: after a
// power cut half of its bytes must not pass for a file of the user.
func (d *disk) erase(path string) error {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if !strings.HasSuffix(path, erasedEnd) {
		if err := d.rename(path, path+erasedEnd); err != nil {
			return err
		}
		path += erasedEnd
	}
	if err := d.zero(path); err != nil {
		return err
	}
	return d.remove(path)
}

func (d *disk) zero(path string) (err error) {
	if err := d.step("zero", path); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if _, err := io.CopyN(f, zeros{}, info.Size()); err != nil {
		return err
	}
	return d.sync(f)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// replace is write for a file that has a secret in it: the old bytes are
// overwritten.
func (d *disk) replace(path string, data []byte) error {
	if err := d.temporary(path+newEnd, data, owner{}); err != nil {
		return err
	}
	if _, err := os.Lstat(path); err == nil {
		if err := d.rename(path, path+erasedEnd); err != nil {
			return err
		}
	}
	if err := d.rename(path+newEnd, path); err != nil {
		return err
	}
	return d.erase(path + erasedEnd)
}

// finish ends what a power cut left of write, erase and replace in a folder.
func (d *disk) finish(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	var errs []error
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		name, isNew := strings.CutSuffix(path, newEnd)
		if !isNew {
			continue
		}
		// Renamed away already, and its successor not yet in its place: that is
		// whole, for it was synced before.
		if exists(name+erasedEnd) && !exists(name) {
			errs = append(errs, d.rename(path, name))
		} else {
			errs = append(errs, d.erase(path))
		}
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), erasedEnd) {
			errs = append(errs, d.erase(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}

func (d *disk) mkdir(path string, o owner) error {
	if exists(path) {
		return nil
	}
	if err := d.step("mkdir", path); err != nil {
		return err
	}
	if err := os.Mkdir(path, o.mode); err != nil {
		return err
	}
	if err := errors.Join(os.Chmod(path, o.mode), os.Chown(path, o.uid, o.gid)); err != nil {
		return err
	}
	return d.syncDir(filepath.Dir(path))
}

// empty removes all that is in a folder, apart from the names to keep.
func (d *disk) empty(dir string, keep ...string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, e := range entries {
		if kept(e.Name(), keep) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		if err := d.step("remove", path); err != nil {
			return err
		}
		errs = append(errs, os.RemoveAll(path))
	}
	return errors.Join(append(errs, d.syncDir(dir))...)
}

func kept(name string, keep []string) bool {
	for _, k := range keep {
		if name == k {
			return true
		}
	}
	return false
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
