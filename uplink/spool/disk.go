package spool

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	berrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"

	"tidegate/internal/boltpage"
	"tidegate/internal/whole"
)

// disk is the directory of spool files. The committer's goroutine creates,
// writes and removes them; the links' goroutines read.
type disk struct {
	dir      string
	fileSize int64
	open     opener
	log      *slog.Logger
	lock     *os.File // keeps a second gateway out of the directory
	corrupt  atomic.Int64
	scouting atomic.Bool  // files are counted before they are read, by someone else
	used     atomic.Int64 // bytes of all files

	// Only the committer's goroutine uses these, load before it.
	active *file       // being written; nil until something is
	last   int         // number of the newest file
	tries  map[int]int // attempts to rewrite a file, by number

	mu    sync.Mutex // guards files and their spans
	files []*file    // by number
}

const (
	suffixFile    = ".spool"
	suffixSalvage = ".salvage"
	suffixCorrupt = ".corrupt-"
	patience      = 5 // attempts to read a damaged file whole, seconds apart
	keepCorrupt   = 4 // files set aside that are kept for inspection
)

func (d *disk) path(number int, suffix string) string {
	return filepath.Join(d.dir, fmt.Sprintf("%08d%s", number, suffix))
}

// numberOf returns the number in a name such as 00000012.spool.
func numberOf(name, suffix string) (int, bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	n, err := strconv.Atoi(digits)
	return n, ok && err == nil && n > 0
}

// acquire locks the directory against a second process.
func (d *disk) acquire() error {
	f, err := lockDir(d.dir)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = fmt.Errorf("%w: another gateway uses this directory", err)
	}
	d.lock = f
	return err
}

// lockDir takes the lock on a spool directory, if it is free: its holder is the
// one who may change what is in it.
func lockDir(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), f.Close())
	}
	return f, nil
}

// writable returns the file to append need bytes to, a new one if the active
// one is full, and the bytes spent to create it.
func (d *disk) writable(need int64) (*file, int64, error) {
	if f := d.active; f != nil && !f.damaged.Load() && (f.inUse() == 0 || f.inUse()+need <= d.fileSize) {
		return f, 0, nil
	}
	d.active = nil
	f, err := createFile(d.path(d.last+1, suffixFile), d.open, d.fileSize, 1<<20)
	if err != nil {
		return nil, 0, err
	}
	d.last++
	f.number = d.last
	d.enter(f)
	d.active = f
	return f, 4 * pageSize, nil
}

// enter adds f as the newest file.
func (d *disk) enter(f *file) {
	d.mu.Lock()
	d.files = append(d.files, f)
	d.measure()
	d.mu.Unlock()
}

// forget makes the list of files empty.
func (d *disk) forget() {
	d.mu.Lock()
	d.files = nil
	d.mu.Unlock()
}

// wrote enters rows that were committed to f.
func (d *disk) wrote(f *file, refs []rowRef) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range refs {
		s := f.spans[r.stream]
		if s == nil {
			s = &span{first: r.seq}
			f.spans[r.stream] = s
		}
		s.last = max(s.last, r.seq)
		s.rows++
		s.bytes += int64(r.end - r.start)
	}
	d.measure()
}

// measure sums the files' sizes. The caller holds d.mu.
func (d *disk) measure() {
	var n int64
	for _, f := range d.files {
		n += f.size.Load()
	}
	d.used.Store(n)
}

// abandon stops writing to the active file after a commit that failed. What
// was committed before stays readable; without any the file goes.
func (d *disk) abandon(f *file, err error) {
	d.active = nil
	if errors.Is(err, ErrDamaged) {
		f.damaged.Store(true)
	}
	_ = f.close() // the failed commit was reported
	d.mu.Lock()
	empty := len(f.spans) == 0
	d.mu.Unlock()
	if empty {
		_ = d.remove(f)
	}
}

// remove deletes a file for good.
func (d *disk) remove(f *file) error {
	err := f.close()
	if d.active == f {
		d.active = nil
	}
	if e := os.Remove(f.path); e != nil && !errors.Is(e, os.ErrNotExist) {
		return errors.Join(err, e)
	}
	d.mu.Lock()
	if i := slices.Index(d.files, f); i >= 0 {
		d.files = slices.Delete(d.files, i, i+1)
	}
	d.measure()
	d.mu.Unlock()
	return errors.Join(err, whole.SyncDir(d.dir))
}

// all returns the files, oldest first.
func (d *disk) all() []*file {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.files)
}

// part is what one file holds of a stream.
type part struct {
	f    *file
	span span
}

func (d *disk) parts(k streamKey, from, to uint64) []part {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []part
	for _, f := range d.files {
		if s := f.spans[k]; s != nil && s.last >= from && s.first < to {
			out = append(out, part{f, *s})
		}
	}
	return out
}

