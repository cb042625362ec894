package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

var aDay = time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)

func epochs(t *testing.T, dir string, now time.Time, n int) []uint64 {
	t.Helper()
	var all []uint64
	for range n {
		e, err := nextEpoch(dir, now)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func TestEveryStartHasItsOwnEpoch(t *testing.T) {
	got := epochs(t, t.TempDir(), aDay, 5)
	for i := range got {
		if want := got[0] + uint64(i); got[i] != want {
			t.Errorf("got %v, want them to count up", got)
		}
	}
}

// A clock that is wrong at first, or a new card, does not bring an epoch back.
func TestFirstEpochFollowsTheClock(t *testing.T) {
	if got := epochs(t, t.TempDir(), time.Unix(0, 0), 1)[0]; got != 1 {
		t.Errorf("in 1970: got %d, want 1", got)
	}
	first := epochs(t, t.TempDir(), aDay, 100)
	if again := epochs(t, t.TempDir(), aDay.Add(24*time.Hour), 1)[0]; again <= first[99] {
		t.Errorf("a new card a day later: got %d, want more than %d", again, first[99])
	}
}

// A write that was torn anywhere costs at most the epoch that nobody has used.
func TestTornEpochWrite(t *testing.T) {
	for _, torn := range []int{0, 1, 5, 9, 12, 512, slotSize} {
		dir := t.TempDir()
		name := filepath.Join(dir, epochName)
		last := epochs(t, dir, aDay, 4)[3]
		before, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		epochs(t, dir, aDay, 1)
		after, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, slot := newest(after)
		at := slot * slotSize
		copy(before[at:at+torn], after[at:at+torn])
		if err := os.WriteFile(name, before, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := epochs(t, dir, aDay, 1)[0]; got <= last {
			t.Errorf("torn after %d bytes: got %d, want more than %d", torn, got, last)
		}
	}
}

func TestDamagedEpochFileIsSetAside(t *testing.T) {
	for _, damage := range [][]byte{nil, []byte("short"), bytes.Repeat([]byte{0xff}, 2*slotSize), make([]byte, 2*slotSize)} {
		dir := t.TempDir()
		last := epochs(t, dir, aDay, 3)[2]
		if err := os.WriteFile(filepath.Join(dir, epochName), damage, 0o600); err != nil {
			t.Fatal(err)
		}
		got := epochs(t, dir, time.Unix(0, 0), 2) // and the clock is lost too
		if got[0] <= last || got[1] != got[0]+1 {
			t.Errorf("%d bytes of damage: got %v, want more than %d", len(damage), got, last)
		}
		if aside, _ := filepath.Glob(filepath.Join(dir, "epoch.corrupt-*")); len(aside) != 1 {
			t.Errorf("got %v set aside, want one file", aside)
		}
	}
}

func TestDataDirIsForOne(t *testing.T) {
	dir := t.TempDir()
	first, err := openDataDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openDataDir(dir); err == nil || !strings.Contains(err.Error(), "another tidegate") {
		t.Errorf("second: got %v, want it to name another tidegate", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := openDataDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if second.Epoch != first.Epoch+1 {
		t.Errorf("got epoch %d after %d", second.Epoch, first.Epoch)
	}
	second.Close()
}

// mount gives the test a file system of its own.
func mount(t *testing.T, source, kind string, flags uintptr, data string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount(source, dir, kind, flags, data); err != nil {
		t.Fatalf("mount %s: %v (the tests need root, for small and read-only file systems)", kind, err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func fill(t *testing.T, dir string) {
	t.Helper()
	block := make([]byte, slotSize)
	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for {
		if _, err := f.Write(block); err != nil {
			return
		}
	}
}

func TestDataDirErrorsSayWhatToDo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	full := mount(t, "tmpfs", "tmpfs", 0, "size=64k")
	fill(t, full)
	for _, c := range []struct{ name, path, want string }{
		{"missing", filepath.Join(t.TempDir(), "none"), "install -d -m 0700"},
		{"a file", file, "must be a directory"},
		{"read-only", mount(t, "tmpfs", "tmpfs", syscall.MS_RDONLY, "size=64k"), "mount -o remount,rw"},
		{"full", full, "df -h"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := openDataDir(c.path)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.path) {
				t.Errorf("got %v, want it to say %q and name %s", err, c.want, c.path)
			}
		})
	}
}

func TestFullDiskDoesNotStopAStart(t *testing.T) {
	dir := mount(t, "tmpfs", "tmpfs", 0, "size=64k")
	first := epochs(t, dir, aDay, 1)[0]
	fill(t, dir)
	if got := epochs(t, dir, aDay, 3); got[2] != first+3 {
		t.Errorf("got %v after %d", got, first)
	}
}
