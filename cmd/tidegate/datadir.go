package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"tidegate/internal/advice"
)

// dataDir is the data directory, held for this process alone.
type dataDir struct {
	Path  string
	Epoch uint64 // of this start; no start of this directory had it before
	held  *os.File
}

// openDataDir takes the directory and begins a new boot epoch. Its errors say
// what to do.
func openDataDir(path string) (*dataDir, error) {
	held, err := os.Open(path)
	if err != nil {
		return nil, advise(err, path)
	}
	d := &dataDir{Path: path, held: held}
	if err := d.lock(); err != nil {
		return nil, errors.Join(err, held.Close())
	}
	if d.Epoch, err = nextEpoch(path, time.Now()); err != nil {
		return nil, errors.Join(advise(err, path), held.Close())
	}
	return d, nil
}

// lock takes a lock on the directory itself, which needs no file and so no
// room. It goes with the process, however that ends.
func (d *dataDir) lock() error {
	if info, err := d.held.Stat(); err != nil {
		return err
	} else if !info.IsDir() {
		return advise(&fs.PathError{Op: "open", Path: d.Path, Err: syscall.ENOTDIR}, d.Path)
	}
	err := syscall.Flock(int(d.held.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	for tries := 0; tries < 20 && errors.Is(err, syscall.EWOULDBLOCK); tries++ {
		time.Sleep(50 * time.Millisecond) // one that was killed may not be quite gone
		err = syscall.Flock(int(d.held.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("data directory %s is used by another tidegate: stop that one (systemctl stop tidegate), or give each its own gateway.data-dir", d.Path)
	}
	if err != nil {
		return fmt.Errorf("lock data directory %s: %w", d.Path, err)
	}
	return nil
}

// Close lets the next one have the directory.
func (d *dataDir) Close() error { return d.held.Close() }

// advise adds to an error about the data directory what a person can do.
func advise(err error, path string) error {
	var do string
	switch {
	case errors.Is(err, fs.ErrNotExist):
		do = fmt.Sprintf("make it (it is not made by itself, because a disk that is not mounted looks the same): install -d -m 0700 -o USER %s", path)
	case errors.Is(err, syscall.ENOTDIR):
		do = "gateway.data-dir must be a directory"
	default:
		return fmt.Errorf("data directory %s: %w", path, advice.Disk(err, path))
	}
	return fmt.Errorf("data directory %s: %w; %s", path, err, do)
}