// spansOf returns the parts that streams have in a file.
func (d *disk) spansOf(f *file) map[streamKey]span {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make(map[streamKey]span, len(f.spans))
	for k, s := range f.spans {
		out[k] = *s
	}
	return out
}

var errBlocked = errors.New("a damaged file is in the way")

const readBytes = 256 << 10 // read ahead of a stream's backlog

// read returns rows of a stream with from <= seq < to in order, about limit of
// them, and the sequence to go on with. Parts of two files may overlap after a
// commit that failed and was repeated; each row is returned once.
func (d *disk) read(k streamKey, from, to uint64, limit int) (rows []row, next uint64, err error) {
	bound, blocked, uncounted := to, false, false
	for _, p := range d.parts(k, from, to) {
		if p.span.first >= bound {
			continue
		}
		if !p.f.damaged.Load() || p.f.cramped.Load() {
			got, end, err := d.rows(k, p, from, bound, limit)
			if err == nil {
				rows, bound = append(rows, got...), end
				continue
			}
			switch {
			case errors.Is(err, errUncounted):
				uncounted = true
			case isDamage(err):
				d.damage(p.f, err)
			default:
				return nil, from, err
			}
		}
		blocked = true
		bound = max(from, min(bound, p.span.first))
	}
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Compare(a.seq, b.seq) })
	rows = slices.CompactFunc(rows, func(a, b row) bool { return a.seq == b.seq })
	if i := slices.IndexFunc(rows, func(r row) bool { return r.seq >= bound }); i >= 0 {
		rows = rows[:i]
	}
	if blocked && bound == from {
		if uncounted {
			return nil, from, errUncounted
		}
		return nil, from, errBlocked
	}
	return rows, bound, nil
}

func (d *disk) damage(f *file, err error) {
	f.damaged.Store(true)
	d.log.Error("spool file is damaged", "file", f.path, "err", err)
}

// count makes sure, before the first row of a part is read, that bbolt finds as
// many as were written: a damaged branch may hide some without a fault.
func (d *disk) count(k streamKey, p part) error {
	if p.span.counted {
		return nil
	}
	n := 0
	err := p.f.read(k, p.span.first, func(seq uint64, _ []byte) bool {
		if seq <= p.span.last {
			n++
		}
		return seq < p.span.last
	})
	if err == nil && n != p.span.rows {
		if now := d.spansOf(p.f)[k]; now.rows != p.span.rows {
			return errUncounted // it was rewritten meanwhile
		}
		err = fmt.Errorf("%w: %d rows of %d", ErrDamaged, n, p.span.rows)
	}
	if err != nil {
		return err
	}
	d.mu.Lock()
	if s := p.f.spans[k]; s != nil {
		s.counted = true
	}
	d.mu.Unlock()
	return nil
}

// rows reads from one file, through bbolt if that can be.
func (d *disk) rows(k streamKey, p part, from, bound uint64, limit int) ([]row, uint64, error) {
	if p.f.cramped.Load() {
		return p.intact(k, from, bound, limit)
	}
	if !p.span.counted && d.scouting.Load() {
		return nil, from, errUncounted
	}
	if err := d.count(k, p); err != nil {
		return nil, from, err
	}
	return p.rows(k, from, bound, limit)
}

// rows reads from one file; end is the bound, or less when limit was reached.
func (p part) rows(k streamKey, from, bound uint64, limit int) (rows []row, end uint64, err error) {
	end = bound
	rows = make([]row, 0, min(limit, p.span.rows))
	size, bad := 0, error(nil)
	err = p.f.read(k, from, func(seq uint64, value []byte) bool {
		if seq >= bound || seq > p.span.last {
			return false
		}
		if len(rows) == limit || size > 0 && size+len(value) > readBytes {
			end = seq
			return false
		}
		var r row
		if parseRow(bytes.Clone(value), &r) != nil || r.seq != seq || r.stream != k ||
			len(rows) > 0 && seq <= rows[len(rows)-1].seq {
			bad = fmt.Errorf("%w: row %d", ErrDamaged, seq)
			return false
		}
		rows = append(rows, r)
		size += len(value)
		return true
	})
	if err == nil && bad == nil && end > p.span.last && p.span.last < bound && (len(rows) == 0 || rows[len(rows)-1].seq != p.span.last) {
		bad = fmt.Errorf("%w: row %d is missing", ErrDamaged, p.span.last)
	}
	return rows, end, errors.Join(err, bad)
}

// isDamage tells a file that is broken from a machine that is out of memory
// or descriptors.
func isDamage(err error) bool {
	for _, target := range []error{ErrDamaged, berrors.ErrInvalid, berrors.ErrChecksum, berrors.ErrVersionMismatch, os.ErrNotExist} {
		if errors.Is(err, target) {
			return true
		}
	}
	return strings.Contains(err.Error(), "file size too small")
}

