package line

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// model is a disk that can be cut off after any step, and that then has what a
// power cut leaves: of files what was synced, or some of the rest; of names
// those that were synced, or the newer ones.
type model struct {
	left int // steps until the power goes; below 0: never

	names   map[string]*content // as a process sees them
	durable map[string]*content // after a power cut, for sure
	dirs    map[string]bool
}

type content struct{ now, synced []byte }

var errCut = errors.New("the power is gone")

func newModel() *model {
	return &model{left: -1, names: map[string]*content{}, durable: map[string]*content{}, dirs: map[string]bool{}}
}

func (m *model) step() error {
	if m.left == 0 {
		return errCut
	}
	m.left--
	return nil
}

func (m *model) ReadFile(path string) ([]byte, error) {
	if c := m.names[path]; c != nil {
		return c.now, nil
	}
	return nil, fs.ErrNotExist
}

func (m *model) Mkdir(path string) error {
	if m.dirs[path] {
		return nil
	}
	m.dirs[path] = true
	return m.step()
}

func (m *model) Create(path string) (file, error) {
	if err := m.step(); err != nil {
		return nil, err
	}
	c := &content{}
	m.names[path] = c
	return &modelFile{m, c}, nil
}

func (m *model) Rename(from, to string) error {
	if err := m.step(); err != nil {
		return err
	}
	m.names[to] = m.names[from]
	delete(m.names, from)
	return nil
}

func (m *model) SyncDir(string) error {
	if err := m.step(); err != nil {
		return err
	}
	m.durable = maps.Clone(m.names)
	return nil
}

type modelFile struct {
	m *model
	c *content
}

func (f *modelFile) Write(b []byte) (int, error) {
	if err := f.m.step(); err != nil {
		f.c.now = append(f.c.now, b[:len(b)/2]...)
		return len(b) / 2, err
	}
	f.c.now = append(f.c.now, b...)
	return len(b), nil
}

func (f *modelFile) Sync() error {
	if err := f.m.step(); err != nil {
		return err
	}
	f.c.synced = f.c.now
	return nil
}

func (f *modelFile) Close() error { return f.m.step() }

// cut makes what is there after the power came back. keepNames: renames that
// were not synced have reached the disk; keepData: so has what was written.
func (m *model) cut(keepNames, keepData bool) *model {
	next := newModel()
	next.dirs = m.dirs
	from := m.durable
	if keepNames {
		from = m.names
	}
	for name, c := range from {
		b := c.synced
		if keepData {
			b = c.now
		}
		next.names[name] = &content{b, b}
	}
	next.durable = maps.Clone(next.names)
	return next
}

// A save is six steps and the making of the folder. Whichever is the last
// before the power goes, the record is the one before or the new one; after
// Save has said yes it is the new one.
func TestPowerCutAtEveryStepOfASave(t *testing.T) {
	rec := func(i int) Record { return Record{Base: 7, PerPulse: 0.5, Count: uint64(i)} }
	const before = 3 // saves that went well
	for before := range before + 1 {
		for steps := 0; ; steps++ {
			done := false
			for _, keep := range [][2]bool{{false, false}, {true, false}, {false, true}, {true, true}} {
				m := newModel()
				s := &Store{disk: m, dir: "c", name: "water"}
				for i := range before {
					if err := s.Save(rec(i + 1)); err != nil {
						t.Fatal(err)
					}
				}
				m.left = steps
				err := s.Save(rec(before + 1))
				done = err == nil
				if !done && !errors.Is(err, errCut) {
					t.Fatalf("step %d: got %v", steps, err)
				}
				again := &Store{disk: m.cut(keep[0], keep[1]), dir: "c", name: "water"}
				got, found, loadErr := again.Load()
				what := fmt.Sprintf("%d saves, cut after step %d of the next, names %v, data %v", before, steps, keep[0], keep[1])
				switch {
				case loadErr != nil:
					t.Errorf("%s: %v", what, loadErr)
				case done && got != rec(before+1):
					t.Errorf("%s: got %+v after a save that was said to be done", what, got)
				case before > 0 && (!found || got != rec(before) && got != rec(before+1)):
					t.Errorf("%s: got %+v, %v", what, got, found)
				case before == 0 && found && got != rec(1):
					t.Errorf("%s: got %+v", what, got)
				}
				// The next save goes on from there.
				again.disk.(*model).left = -1
				if err := again.Save(rec(9)); err != nil {
					t.Fatal(err)
				}
				last := &Store{disk: again.disk, dir: "c", name: "water"}
				if got, _, err := last.Load(); err != nil || got != rec(9) {
					t.Errorf("%s: the next save gave %+v, %v", what, got, err)
				}
			}
			if done {
				if steps < 6 {
					t.Errorf("a save has %d steps, want at least 6 of them tested", steps)
				}
				break
			}
		}
	}
}

