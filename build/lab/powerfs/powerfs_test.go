package powerfs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"tidegate/build/lab/proc"
)

// lab is a disk that a test has mounted.
type lab struct {
	t    *testing.T
	disk *Disk
	dir  string
	fs   *FS
}

func newLab(t *testing.T, seed uint64) *lab {
	l := &lab{t: t, disk: New(seed), dir: t.TempDir()}
	l.mount()
	t.Cleanup(l.unmount)
	return l
}

func (l *lab) mount() {
	l.t.Helper()
	m, err := Mount(l.disk, l.dir)
	if err != nil {
		l.t.Fatal(err)
	}
	l.fs = m
}

func (l *lab) unmount() {
	l.t.Helper()
	if l.fs == nil {
		return
	}
	if err := l.fs.Unmount(); err != nil {
		l.t.Fatal(err)
	}
	l.fs = nil
}

// cut is a power cut and the start after it.
func (l *lab) cut(m Mode) {
	l.t.Helper()
	l.disk.Off()
	l.unmount()
	l.disk.Cut(m)
	l.mount()
}

func (l *lab) path(name string) string { return filepath.Join(l.dir, name) }

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// write writes a file's new content, and syncs the file when asked to.
func (l *lab) write(name, content string, sync bool) {
	l.t.Helper()
	f, err := os.OpenFile(l.path(name), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	l.must(err)
	defer f.Close()
	_, err = f.WriteString(content)
	l.must(err)
	if sync {
		l.must(f.Sync())
	}
}

func (l *lab) syncDir(name string) {
	l.t.Helper()
	f, err := os.Open(l.path(name))
	l.must(err)
	defer f.Close()
	l.must(f.Sync())
}

// tree returns "name=content" of all files and "name/" of all directories.
func (l *lab) tree() string {
	l.t.Helper()
	var all []string
	l.must(filepath.WalkDir(l.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == l.dir {
			return err
		}
		name, _ := filepath.Rel(l.dir, path)
		if e.IsDir() {
			all = append(all, name+"/")
			return nil
		}
		b, err := os.ReadFile(path)
		all = append(all, name+"="+string(b))
		return err
	}))
	return strings.Join(all, " ")
}

func TestDrop(t *testing.T) {
	tests := []struct {
		name          string
		do            func(l *lab)
		before, after string
	}{
		{"nothing synced", func(l *lab) { l.write("a", "1", false) }, "a=1", ""},
		{"file synced, name not", func(l *lab) { l.write("a", "1", true) }, "a=1", ""},
		{"name synced, file not", func(l *lab) { l.write("a", "1", false); l.syncDir("") }, "a=1", "a="},
		{"both synced", func(l *lab) { l.write("a", "1", true); l.syncDir("") }, "a=1", "a=1"},
		{"overwritten since", func(l *lab) {
			l.write("a", "1", true)
			l.syncDir("")
			l.write("a", "2", false)
		}, "a=2", "a=1"},
		{"truncated since", func(l *lab) {
			l.write("a", "long", true)
			l.syncDir("")
			l.must(os.Truncate(l.path("a"), 2))
		}, "a=lo", "a=long"},
		{"unlinked since", func(l *lab) {
			l.write("a", "1", true)
			l.syncDir("")
			l.must(os.Remove(l.path("a")))
		}, "", "a=1"},
		{"unlinked for good", func(l *lab) {
			l.write("a", "1", true)
			l.syncDir("")
			l.must(os.Remove(l.path("a")))
			l.syncDir("")
		}, "", ""},
		{"renamed over, directory not synced", func(l *lab) {
			l.write("a", "old", true)
			l.syncDir("")
			l.write("a.tmp", "new", true)
			l.must(os.Rename(l.path("a.tmp"), l.path("a")))
		}, "a=new", "a=old"},
		{"renamed over, directory synced", func(l *lab) {
			l.write("a", "old", true)
			l.syncDir("")
			l.write("a.tmp", "new", true)
			l.must(os.Rename(l.path("a.tmp"), l.path("a")))
			l.syncDir("")
		}, "a=new", "a=new"},
		{"renamed over without syncing the file", func(l *lab) {
			l.write("a.tmp", "new", false)
			l.must(os.Rename(l.path("a.tmp"), l.path("a")))
			l.syncDir("")
		}, "a=new", "a="},
		{"a directory and its name are two", func(l *lab) {
			l.must(os.Mkdir(l.path("d"), 0o700))
			l.write("d/a", "1", true)
			l.syncDir("")
		}, "d/ d/a=1", "d/"},
		{"a directory and its name, both synced", func(l *lab) {
			l.must(os.Mkdir(l.path("d"), 0o700))
			l.write("d/a", "1", true)
			l.syncDir("d")
			l.syncDir("")
		}, "d/ d/a=1", "d/ d/a=1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, 1)
			tt.do(l)
			if got := l.tree(); got != tt.before {
				t.Errorf("before the cut: got %q, want %q", got, tt.before)
			}
			l.cut(Drop)
			if got := l.tree(); got != tt.after {
				t.Errorf("after the cut: got %q, want %q", got, tt.after)
			}
		})
	}
}