// rest closes files that nobody has read for a while; the active one stays
// open.
func (d *disk) rest() {
	old := time.Now().Unix() - 5
	for _, f := range d.all() {
		if f != d.active && f.used.Load() < old {
			_ = f.close() // it was only read
		}
	}
}

func (d *disk) close() error {
	var err error
	for _, f := range d.all() {
		err = errors.Join(err, f.close())
	}
	if d.lock != nil {
		err = errors.Join(err, d.lock.Close())
	}
	return err
}

// replace puts a rewritten copy, which holds what keep wants of the intact
// rows, in the place of f. The original is deleted, or with aside kept under
// another name. A crash at any point leaves the original or the copy in place
// (repair finishes the renaming).
func (d *disk) replace(f *file, aside bool, keep func(*row) bool) (Report, int64, error) {
	copied := d.path(f.number, suffixSalvage)
	if d.active == f {
		d.active = nil
	}
	rep, written, err := rewrite(f.path, copied+".tmp", d.open, d.tries[f.number] < patience, d.committed(f, keep))
	if errors.Is(err, boltpage.ErrDisk) {
		d.tries[f.number]++
	}
	if err == nil {
		err = errors.Join(os.Rename(copied+".tmp", copied), whole.SyncDir(d.dir))
	}
	if err != nil {
		_ = os.Remove(copied + ".tmp")
		return rep, written, fmt.Errorf("rewrite %s: %w", f.path, err)
	}
	f.use.Lock()
	defer f.use.Unlock()
	_ = f.shut() // what it held is in the copy
	if aside {
		err = d.setAside(f.path)
	}
	err = errors.Join(err, os.Rename(copied, f.path), whole.SyncDir(d.dir))
	f.damaged.Store(false)
	f.cramped.Store(false)
	f.size.Store(f.fileSize())
	spans := make(map[streamKey]*span)
	for _, s := range rep.Streams {
		spans[s.key()] = &span{first: s.First, last: s.Last, rows: s.Rows, bytes: s.Bytes}
	}
	d.mu.Lock()
	f.spans = spans
	d.measure()
	d.mu.Unlock()
	return rep, written, err
}

// committed narrows keep to the rows that are known to be committed to f. The
// pages of a commit that failed may still be there: what it held was repeated
// in the next file, or acknowledged, or dropped.
func (d *disk) committed(f *file, keep func(*row) bool) func(*row) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f.spans == nil {
		return keep // of an earlier process
	}
	last := make(map[streamKey]uint64)
	for k, s := range f.spans {
		last[k] = s.last
	}
	return func(r *row) bool { return r.seq <= last[r.stream] && keep(r) }
}

// repeated is the sequence from which on newer files than f hold the rows of a
// stream.
func (d *disk) repeated(f *file, k streamKey) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	from := uint64(math.MaxUint64)
	for _, o := range d.files {
		if s := o.spans[k]; s != nil && o.number > f.number {
			from = min(from, s.first)
		}
	}
	return from
}

// setAside renames a damaged file for inspection and forgets the oldest of
// those.
func (d *disk) setAside(path string) error {
	to := fmt.Sprintf("%s%s%d", strings.TrimSuffix(path, suffixFile), suffixCorrupt, time.Now().Unix())
	d.corrupt.Add(1)
	if err := os.Rename(path, to); err != nil {
		return err
	}
	old, _ := filepath.Glob(filepath.Join(d.dir, "*"+suffixCorrupt+"*"))
	slices.SortFunc(old, func(a, b string) int {
		return cmp.Compare(a[strings.LastIndex(a, "-"):], b[strings.LastIndex(b, "-"):])
	})
	for len(old) > keepCorrupt {
		_ = os.Remove(old[0])
		old = old[1:]
	}
	return nil
}

// repair finishes or undoes a replace that a crash interrupted, and returns
// the numbers of the spool files.
func (d *disk) repair() ([]int, error) {
	names, err := os.ReadDir(d.dir)
	if err != nil {
		return nil, err
	}
	var numbers []int
	for _, n := range names {
		if strings.HasSuffix(n.Name(), ".tmp") {
			_ = os.Remove(filepath.Join(d.dir, n.Name()))
		}
		number, ok := numberOf(n.Name(), suffixSalvage)
		if !ok {
			continue
		}
		from, to := d.path(number, suffixSalvage), d.path(number, suffixFile)
		done := os.Rename
		if _, err := os.Stat(to); err == nil {
			done = func(from, _ string) error { return os.Remove(from) }
		}
		if err := done(from, to); err != nil {
			return nil, err
		}
	}
	if names, err = os.ReadDir(d.dir); err != nil {
		return nil, err
	}
	for _, n := range names {
		if number, ok := numberOf(n.Name(), suffixFile); ok {
			numbers = append(numbers, number)
			d.last = max(d.last, number)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}