// A disk that fails without a power cut: the same process tries again later.
func TestSaveThatFailedIsDoneLater(t *testing.T) {
	for steps := range 6 {
		m := newModel()
		s := &Store{disk: m, dir: "c", name: "gas"}
		if err := s.Save(Record{Count: 1}); err != nil {
			t.Fatal(err)
		}
		m.left = steps
		if err := s.Save(Record{Count: 2}); !errors.Is(err, errCut) || !strings.Contains(err.Error(), "save counter gas") {
			t.Errorf("step %d: got %v", steps, err)
		}
		m.left = -1
		if err := s.Save(Record{Count: 3}); err != nil {
			t.Errorf("after step %d: %v", steps, err)
		}
		if got, _, err := (&Store{disk: m.cut(false, false), dir: "c", name: "gas"}).Load(); err != nil || got.Count != 3 {
			t.Errorf("after step %d: got %+v, %v", steps, got, err)
		}
	}
}

func TestDamagedRecordIsToldAndTheOneBeforeUsed(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func([]byte) []byte
		err    string
	}{
		{"a bit", func(b []byte) []byte { b[20] ^= 1; return b }, "its checksum is wrong"},
		{"short", func(b []byte) []byte { return b[:10] }, "it has 10 bytes, not 45"},
		{"empty", func([]byte) []byte { return nil }, "it has 0 bytes"},
		{"of a later version", func(b []byte) []byte { b[0] = 2; return b }, "version 2 is not known"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "counters")
			s := NewStore(dir, "water")
			if _, found, err := s.Load(); found || err != nil {
				t.Fatalf("before the first save: found %v, %v", found, err)
			}
			for i := range 4 {
				if err := s.Save(Record{Base: 1, PerPulse: 0.25, Count: uint64(i)}); err != nil {
					t.Fatal(err)
				}
			}
			newest := filepath.Join(dir, "water.0") // of the fourth
			b, err := os.ReadFile(newest)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(newest, c.damage(b), 0o600); err != nil {
				t.Fatal(err)
			}
			again := NewStore(dir, "water")
			got, found, err := again.Load()
			if !found || got.Count != 2 {
				t.Errorf("got %+v, %v, want the third", got, found)
			}
			if err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), newest) {
				t.Errorf("got %v, want %q", err, c.err)
			}
			if err := again.Save(Record{Count: 77}); err != nil {
				t.Fatal(err)
			}
			if got, _, err := NewStore(dir, "water").Load(); err != nil || got.Count != 77 {
				t.Errorf("after the next save: got %+v, %v", got, err)
			}
		})
	}
}

func TestFolderThatCannotBeHad(t *testing.T) {
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := NewStore(filepath.Join(blocked, "counters"), "water")
	if err := s.Save(Record{}); err == nil || !strings.Contains(err.Error(), "save counter water") {
		t.Errorf("save: got %v", err)
	}
	if _, found, err := s.Load(); found || err == nil {
		t.Errorf("load: got %v, %v", found, err)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add(encode(3, Record{1, 2, 3, 4}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		gen, rec, err := decode(b)
		if err == nil && string(encode(gen, rec)) != string(b) {
			t.Errorf("%x is read as %d %+v, which is written differently", b, gen, rec)
		}
	})
}
