// Package formats says which versions of its stored forms the software reads
// and writes, and what becomes of a data directory whose forms are newer.
//
// The file "formats" in the data directory has the versions in which its stores
// are written, a line each: "edge 1", "spool 1". A store is written in the
// newest version that the software knows, unless a limit is set: while new
// software is on trial, it writes nothing that the software in the other slot
// could not read, so that a return keeps everything. The first start after the
// trial goes on to the newest; the line is on disk before the first newer row.
//
// Software that meets a store in a version newer or older than it reads touches
// nothing in it: its files are moved, whole, to the folder STORE.format-N and
// the store begins afresh. When software that reads N starts, files of a spool
// are moved back among those that came meanwhile, and go to the cloud before
// them; an edge.db is moved back if there is no newer one. So the home is served
// whatever comes, and a return loses nothing that was to go up.
package formats

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"tidegate/internal/whole"
)

// Range is the versions of a form that software reads; it writes Max.
type Range struct{ Min, Max int }

// Set is what software reads, by store.
type Set map[string]Range

// Ours is what this software reads. Whoever changes a stored form so that older
// software cannot read it raises Max and goes on reading and writing the
// version before, because a trial of the new software needs it.
func Ours() Set { return Set{"edge": {1, 1}, "spool": {1, 1}} }

// String is the form that ParseSet reads: "edge=1-1 spool=1-2".
func (s Set) String() string {
	var words []string
	for _, store := range slices.Sorted(maps.Keys(s)) {
		words = append(words, fmt.Sprintf("%s=%d-%d", store, s[store].Min, s[store].Max))
	}
	return strings.Join(words, " ")
}

// ParseSet reads what String returns.
func ParseSet(text string) (Set, error) {
	s := Set{}
	for _, word := range strings.Fields(text) {
		store, rest, _ := strings.Cut(word, "=")
		low, high, ok := strings.Cut(rest, "-")
		lowest, err := strconv.Atoi(low)
		highest, err2 := strconv.Atoi(high)
		if !ok || err != nil || err2 != nil || lowest < 1 || highest < lowest || strings.Trim(store, "abcdefghijklmnopqrstuvwxyz") != "" || store == "" {
			return nil, fmt.Errorf("formats %q: a word is like spool=1-2", text)
		}
		s[store] = Range{lowest, highest}
	}
	return s, nil
}

// Reads returns an error that names the first store which software with s
// cannot read in the version that written says.
func (s Set) Reads(written map[string]int) error {
	for _, store := range slices.Sorted(maps.Keys(written)) {
		v := written[store]
		if r := s[store]; v < r.Min || v > r.Max {
			return fmt.Errorf("%s is stored in version %d, and that software reads %s", store, v, cmp.Or(s.String(), "none"))
		}
	}
	return nil
}

const marker = "formats"

// Written returns the versions in which the stores of a data directory are
// written. A directory that does not say is written in version 1.
func Written(dir string) (map[string]int, error) {
	data, err := os.ReadFile(filepath.Join(dir, marker))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	written := map[string]int{}
	for line := range bytes.Lines(data) {
		store, text, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
		if v, err := strconv.Atoi(text); err == nil && v > 0 && store == filepath.Base(store) {
			written[store] = v
		}
	}
	for store := range Ours() {
		if written[store] == 0 {
			written[store] = 1
		}
	}
	return written, nil
}

// Store is where one store keeps its files in a data directory.
type Store struct {
	Name  string   // as in Set
	Files []string // patterns of filepath.Match, relative to the data directory
}

