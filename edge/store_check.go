package edge

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"tidegate/internal/boltpage"
	"tidegate/internal/wall"
)

const dbPageSize = boltpage.Size

var retainedBucket = []byte("retained")

// CheckStore reads all of an edge.db and returns what is wrong with it. It is
// meant for a child process ("tidegate edge check PATH"): bbolt meets damage
// with panics in goroutines of its own and faults in its memory map, and may
// take the process down. So any end but exit code 0 means damage.
func CheckStore(path string) error {
	return guardFaults(func() error {
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, PageSize: dbPageSize, Timeout: 5 * time.Second, PreLoadFreelist: true})
		if errors.Is(err, bolterrors.ErrTimeout) {
			return fmt.Errorf("in use by a running gateway; stop that first, or check a copy: %w", err)
		}
		if err != nil {
			return err
		}
		defer db.Close()
		return db.View(func(tx *bbolt.Tx) error {
			var first error
			for err := range tx.Check() {
				if first == nil {
					first = err
				}
			}
			if first != nil {
				return first
			}
			if err := readRows(tx, nil); err != nil {
				return err
			}
			_, _, err := readSessions(tx)
			return err
		})
	})
}

// damage says that a file's content, not the disk or a permission, is wrong.
type damage struct {
	what     any
	panicked bool // bbolt may hold its locks for ever: do not close
}

func (d *damage) Error() string { return fmt.Sprint(d.what) }

// guardFaults calls f and turns a panic, or a fault in a memory map, into an error.
// It cannot help with goroutines that f starts.
func guardFaults(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = &damage{what: r, panicked: true}
		}
	}()
	return f()
}

// readRows calls keep (may be nil) with every row; a row that cannot be read
// is left out and makes the error.
func readRows(tx *bbolt.Tx, keep func(*Message)) error {
	bucket := tx.Bucket(retainedBucket)
	if bucket == nil {
		return nil
	}
	bad := 0
	now, synchronised := wall.Now()
	err := bucket.ForEach(func(key, row []byte) error {
		m, _, err := decodeRow(key, row, now, synchronised)
		if err != nil {
			bad++
		} else if m != nil && keep != nil {
			keep(m)
		}
		return nil
	})
	if bad > 0 {
		err = errors.Join(err, &damage{what: fmt.Sprintf("%d damaged rows", bad)})
	}
	return err
}

// salvage reads what can still be read of a damaged file, with a reader of its
// own that trusts nothing. Rows it reaches from the newest readable root are
// as they were; when a part of the tree cannot be read, whole rows found
// anywhere in the file fill in for topics not yet seen, the newest copy of
// each, and may bring back what had been deleted not long before. Sessions and
// their queues are not looked for like that: to clients that would send
// everything again.
func salvage(path string, keep func(*Message)) ([]*savedSession, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	s := &salvager{f: f, pages: uint64(info.Size() / dbPageSize), seen: map[uint64]bool{}, best: map[string]savedRow{}, trusted: true}
	s.now, s.synchronised = wall.Now()
	newest, _ := boltpage.Newest(f, info.Size()) // one whole meta will do
	if !s.walk(newest.Root, "", 0) {
		s.trusted = false
		boltpage.Scan(f, info.Size(), func(p boltpage.Page) {
			p.Rows(func(key, value []byte, _ int64) { s.row(key, value) })
		})
	}
	for _, row := range s.best {
		if row.m != nil {
			keep(row.m)
		}
	}
	return s.found.list(), nil
}

type salvager struct {
	f            *os.File
	pages        uint64
	seen         map[uint64]bool
	best         map[string]savedRow // by key
	trusted      bool                // rows read now are reached from the root
	found        savedSessions
	now          time.Time
	synchronised bool
}

type savedRow struct {
	m       *Message // nil: over
	commit  uint64
	trusted bool
}

// page reads a page that says that it is id and stands whole in the file.
func (s *salvager) page(id uint64) (p boltpage.Page, ok bool) {
	p, err := boltpage.Read(s.f, int64(s.pages)*dbPageSize, id)
	return p, err == nil && p.ID == id && uint64(p.Overflow) < s.pages-id
}

// walk reads the tree below a page: the bucket of buckets, whose name is "", or
// one of those in it. It returns whether all of it was readable.
func (s *salvager) walk(id uint64, bucket string, depth int) bool {
	if id < 2 || s.seen[id] || depth > 40 {
		return false
	}
	s.seen[id] = true
	p, ok := s.page(id)
	switch {
	case !ok:
		return false
	case p.Flags == boltpage.Branch:
		whole := true
		for i := range p.Count {
			_, child, _ := p.Child(i)
			whole = s.walk(child, bucket, depth+1) && whole
		}
		return whole
	case p.Flags != boltpage.Leaf:
		return false
	case bucket != "":
		return s.rows(p, bucket)
	}
	return s.buckets(p, depth)
}

func (s *salvager) buckets(p boltpage.Page, depth int) bool {
	whole := true
	for i := range p.Count {
		flags, key, value, ok := p.Item(i)
		if whole = whole && ok; !ok || flags&boltpage.BucketItem == 0 {
			continue
		}
		b, err := boltpage.ParseBucket(value)
		if err == nil && b.Root != 0 {
			whole = s.walk(b.Root, string(key), depth+1) && whole
		} else {
			whole = err == nil && b.Inline.Flags == boltpage.Leaf && s.rows(b.Inline, string(key)) && whole
		}
	}
	return whole
}

// rows keeps the whole rows of a leaf and returns whether all were whole.
func (s *salvager) rows(p boltpage.Page, bucket string) bool {
	whole := true
	for i := range p.Count {
		_, key, value, ok := p.Item(i)
		if ok {
			switch bucket {
			case string(retainedBucket):
				ok = s.row(key, value)
			case string(sessionBucket):
				ok = s.found.session(key, value, s.now, s.synchronised) == nil
			case string(queueBucket):
				ok = s.found.delivery(key, value, s.now, s.synchronised) == nil
			}
		}
		whole = ok && whole
	}
	return whole
}

// row keeps the newest copy of a row and returns whether it was whole.
func (s *salvager) row(key, value []byte) bool {
	m, commit, err := decodeRow(key, value, s.now, s.synchronised)
	if err != nil {
		return false
	}
	old, known := s.best[string(key)]
	if !known || !old.trusted && commit > old.commit {
		s.best[string(key)] = savedRow{m, commit, s.trusted}
	}
	return true
}