// TestTearAndReorder writes sectors of one letter each over a synced file and
// looks at what of them is left.
func TestTearAndReorder(t *testing.T) {
	const sectors = 8
	old := strings.Repeat("-", sectors*sector)
	for _, mode := range []Mode{Tear, Reorder} {
		t.Run(mode.String(), func(t *testing.T) {
			whole, torn, reordered := 0, 0, 0
			for seed := range uint64(60) {
				l := newLab(t, seed)
				l.write("a", old, true)
				l.syncDir("")
				f, err := os.OpenFile(l.path("a"), os.O_RDWR, 0)
				l.must(err)
				for _, letter := range []string{"x", "y"} { // over each other
					_, err = f.WriteAt([]byte(strings.Repeat(letter, sectors*sector)), 0)
					l.must(err)
				}
				l.must(f.Close())
				l.cut(mode)
				got, err := os.ReadFile(l.path("a"))
				l.must(err)
				var letters []byte
				for s := range slices.Chunk(got, sector) {
					if len(bytes.Trim(s, string(s[:1]))) != 0 {
						t.Fatalf("seed %d: a sector is torn inside: %q", seed, s)
					}
					letters = append(letters, s[0])
				}
				switch kinds := len(slices.Compact(slices.Sorted(slices.Values(letters)))); {
				case kinds > 1:
					torn++
				case letters[0] == 'x':
					reordered++
				case letters[0] == 'y':
					whole++
				}
			}
			t.Logf("whole %d, torn %d, the first write over the second %d", whole, torn, reordered)
			if mode == Tear && torn == 0 || mode == Reorder && (torn > 0 || whole == 0 || reordered == 0) {
				t.Error("not what the mode promises")
			}
		})
	}
}

func TestNamesSurviveAsAPrefix(t *testing.T) {
	for seed := range uint64(30) {
		l := newLab(t, seed)
		for i := range 5 {
			l.write(fmt.Sprint(i), "", false)
		}
		l.cut(Tear)
		got := l.tree()
		if want := "0= 1= 2= 3= 4="; !strings.HasPrefix(want, got) {
			t.Fatalf("seed %d: got %q, want a prefix of %q", seed, got, want)
		}
	}
}

