package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"tidegate/internal/boltpage"
	"tidegate/internal/whole"
)

// opener opens a file; tests put one that breaks in its place.
type opener func(name string, flag int, perm os.FileMode) (*os.File, error)

// file is one bbolt file of the spool. Rows are only ever added to it, by the
// committer, while it is the newest; then it is read until it has drained.
type file struct {
	number int
	path   string
	open   opener
	step   int // bytes

	thinned uint8        // classes whose waiting rows were dropped, a bit each; the committer's
	tidied  int          // rows that were done when it was last rewritten; the committer's
	damaged atomic.Bool  // found while reading: to be set aside
	cramped atomic.Bool  // damaged, and no room for a copy of its rows: they are read where they are
	size    atomic.Int64 // bytes in use
	used    atomic.Int64 // unix seconds of the last read

	spans map[streamKey]*span // guarded by disk.mu

	// use is held for reading by whoever reads through db, and for writing to
	// open, close or replace it. It is the one lock under which the disk is
	// touched; no stream's lock is ever held with it.
	use    sync.RWMutex
	db     *bbolt.DB
	handle *os.File // db's own, to give up its lock when db cannot be closed
	stuck  bool     // bbolt panicked: its locks may be held for ever
	rows   map[streamKey]uint64
	filled int64 // bytes of rows committed, with what bbolt adds to each
}

// span is a stream's part of a file.
type span struct {
	first, last uint64 // sequences
	rows        int
	bytes       int64
	counted     bool // in this process; guarded by disk.mu too
}

// batch is what one transaction writes: rows in order of stream and sequence,
// as slices of buf, and cursors.
type batch struct {
	buf     []byte
	rows    []rowRef
	cursors map[streamKey]mark
}

type rowRef struct {
	stream     streamKey
	seq        uint64
	start, end int // in buf
}

// reset empties b for the next transaction. The buffer stays, or a backlog
// would grow a new one for each; only what one huge message needed is given
// back.
func (b *batch) reset() {
	if cap(b.buf) > 2*batchBytes {
		*b = batch{}
	}
	b.buf, b.rows, b.cursors = b.buf[:0], b.rows[:0], nil
}

// createFile makes a new, empty spool file for writing at path. room is about
// the size it will grow to, in bytes: it is mapped once, because mapping it
// anew has to wait for readers. The file itself grows by step bytes.
func createFile(path string, open opener, room int64, step int) (*file, error) {
	f := &file{path: path, open: open, step: step, spans: make(map[streamKey]*span), rows: make(map[streamKey]uint64)}
	err := f.start(&bbolt.Options{InitialMmapSize: int(room + room/2)})
	if err == nil {
		err = whole.SyncDir(filepath.Dir(path))
	}
	if err != nil {
		err = errors.Join(err, f.close())
		_ = os.Remove(path)
		return nil, fmt.Errorf("create spool file %s: %w", path, err)
	}
	return f, nil
}

// start opens the file with opt. The caller holds f.use, or is alone.
func (f *file) start(opt *bbolt.Options) error {
	opt.PageSize, opt.Timeout, opt.NoStatistics = pageSize, 5*time.Second, true
	// The freelist is synced although nothing needs it: without it bbolt
	// walks the tree in a goroutine of its own when a commit fails, where a
	// fault cannot be caught.
	opt.FreelistType = bbolt.FreelistMapType
	opt.OpenFile = func(name string, flag int, perm os.FileMode) (*os.File, error) {
		h, err := f.open(name, flag, perm)
		f.handle = h
		return h, err
	}
	err := guard(func() (err error) {
		f.db, err = bbolt.Open(f.path, 0o600, opt)
		return err
	})
	if err != nil {
		f.db = nil
		if f.handle != nil {
			_ = f.handle.Close() // no matter if bbolt did: it is this file's only use
			f.handle = nil
		}
		return err
	}
	f.db.AllocSize = f.step
	return nil
}

// close gives the file's mapping and descriptor back. After a panic of bbolt
// its locks may be held for ever; then the mapping is left behind.
func (f *file) close() error {
	f.use.Lock()
	defer f.use.Unlock()
	return f.shut()
}

func (f *file) shut() error {
	db, h := f.db, f.handle
	f.db, f.handle = nil, nil
	if db == nil {
		return nil
	}
	if f.stuck {
		f.stuck = false
		return h.Close()
	}
	return guard(db.Close)
}