// Enter makes a data directory ready for software that reads ours and returns
// the versions in which it is to write, and what was moved, in words. limit, by
// store, is the highest version that may be written; nil for none.
func Enter(dir string, stores []Store, ours Set, limit Set) (write map[string]int, moved []string, err error) {
	was, err := Written(dir)
	if err != nil {
		return nil, nil, err
	}
	write = map[string]int{}
	for _, st := range stores {
		r, have := ours[st.Name], max(was[st.Name], 1)
		ceiling := r.Max
		if l, ok := limit[st.Name]; ok {
			ceiling = max(min(r.Max, l.Max), r.Min)
		}
		write[st.Name] = ceiling
		if have < r.Min || have > r.Max {
			n, to, err := st.setAside(dir, have)
			if err != nil {
				return nil, moved, fmt.Errorf("set aside what this software cannot read: %w", err)
			}
			if n > 0 {
				moved = append(moved, fmt.Sprintf("%s is in version %d, of other software: %d files wait in %s, and it begins afresh", st.Name, have, n, to))
			}
		} else {
			write[st.Name] = max(ceiling, have) // what is there stays as it is
		}
		for v := r.Min; v <= write[st.Name]; v++ {
			n, err := st.takeBack(dir, v)
			if err != nil {
				return nil, moved, fmt.Errorf("take back what was set aside: %w", err)
			}
			if n > 0 {
				moved = append(moved, fmt.Sprintf("%s: %d files that waited in version %d are back", st.Name, n, v))
			}
		}
	}
	if _, err := os.Stat(filepath.Join(dir, marker)); err == nil && maps.Equal(write, was) {
		return write, moved, nil
	}
	return write, moved, store(dir, write)
}

func (st Store) aside(dir string, v int) string {
	return filepath.Join(dir, fmt.Sprintf("%s.format-%d", st.Name, v))
}

// setAside moves the store's files to where they wait for software that reads
// version v.
func (st Store) setAside(dir string, v int) (n int, to string, err error) {
	to = st.aside(dir, v)
	for _, pattern := range st.Files {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return n, to, err
		}
		for _, name := range found {
			moved, err := move(name, filepath.Join(to, filepath.Base(name)), true)
			if n += moved; err != nil {
				return n, to, err
			}
		}
	}
	return n, to, nil
}

// takeBack moves the files that waited to their places. One whose place is
// taken, and which is not numbered, stays where it is: what is there is newer.
func (st Store) takeBack(dir string, v int) (n int, err error) {
	from := st.aside(dir, v)
	entries, err := os.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	for _, e := range entries {
		moved, err := move(filepath.Join(from, e.Name()), filepath.Join(dir, e.Name()), false)
		if n += moved; err != nil {
			return n, err
		}
	}
	os.Remove(from) // when it is empty
	return n, err
}

// move renames a file, or all files of a folder, to another place. A file of
// the spool, NNNNNNNN.spool, whose number is taken gets the next free one: its
// rows name their stream, which is another than those of the files that came
// meanwhile. Any other whose place is taken gets another name if it must go.
//
// A power cut in the middle leaves some here and some there; the next start
// moves the rest, because the marker is written last.
func move(from, to string, must bool) (n int, err error) {
	info, err := os.Lstat(from)
	if err != nil {
		return 0, err
	}
	if !info.IsDir() {
		if to = free(to, must); to == "" {
			return 0, nil
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return 0, err
		}
		return 1, errors.Join(os.Rename(from, to), whole.SyncDir(filepath.Dir(to)), whole.SyncDir(filepath.Dir(from)))
	}
	entries, err := os.ReadDir(from)
	for _, e := range entries {
		moved, err := move(filepath.Join(from, e.Name()), filepath.Join(to, e.Name()), must)
		if n += moved; err != nil {
			return n, err
		}
	}
	os.Remove(from) // when it is empty
	return n, err
}

func free(name string, must bool) string {
	taken := func(name string) bool { _, err := os.Lstat(name); return err == nil }
	base, numbered := strings.CutSuffix(filepath.Base(name), ".spool")
	number, err := strconv.Atoi(base)
	numbered = numbered && err == nil
	for i := 1; taken(name); i++ {
		switch {
		case numbered:
			name = filepath.Join(filepath.Dir(name), fmt.Sprintf("%08d.spool", number+i))
		case must:
			name = fmt.Sprintf("%s.%d", strings.TrimSuffix(name, fmt.Sprintf(".%d", i-1)), i)
		default:
			return ""
		}
	}
	return name
}

// store writes the marker: all of it or nothing.
func store(dir string, write map[string]int) error {
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(write)) {
		fmt.Fprintf(&b, "%s %d\n", name, write[name])
	}
	return whole.Write(filepath.Join(dir, marker), whole.Bytes(b.Bytes()))
}
