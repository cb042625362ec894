// Package whole writes files that are there whole or not at all, whenever the power
// fails.
package whole

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// Write makes the file name, or replaces it, with what fill writes. Until it is
// complete and on disk, it has another name in the same folder: with ".new-" in it,
// and for its owner only. fill may change whose it is and its mode.
func Write(name string, fill func(*os.File) error) error {
	dir, base := filepath.Split(name)
	if dir == "" {
		dir = "."
	}
	f, err := os.CreateTemp(dir, "."+base+suffix+"*") // mode 0600
	if err != nil {
		return err
	}
	if err = errors.Join(fill(f), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return SyncDir(dir)
}

// Tidy removes what Write leaves in a folder when the power fails in it. Nobody may
// be writing there.
func Tidy(dir string) error {
	all, err := os.ReadDir(dir)
	for _, e := range all {
		if e.Type().IsRegular() && strings.HasPrefix(e.Name(), ".") && strings.Contains(e.Name(), suffix) {
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

// suffix is in the name of a file that is not complete.
const suffix = ".new-"

// Bytes is a fill for Write.
func Bytes(data []byte) func(*os.File) error {
	return func(f *os.File) error {
		_, err := f.Write(data)
		return err
	}
}

// SyncDir puts on disk what was named, renamed and removed in a folder.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