// append writes b in one transaction, synced, and returns the bytes the card
// was given. After an error the file must not be written any more: what bbolt
// and the kernel hold of it is uncertain.
func (f *file) append(b *batch) (written int64, err error) {
	f.use.RLock()
	defer f.use.RUnlock()
	if f.db == nil {
		return 0, os.ErrClosed
	}
	committed := make(map[streamKey]uint64, len(f.rows))
	finished := false
	err = guard(func() error {
		f.stuck = true
		tx, err := f.db.Begin(true)
		if err != nil {
			f.stuck = false
			return err
		}
		if err := f.fill(tx, b, committed); err != nil {
			err = errors.Join(err, tx.Rollback())
			f.stuck = false
			return err
		}
		err = tx.Commit()
		f.stuck = false
		stats := tx.Stats()
		written = stats.GetPageAlloc() + pageSize
		finished = err == nil
		return err
	})
	if !finished {
		return written, fmt.Errorf("write spool file %s: %w", f.path, err)
	}
	for k, n := range committed {
		f.rows[k] = n
	}
	f.size.Store(f.fileSize())
	f.filled += int64(len(b.buf)) + int64(len(b.rows))*(boltpage.ItemSize+8)
	return written, nil
}

func (f *file) fill(tx *bbolt.Tx, b *batch, rows map[streamKey]uint64) error {
	var bucket *bbolt.Bucket
	var stream streamKey
	for _, r := range b.rows {
		if bucket == nil || r.stream != stream {
			stream = r.stream
			var err error
			if bucket, err = tx.CreateBucketIfNotExists(stream.name()); err != nil {
				return err
			}
			bucket.FillPercent = 1
		}
		var key [8]byte
		binary.BigEndian.PutUint64(key[:], r.seq)
		if err := bucket.Put(key[:], b.buf[r.start:r.end:r.end]); err != nil {
			return err
		}
		n, ok := rows[stream]
		if !ok {
			n = f.rows[stream]
		}
		rows[stream] = n + 1
	}
	for k, n := range rows {
		if err := tx.Bucket(k.name()).SetSequence(n); err != nil {
			return err
		}
	}
	if len(b.cursors) == 0 {
		return nil
	}
	bucket, err := tx.CreateBucketIfNotExists(cursorBucket)
	if err != nil {
		return err
	}
	for k, m := range b.cursors {
		if err := bucket.Put(k.name(), appendCursor(nil, cursor{k, m})); err != nil {
			return err
		}
	}
	return nil
}

// inUse is about the size of what was committed. The file itself may be
// longer: bbolt makes room ahead.
func (f *file) inUse() int64 { return f.filled }

func (f *file) fileSize() int64 {
	info, err := os.Stat(f.path)
	if err != nil {
		return f.size.Load()
	}
	return info.Size()
}

// read calls visit for the rows of a stream from sequence from on, in order,
// until it returns false. Values are only good during the call. An error means
// that the file is damaged or cannot be read.
func (f *file) read(k streamKey, from uint64, visit func(seq uint64, value []byte) bool) error {
	if err := f.rlock(); err != nil {
		return err
	}
	defer f.use.RUnlock()
	return guard(func() error {
		tx, err := f.db.Begin(false)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		bucket := tx.Bucket(k.name())
		if bucket == nil {
			return fmt.Errorf("%w: a stream is missing", ErrDamaged)
		}
		c := bucket.Cursor()
		var start [8]byte
		binary.BigEndian.PutUint64(start[:], from)
		for key, value := c.Seek(start[:]); key != nil; key, value = c.Next() {
			if len(key) != 8 {
				return fmt.Errorf("%w: a key of %d bytes", ErrDamaged, len(key))
			}
			if !visit(binary.BigEndian.Uint64(key), value) {
				break
			}
		}
		return nil
	})
}

// rlock takes f.use for reading with the file open.
func (f *file) rlock() error {
	for {
		f.use.RLock()
		f.used.Store(time.Now().Unix())
		if f.db != nil {
			return nil
		}
		f.use.RUnlock()
		f.use.Lock()
		var err error
		if f.db == nil {
			err = f.start(&bbolt.Options{ReadOnly: true})
		}
		f.use.Unlock()
		if err != nil {
			return fmt.Errorf("open spool file %s: %w", f.path, err)
		}
	}
}