func TestOff(t *testing.T) {
	l := newLab(t, 1)
	l.write("a", "1", true)
	l.syncDir("")
	f, err := os.OpenFile(l.path("a"), os.O_RDWR, 0)
	l.must(err)
	defer f.Close()
	_, err = f.WriteString("2")
	l.must(err)
	l.disk.Off()
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Errorf("sync without power: got %v, want EIO", err)
	}
	if _, err := f.WriteString("3"); !errors.Is(err, syscall.EIO) {
		t.Errorf("write without power: got %v, want EIO", err)
	}
	if err := os.Remove(l.path("a")); !errors.Is(err, syscall.EIO) {
		t.Errorf("remove without power: got %v, want EIO", err)
	}
	l.must(f.Close())
	l.cut(Drop)
	if got, want := l.tree(), "a=1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFaults(t *testing.T) {
	l := newLab(t, 1)
	f, err := os.Create(l.path("a"))
	l.must(err)
	defer f.Close()
	l.syncDir("")
	write := func(want error) {
		t.Helper()
		if _, err := f.WriteAt(make([]byte, 100), 0); !errors.Is(err, want) {
			t.Errorf("write: got %v, want %v", err, want)
		}
	}
	l.disk.Inject(Fault{Ops: Write, Err: syscall.ENOSPC, After: 250})
	write(nil)
	write(nil)
	write(syscall.ENOSPC)
	write(syscall.ENOSPC)
	l.must(f.Sync())
	l.disk.Heal()
	write(nil)
	l.disk.Inject(Fault{Ops: Sync | Names, Err: syscall.EIO, Times: 2})
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Errorf("sync: got %v, want EIO", err)
	}
	if err := os.Rename(l.path("a"), l.path("b")); !errors.Is(err, syscall.EIO) {
		t.Errorf("rename: got %v, want EIO", err)
	}
	l.must(f.Sync())
	if got, want := l.disk.Stats(), (Stats{Writes: 3, Written: 300, Syncs: 4, Synced: 200, Moves: 1, Failed: 4}); got != want {
		t.Errorf("stats: got %+v, want %+v", got, want)
	}
}

// TestFailedSyncLosesWhatWasPending is what Linux does: the next sync succeeds
// and has not written what the failed one dropped.
func TestFailedSyncLosesWhatWasPending(t *testing.T) {
	l := newLab(t, 1)
	l.write("a", "1", true)
	l.syncDir("")
	f, err := os.OpenFile(l.path("a"), os.O_RDWR, 0)
	l.must(err)
	_, err = f.WriteString("2")
	l.must(err)
	l.disk.Inject(Fault{Ops: Sync, Err: syscall.EIO, Times: 1})
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Errorf("sync: got %v, want EIO", err)
	}
	l.must(f.Sync())
	l.must(f.Close())
	if got, want := l.tree(), "a=2"; got != want {
		t.Errorf("before the cut: got %q, want %q", got, want)
	}
	l.cut(Drop)
	if got, want := l.tree(), "a=1"; got != want {
		t.Errorf("after the cut: got %q, want %q", got, want)
	}
}

func TestUnlinkedFileLivesWhileOpen(t *testing.T) {
	l := newLab(t, 1)
	l.write("a", "still here", true)
	f, err := os.Open(l.path("a"))
	l.must(err)
	l.must(os.Remove(l.path("a")))
	l.syncDir("")
	b := make([]byte, 10)
	if _, err := f.ReadAt(b, 0); err != nil || string(b) != "still here" {
		t.Errorf("got %q, %v", b, err)
	}
	l.must(f.Close())
	l.write("other", "", true)
	gone := func() bool {
		l.syncDir("")
		l.disk.mu.Lock()
		defer l.disk.mu.Unlock()
		return len(l.disk.nodes) == 2 // the root and other
	}
	for deadline := time.Now().Add(10 * time.Second); !gone(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the unlinked file still takes memory")
		}
	}
}

func TestLock(t *testing.T) {
	l := newLab(t, 1)
	l.write("a", "", true)
	first, err := os.Open(l.path("a"))
	l.must(err)
	defer first.Close()
	second, err := os.Open(l.path("a"))
	l.must(err)
	defer second.Close()
	lock := func(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }
	l.must(lock(first))
	if err := lock(second); err != syscall.EWOULDBLOCK {
		t.Errorf("a second lock: got %v, want EWOULDBLOCK", err)
	}
}

// TestUnmountWithCopies: a process with mounts of its own keeps a copy of each
// one that was there when it started.
func TestUnmountWithCopies(t *testing.T) {
	l := newLab(t, 1)
	l.write("a", "1", true)
	l.syncDir("")
	p, err := proc.Start(proc.Command{Args: []string{"sleep", "1000"}, Contained: true})
	l.must(err)
	defer p.Kill()
	for range 3 {
		l.cut(Drop)
		if got, want := l.tree(), "a=1"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if !p.Running() {
		t.Error("the other process ended")
	}
}
