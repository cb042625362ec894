package spool

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"time"

	"tidegate/internal/boltpage"
)

// View is what lies in a spool directory, or in one of its files, found without
// a lock and page by page, so that neither a running gateway nor damage is in
// the way. It is as of the moment it was made, with one lag: what the cloud
// has acknowledged since the gateway last wrote its cursors, seconds ago, is
// still in it. What waits in the gateway's RAM is not. Close it.
type View struct {
	At      time.Time
	Files   []FileView   // oldest first
	Streams []StreamView // in the order in which they are sent: older layouts first

	open  []*os.File    // of Files
	pages []io.ReaderAt // theirs
	last  []uint64      // transaction in each before it was read
	spots [][]spot      // of Streams
}

// FileView is one file.
type FileView struct {
	Name  string
	Bytes int64
	Rows  int // intact, acknowledged ones too
	Lost  int // pages that the disk did not give
}

// StreamView is what waits of one link and class.
type StreamView struct {
	Links    int // of the layout
	Link     int
	Class    Class
	Messages int
	Bytes    int64 // as stored
	First    ID
	Last     ID
	Oldest   time.Time // when the first was accepted; zero if no clock was synchronised then

	key streamKey
}

// Stored is one message in a spool file.
type Stored struct {
	Link     int
	Class    Class
	ID       ID
	Accepted time.Time // by the clock of the wall; zero if it was not synchronised
	Message  Message   // without Accepted
}

// spot is where a row lies.
type spot struct {
	seq    uint64
	offset int64
	length uint32
	file   uint16
}

// Look reads a spool directory or one file of it. A file that got its last rows
// when the next one was there already may have been read before: then all is
// read again.
func Look(path string) (*View, error) {
	const tries = 5
	for n := 1; ; n++ {
		v, err := look(path)
		if err != nil || n == tries || v.settled() {
			return v, err
		}
		if err := v.Close(); err != nil {
			return nil, err
		}
	}
}

// settled says whether all files but the newest are as they were.
func (v *View) settled() bool {
	for i, f := range v.open[:max(len(v.open)-1, 0)] {
		if lastIn(f) != v.last[i] {
			return false
		}
	}
	return true
}

// lastIn returns the number of the last transaction in a file; 0 if it cannot be
// told.
func lastIn(f *os.File) uint64 {
	info, err := f.Stat()
	if err != nil {
		return 0
	}
	m, _ := boltpage.Newest(f, info.Size())
	return m.Tx
}

func look(path string) (v *View, err error) {
	names, err := spoolFiles(path)
	if err != nil {
		return nil, err
	}
	v = &View{At: time.Now()}
	defer func() {
		if err != nil {
			v.Close()
		}
	}()
	spots := make(map[streamKey][]spot)
	marks := make(map[streamKey]mark)
	for i, name := range names {
		f, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // drained meanwhile
		}
		if err != nil {
			return v, err
		}
		v.open, v.last = append(v.open, f), append(v.last, lastIn(f))
		if err := v.scan(f, i == len(names)-1, spots, marks); err != nil {
			return v, fmt.Errorf("read %s: %w", name, err)
		}
	}
	for key, all := range spots {
		v.add(key, pending(all, marks[key]))
	}
	return v, v.sort()
}

// spoolFiles returns the files in a directory, oldest first, or path itself.
func spoolFiles(path string) (names []string, err error) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return []string{path}, err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if _, ok := numberOf(e.Name(), suffixFile); ok {
			names = append(names, filepath.Join(path, e.Name()))
		}
	}
	return names, nil // in order of their numbers, which have eight digits
}

// scan finds what is in a file. Only the newest may change under our eyes.
func (v *View) scan(f *os.File, newest bool, spots map[streamKey][]spot, marks map[streamKey]mark) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	pages, size, keep := io.ReaderAt(f), info.Size(), func(*row) bool { return true }
	if newest {
		if b, err := still(f); err == nil { // else page by page, as far as the disk gives them
			pages, size = bytes.NewReader(b), int64(len(b))
			keep = committed(pages, size)
		}
	}
	number := uint16(len(v.pages))
	v.pages = append(v.pages, pages)
	keys, rows, cursors, lost := find(pages, size, keep)
	for _, p := range rows {
		key := keys[p.stream]
		spots[key] = append(spots[key], spot{p.seq, p.offset, p.length, number})
	}
	for key, m := range cursors {
		marks[key] = later(marks[key], m)
	}
	v.Files = append(v.Files, FileView{filepath.Base(f.Name()), info.Size(), len(rows), lost})
	return nil
}

