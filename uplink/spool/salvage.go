package spool

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"tidegate/internal/boltpage"
)

// place is where an intact row lies in a file.
type place struct {
	stream uint16 // index into a table of keys
	length uint32
	seq    uint64
	offset int64
}

// find looks through every page of the file, with plain reads only, for rows
// and cursors that are intact, and returns the rows in order of stream and
// sequence, each once. A row that was once committed belongs to the file
// whether or not the tree still leads to it, because rows are never deleted.
func find(f io.ReaderAt, size int64, keep func(*row) bool) (keys []streamKey, rows []place, cursors map[streamKey]mark, unreadable int) {
	index := make(map[streamKey]uint16)
	cursors = make(map[streamKey]mark)
	var r row
	found := func(_, value []byte, offset int64) {
		if c, err := parseCursor(value); err == nil {
			cursors[c.stream] = later(cursors[c.stream], c.mark)
			return
		}
		if parseRow(value, &r) != nil || !keep(&r) {
			return
		}
		i, ok := index[r.stream]
		if !ok {
			i = uint16(len(keys))
			index[r.stream], keys = i, append(keys, r.stream)
		}
		rows = append(rows, place{i, uint32(len(value)), r.seq, offset})
	}
	unreadable = boltpage.Scan(f, size, func(p boltpage.Page) { p.Rows(found) })
	slices.SortFunc(rows, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.stream, b.stream), cmp.Compare(a.seq, b.seq))
	})
	rows = slices.CompactFunc(rows, func(a, b place) bool { return a.stream == b.stream && a.seq == b.seq })
	return keys, rows, cursors, unreadable
}

// noRoom says whether the card is full.
func noRoom(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

// visit calls row for what find finds in the file at path, until it returns
// false. A page that the disk does not give is an error before the first call.
func visit(path string, keep func(*row) bool, row func(*row) bool) (map[streamKey]mark, error) {
	src, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	info, err := src.Stat()
	if err != nil {
		return nil, err
	}
	_, places, cursors, unreadable := find(src, info.Size(), keep)
	if unreadable > 0 {
		return nil, fmt.Errorf("%w: %d pages of %s", boltpage.ErrDisk, unreadable, path)
	}
	for _, p := range places {
		r, err := p.read(src)
		if err != nil {
			return nil, fmt.Errorf("read %s again: %w", path, err)
		}
		if !row(&r) {
			break
		}
	}
	return cursors, nil
}

func (p place) read(src io.ReaderAt) (r row, err error) {
	b := make([]byte, p.length)
	if _, err := src.ReadAt(b, p.offset); err != nil {
		return r, err
	}
	return r, parseRow(b, &r)
}

// intact reports what rewrite would save of the file at path.
func intact(path string) (Report, error) {
	rep := Report{Path: path}
	sum := newSummary(&rep)
	cursors, err := visit(path, func(*row) bool { return true }, func(r *row) bool {
		sum.count(r)
		return true
	})
	for key, m := range cursors {
		sum.cursor(cursor{key, m})
	}
	sum.finish()
	return rep, err
}

// intact is rows for a damaged file of which there is no copy. Each call looks
// through the whole file.
func (p part) intact(k streamKey, from, bound uint64, limit int) (rows []row, end uint64, err error) {
	p.f.use.RLock() // the file may be replaced after all
	defer p.f.use.RUnlock()
	end = bound
	size := 0
	_, err = visit(p.f.path, func(r *row) bool {
		return r.stream == k && r.seq >= from && r.seq < bound && r.seq <= p.span.last
	}, func(r *row) bool {
		if len(rows) == limit || size > 0 && size+messageSize(&r.msg) > readBytes {
			end = r.seq
			return false
		}
		rows = append(rows, *r)
		size += messageSize(&r.msg)
		return true
	})
	return rows, end, err
}

const salvageBatch = 1 << 20 // bytes of rows a transaction

// rewrite saves what is intact in the spool file at path, and what keep says
// of it, into a new, synced and closed file at to, and reports what that holds.
// It needs memory for one batch and some 24 bytes a row. A patient one gives up
// with boltpage.ErrDisk rather than lose a page that the disk may give later.
func rewrite(path, to string, open opener, patient bool, keep func(*row) bool) (rep Report, written int64, err error) {
	src, err := os.Open(path)
	if err != nil {
		return Report{}, 0, err
	}
	defer src.Close()
	info, err := src.Stat()
	if err != nil {
		return Report{}, 0, err
	}
	keys, places, cursors, unreadable := find(src, info.Size(), keep)
	if unreadable > 0 && patient {
		return Report{}, 0, fmt.Errorf("%w: %d pages", boltpage.ErrDisk, unreadable)
	}
	if err := os.Remove(to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return Report{}, 0, err
	}
	dst, err := createFile(to, open, 0, 16<<10)
	if err != nil {
		return Report{}, 0, err
	}
	defer func() {
		err = errors.Join(err, dst.close())
	}()
	rep = Report{Path: to}
	sum := newSummary(&rep)
	batch := batch{cursors: cursors}
	for key, m := range cursors {
		sum.cursor(cursor{key, m})
	}
	for i, p := range places {
		at := len(batch.buf)
		batch.buf = append(batch.buf, make([]byte, p.length)...)
		if _, err := src.ReadAt(batch.buf[at:], p.offset); err != nil {
			return rep, written, fmt.Errorf("read %s: %w", path, err)
		}
		var r row
		if err := parseRow(batch.buf[at:], &r); err != nil {
			return rep, written, fmt.Errorf("read %s again: %w", path, err)
		}
		sum.count(&r)
		batch.rows = append(batch.rows, rowRef{keys[p.stream], p.seq, at, len(batch.buf)})
		if len(batch.buf) >= salvageBatch || i == len(places)-1 {
			n, err := dst.append(&batch)
			written += n
			if err != nil {
				return rep, written, err
			}
			batch.reset()
		}
	}
	if len(places) == 0 {
		n, err := dst.append(&batch)
		return rep, written + n, err
	}
	sum.finish()
	return rep, written, nil
}
