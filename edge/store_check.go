package edge

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
)

const dbPageSize = 4096 // bytes, whatever the machine's pages: a commit of 16 KiB pages costs 60 KiB

var retainedBucket = []byte("retained")

// CheckStore reads all of an edge.db and returns what is wrong with it. It is
// meant for a child process ("tidegate edge check PATH"): bbolt meets damage
// with panics in goroutines of its own and faults in its memory map, and may
// take the process down. So any end but exit code 0 means damage.
func CheckStore(path string) error {
	return guardFaults(func() error {
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, PageSize: dbPageSize, Timeout: 5 * time.Second, PreLoadFreelist: true})
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
			return readRows(tx, nil)
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
	now, synchronised := systemClock()
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
// each, and may bring back what had been deleted not long before.
func salvage(path string, keep func(*Message)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	s := &salvager{f: f, pages: uint64(info.Size() / dbPageSize), seen: map[uint64]bool{}, best: map[string]savedRow{}}
	s.now, s.synchronised = systemClock()
	if root, ok := s.root(); !ok || !s.walk(root, false, 0) {
		s.trusted = false
		for id := range s.pages {
			if p := s.page(id); p != nil && p.leaf() {
				s.rows(p)
			}
		}
	}
	for _, row := range s.best {
		if row.m != nil {
			keep(row.m)
		}
	}
	return nil
}

type salvager struct {
	f            *os.File
	pages        uint64
	seen         map[uint64]bool
	best         map[string]savedRow // by key
	trusted      bool                // rows read now are reached from the root
	now          time.Time
	synchronised bool
}

type savedRow struct {
	m       *Message // nil: over
	commit  uint64
	trusted bool
}

// rawPage is a page with its overflow, as bytes: id 8, flags 2, count 2,
// overflow 4, then elements of 16 bytes.
type rawPage []byte

const (
	pageHead   = 16
	elemSize   = 16
	branchFlag = 1
	leafFlag   = 2
	bucketFlag = 1
)

func (p rawPage) flags() uint16 { return binary.LittleEndian.Uint16(p[8:]) }
func (p rawPage) count() int    { return int(binary.LittleEndian.Uint16(p[10:])) }
func (p rawPage) leaf() bool    { return p.flags() == leafFlag }

// elem returns the bytes of element i, nil when it is not all in the page.
func (p rawPage) elem(i int) []byte {
	at := pageHead + i*elemSize
	if at+elemSize > len(p) {
		return nil
	}
	return p[at:]
}

// item returns flags, key and value of a leaf's element.
func (p rawPage) item(i int) (flags uint32, key, value []byte) {
	e := p.elem(i)
	if e == nil {
		return 0, nil, nil
	}
	flags = binary.LittleEndian.Uint32(e)
	pos, k, v := uint64(binary.LittleEndian.Uint32(e[4:])), uint64(binary.LittleEndian.Uint32(e[8:])), uint64(binary.LittleEndian.Uint32(e[12:]))
	if pos+k+v > uint64(len(e)) {
		return 0, nil, nil
	}
	return flags, e[pos : pos+k], e[pos+k : pos+k+v]
}

// page reads a page that says that it is id; nil when it does not.
func (s *salvager) page(id uint64) rawPage {
	head := make([]byte, pageHead)
	if id >= s.pages {
		return nil
	}
	if _, err := s.f.ReadAt(head, int64(id)*dbPageSize); err != nil || binary.LittleEndian.Uint64(head) != id {
		return nil
	}
	more := uint64(binary.LittleEndian.Uint32(head[12:]))
	if more >= s.pages-id {
		return nil
	}
	p := make(rawPage, (1+more)*dbPageSize)
	if _, err := s.f.ReadAt(p, int64(id)*dbPageSize); err != nil {
		return nil
	}
	return p
}

// root returns the root page that the newest whole meta page names.
func (s *salvager) root() (root uint64, ok bool) {
	var newest uint64
	b := make([]byte, 80)
	for id := range int64(2) {
		if _, err := s.f.ReadAt(b, id*dbPageSize); err != nil {
			continue
		}
		sum := fnv.New64a()
		meta := b[pageHead:]
		sum.Write(meta[:56])
		if binary.LittleEndian.Uint64(meta[56:]) != sum.Sum64() || binary.LittleEndian.Uint32(meta[8:]) != dbPageSize {
			continue
		}
		if txid := binary.LittleEndian.Uint64(meta[48:]); !ok || txid > newest {
			newest, root, ok = txid, binary.LittleEndian.Uint64(meta[16:]), true
		}
	}
	s.trusted = true
	return root, ok
}

// walk reads the tree below a page: the bucket of buckets, and in it the one
// of rows. It returns whether all of it was readable.
func (s *salvager) walk(id uint64, inside bool, depth int) bool {
	if s.seen[id] || depth > 40 {
		return false
	}
	s.seen[id] = true
	p := s.page(id)
	if p == nil {
		return false
	}
	if p.leaf() {
		if inside {
			return s.rows(p)
		}
		return s.buckets(p, depth)
	}
	if p.flags() != branchFlag {
		return false
	}
	whole := true
	for i := range p.count() {
		e := p.elem(i)
		if e == nil {
			return false
		}
		whole = s.walk(binary.LittleEndian.Uint64(e[8:]), inside, depth+1) && whole
	}
	return whole
}

func (s *salvager) buckets(p rawPage, depth int) bool {
	for i := range p.count() {
		flags, key, value := p.item(i)
		if key == nil {
			return false
		}
		if flags&bucketFlag == 0 || string(key) != string(retainedBucket) {
			continue
		}
		if len(value) < 16 {
			return false
		}
		if root := binary.LittleEndian.Uint64(value); root != 0 {
			return s.walk(root, true, depth+1)
		}
		inline := rawPage(value[16:]) // a small bucket lives in its parent's page
		return len(inline) >= pageHead && inline.leaf() && s.rows(inline)
	}
	return true
}

// rows keeps the whole rows of a leaf and returns whether all were whole.
func (s *salvager) rows(p rawPage) bool {
	whole := true
	for i := range p.count() {
		_, key, value := p.item(i)
		m, commit, err := decodeRow(key, value, s.now, s.synchronised)
		if key == nil || err != nil {
			whole = false
			continue
		}
		old, known := s.best[string(key)]
		if !known || !old.trusted && commit > old.commit {
			s.best[string(key)] = savedRow{m, commit, s.trusted}
		}
	}
	return whole
}