// committed says of a row whether the last transaction leads to it: pages of one
// that is being written may be there, in any order. In a damaged file all rows
// count.
func committed(pages io.ReaderAt, size int64) func(*row) bool {
	type place struct {
		stream streamKey
		seq    uint64
	}
	all := make(map[place]struct{})
	var r row
	err := boltpage.Walk(pages, size, func(_, _, value []byte) error {
		if parseRow(value, &r) == nil {
			all[place{r.stream, r.seq}] = struct{}{}
		}
		return nil
	}, func([]byte, uint64) error { return nil })
	return func(r *row) bool {
		_, ok := all[place{r.stream, r.seq}]
		return ok || err != nil
	}
}

// still copies a file that may be written to as it is between two transactions.
// A transaction changes no page that the one before it leads to, so the copy is
// good when no transaction ended meanwhile, and none had made the file longer
// since its size was asked for.
func still(f interface {
	io.ReaderAt
	Stat() (fs.FileInfo, error)
}) (b []byte, err error) {
	const tries, pause = 100, 5 * time.Millisecond
	for range tries {
		info, err := f.Stat()
		if err != nil {
			return nil, err
		}
		b = slices.Grow(b[:0], int(info.Size()))[:info.Size()]
		before, _ := boltpage.Newest(f, info.Size())
		if _, err := f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		after, _ := boltpage.Newest(f, info.Size())
		now, err := f.Stat()
		if err != nil {
			return nil, err
		}
		if after.Tx == before.Tx && after.Tx > 0 && now.Size() == info.Size() {
			break
		}
		time.Sleep(pause)
	}
	return b, nil
}

// pending is all that is not done yet, each row once, in order.
func pending(all []spot, m mark) []spot {
	slices.SortFunc(all, func(a, b spot) int { return cmp.Or(cmp.Compare(a.seq, b.seq), cmp.Compare(b.file, a.file)) })
	all = slices.CompactFunc(all, func(a, b spot) bool { return a.seq == b.seq })
	done := m.done
	return slices.DeleteFunc(all, func(s spot) bool {
		for len(done) > 0 && s.seq >= done[0].first+done[0].n {
			done = done[1:]
		}
		return s.seq < m.seq || len(done) > 0 && s.seq >= done[0].first
	})
}

func (v *View) add(key streamKey, spots []spot) {
	if len(spots) == 0 {
		return
	}
	st := StreamView{Links: int(key.Links), Link: int(key.Link), Class: key.Class, Messages: len(spots), key: key}
	for _, s := range spots {
		st.Bytes += int64(s.length)
	}
	v.Streams, v.spots = append(v.Streams, st), append(v.spots, spots)
}

// sort puts the streams in order and reads their ends.
func (v *View) sort() error {
	order := make([]int, len(v.Streams))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		x, y := v.Streams[a].key, v.Streams[b].key
		return cmp.Or(cmp.Compare(x.Layout, y.Layout), cmp.Compare(x.Class, y.Class), cmp.Compare(x.Link, y.Link))
	})
	streams, spots := make([]StreamView, len(order)), make([][]spot, len(order))
	for to, from := range order {
		streams[to], spots[to] = v.Streams[from], v.spots[from]
	}
	v.Streams, v.spots = streams, spots
	for i := range v.Streams {
		st, all := &v.Streams[i], v.spots[i]
		first, err := v.read(st.key, all[0])
		if err != nil {
			return err
		}
		last, err := v.read(st.key, all[len(all)-1])
		if err != nil {
			return err
		}
		st.First, st.Last, st.Oldest = first.ID, last.ID, first.Accepted
	}
	return nil
}

// Rows returns what waits in the i-th of Streams, in the order in which it is
// sent. It ends with the first error.
func (v *View) Rows(i int) iter.Seq2[Stored, error] {
	return func(yield func(Stored, error) bool) {
		for _, s := range v.spots[i] {
			m, err := v.read(v.Streams[i].key, s)
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
}

func (v *View) read(key streamKey, s spot) (Stored, error) {
	r, err := place{length: s.length, offset: s.offset}.read(v.pages[s.file])
	if err != nil {
		return Stored{}, fmt.Errorf("read %s: %w", v.Files[s.file].Name, err)
	}
	m := Stored{Link: int(key.Link), Class: key.Class, ID: ID{r.at.Epoch, r.id}, Message: r.msg}
	if r.at.Wall != 0 {
		m.Accepted = time.UnixMilli(r.at.Wall)
	}
	return m, nil
}

// Close lets go of the files.
func (v *View) Close() error {
	var err error
	for _, f := range v.open {
		err = errors.Join(err, f.Close())
	}
	return err
}
