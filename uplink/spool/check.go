package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"

	"tidegate/internal/boltpage"
)

// ErrDamaged says that a spool file cannot be trusted as it is; what is intact
// in it can be saved.
var ErrDamaged = errors.New("spool file is damaged")

// Report is what Check found in a file.
type Report struct {
	Path    string           `json:"path"`
	Bytes   int64            `json:"bytes"`
	Rows    int64            `json:"rows"`
	Streams []StreamReport   `json:"streams,omitempty"`
	Cursors []CursorReport   `json:"cursors,omitempty"`
	Epochs  map[uint64]int64 `json:"epochs,omitempty"` // boot epoch to the largest milliseconds since its start
	Damage  string           `json:"damage,omitempty"` // the first thing found wrong
}

// StreamReport is one stream's part of a file.
type StreamReport struct {
	Layout  uint64            `json:"layout"`
	Links   uint16            `json:"links"`
	Link    uint16            `json:"link"`
	Class   Class             `json:"class"`
	First   uint64            `json:"first"` // sequence
	Last    uint64            `json:"last"`
	Rows    int               `json:"rows"`
	Bytes   int64             `json:"bytes"`   // of the messages
	Oldest  [3]int64          `json:"oldest"`  // stamp of the first row: epoch, ms since its start, wall ms
	Buckets map[uint16]uint32 `json:"buckets"` // rows by hash bucket of the topic
}

// CursorReport says that a stream is done up to, but not including, Seq, and
// above it where Done says: pairs of a sequence and a number of rows.
type CursorReport struct {
	Layout uint64 `json:"layout"`
	Links  uint16 `json:"links"`
	Link   uint16 `json:"link"`
	Class  Class  `json:"class"`
	Seq    uint64 `json:"seq"`

	Done [][2]uint64 `json:"done,omitempty"`
}

func (r *CursorReport) mark() mark {
	m := mark{seq: r.Seq}
	for _, d := range r.Done {
		m.done = append(m.done, stretch{d[0], d[1]})
	}
	return m
}

func (r *StreamReport) key() streamKey { return streamKey{r.Layout, r.Links, r.Link, r.Class} }
func (r *StreamReport) oldest() stamp {
	return stamp{uint64(r.Oldest[0]), r.Oldest[1], r.Oldest[2]}
}
func (r *CursorReport) key() streamKey { return streamKey{r.Layout, r.Links, r.Link, r.Class} }

const pageSize = boltpage.Size

var cursorBucket = []byte("cursor")

// Check reads all of the spool file at path, first by itself and then through
// bbolt, and counts what is in it. It changes nothing. The error wraps
// ErrDamaged when the file is damaged (Report.Damage says where), otherwise the
// file could not be read.
//
// Damage may crash the calling process inside bbolt; the gateway runs Check in
// a child process.
func Check(path string) (Report, error) {
	rep := Report{Path: path}
	f, err := os.Open(path)
	if err != nil {
		return rep, fmt.Errorf("check spool file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return rep, fmt.Errorf("check spool file: %w", err)
	}
	rep.Bytes = info.Size()
	sum := newSummary(&rep)
	err = boltpage.Walk(f, rep.Bytes, sum.row, sum.bucket)
	if err == nil {
		err = crossCheck(path, rep.Rows)
	}
	if err != nil {
		rep.Damage = err.Error()
		return rep, fmt.Errorf("%w: %s: %s", ErrDamaged, path, rep.Damage)
	}
	sum.finish()
	return rep, nil
}

// summary fills a Report row by row.
type summary struct {
	rep     *Report
	streams map[streamKey]*StreamReport
	order   []*StreamReport
	row1    row
}

func newSummary(rep *Report) *summary {
	rep.Epochs = make(map[uint64]int64)
	return &summary{rep: rep, streams: make(map[streamKey]*StreamReport)}
}

func (s *summary) row(bucket, key, value []byte) error {
	if bytes.Equal(bucket, cursorBucket) {
		c, err := parseCursor(value)
		if err != nil || !bytes.Equal(c.stream.name(), key) {
			return errors.New("damaged cursor")
		}
		s.cursor(c)
		return nil
	}
	if err := parseRow(value, &s.row1); err != nil {
		return err
	}
	r := &s.row1
	if !bytes.Equal(r.stream.name(), bucket) || len(key) != 8 || binary.BigEndian.Uint64(key) != r.seq {
		return errors.New("row in the wrong place")
	}
	s.count(r)
	return nil
}

func (s *summary) cursor(c cursor) {
	r := CursorReport{Layout: c.stream.Layout, Links: c.stream.Links, Link: c.stream.Link, Class: c.stream.Class, Seq: c.seq}
	for _, d := range c.done {
		r.Done = append(r.Done, [2]uint64{d.first, d.n})
	}
	s.rep.Cursors = append(s.rep.Cursors, r)
}

// count takes rows of a stream in order of their sequence.
func (s *summary) count(r *row) {
	st := s.streams[r.stream]
	if st == nil {
		st = &StreamReport{Layout: r.stream.Layout, Links: r.stream.Links, Link: r.stream.Link, Class: r.stream.Class, First: r.seq,
			Oldest: [3]int64{int64(r.at.Epoch), r.at.Mono, r.at.Wall}, Buckets: make(map[uint16]uint32)}
		s.streams[r.stream] = st
		s.order = append(s.order, st)
	}
	st.Last = r.seq
	st.Rows++
	st.Bytes += int64(messageSize(&r.msg))
	st.Buckets[bucketOf(r.msg.Topic)]++
	s.rep.Rows++
	s.rep.Epochs[r.at.Epoch] = max(s.rep.Epochs[r.at.Epoch], r.at.Mono)
}

// bucket compares a bucket's sequence, which holds the number of its rows,
// with what was found: a page that is intact but stale shows here.
func (s *summary) bucket(name []byte, sequence uint64) error {
	if bytes.Equal(name, cursorBucket) {
		return nil
	}
	key, ok := parseStreamName(name)
	if !ok {
		return fmt.Errorf("bucket %x is no stream", name)
	}
	found := 0
	if st := s.streams[key]; st != nil {
		found = st.Rows
	}
	if uint64(found) != sequence {
		return fmt.Errorf("stream %x has %d rows instead of %d", name, found, sequence)
	}
	return nil
}

func (s *summary) finish() {
	for _, st := range s.order {
		s.rep.Streams = append(s.rep.Streams, *st)
	}
}

// crossCheck counts the rows once more as the gateway will read them.
func crossCheck(path string, want int64) error {
	return guard(func() error {
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second, PageSize: pageSize})
		if err != nil {
			return err
		}
		defer db.Close()
		var got int64
		err = db.View(func(tx *bbolt.Tx) error {
			return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
				if bytes.Equal(name, cursorBucket) {
					return nil
				}
				return b.ForEach(func(_, _ []byte) error {
					got++
					return nil
				})
			})
		})
		if err == nil && got != want {
			err = fmt.Errorf("bbolt finds %d rows of %d", got, want)
		}
		return err
	})
}

// guard runs f and turns a panic or a fault in mapped memory, which is what
// damage looks like inside bbolt, into an error that wraps ErrDamaged.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, r)
		}
	}()
	return f()
}
