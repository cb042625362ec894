package powerfs

import (
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Disk is the medium: it outlives its mounts. Its methods may be called while
// it is mounted.
type Disk struct {
	mu     sync.Mutex
	chance *rand.Rand
	nodes  map[uint64]*node
	last   uint64   // the newest node's id
	moves  []move   // name changes not yet synced, oldest first
	faults []*Fault // in the order of Inject
	delay  time.Duration
	off    bool
	stats  Stats
}

// Stats counts what reached the disk since New.
type Stats struct {
	Writes  int64 // write calls that had an effect
	Written int64 // their bytes
	Syncs   int64 // fsync and fdatasync, of files and directories
	Synced  int64 // bytes that became durable
	Moves   int64 // name changes
	Failed  int64 // calls that an injected fault or Off made fail
}

// node is a file or a directory.
type node struct {
	id    uint64
	mode  uint32 // type and permission bits
	mtime time.Time
	opens int // handles

	data    []byte   // a file's current content
	durable []byte   // its content after a power cut, at the least
	pending []change // what data has and durable has not, oldest first

	names map[string]*node // a directory's current names
	kept  map[string]*node // its durable ones
}

func (n *node) dir() bool { return n.mode&syscall.S_IFMT == syscall.S_IFDIR }

// change is a write, or a truncation when data is nil.
type change struct {
	at   int64 // offset, or the new length
	data []byte
}

// apply returns content with the change made.
func (c change) apply(content []byte) []byte {
	if c.data == nil {
		return resize(content, c.at)
	}
	if end := c.at + int64(len(c.data)); end > int64(len(content)) {
		content = resize(content, end)
	}
	copy(content[c.at:], c.data)
	return content
}

func resize(b []byte, size int64) []byte {
	old := int64(len(b))
	if size > int64(cap(b)) {
		b = slices.Grow(b, int(size-old))
	}
	b = b[:size]
	if size > old {
		clear(b[old:]) // a file grows by zeros, also over what was cut off
	}
	return b
}

// move is a name change: rename sets two names at once, and survives whole or
// not at all, as in a journal.
type move []struct {
	dir  *node
	name string
	to   *node // nil: the name is removed
}

func (m move) touches(dir *node) bool {
	for _, s := range m {
		if s.dir == dir {
			return true
		}
	}
	return false
}

// keep makes the move durable.
func (m move) keep() {
	for _, s := range m {
		set(s.dir.kept, s.name, s.to)
	}
}

func set(names map[string]*node, name string, to *node) {
	if to == nil {
		delete(names, name)
	} else {
		names[name] = to
	}
}

const rootID = 1 // FUSE's number of the root

// New returns an empty disk. The seed decides what power cuts leave.
func New(seed uint64) *Disk {
	d := &Disk{chance: rand.New(rand.NewPCG(seed, 0)), nodes: map[uint64]*node{}}
	d.add(syscall.S_IFDIR | 0o755)
	return d
}

// Stats returns the counts.
func (d *Disk) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stats
}

// SetSyncDelay makes every fsync take at least so long, as flash does.
func (d *Disk) SetSyncDelay(delay time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.delay = delay
}

// add makes a node; mu is held, as in all methods below that are not exported.
func (d *Disk) add(mode uint32) *node {
	d.last++
	n := &node{id: d.last, mode: mode, mtime: time.Now()}
	if n.dir() {
		n.names, n.kept = map[string]*node{}, map[string]*node{}
	}
	d.nodes[n.id] = n
	return n
}

func (d *Disk) lookup(parent uint64, name string) (*node, syscall.Errno) {
	dir := d.nodes[parent]
	if dir == nil || !dir.dir() {
		return nil, syscall.ENOTDIR
	}
	n := dir.names[name]
	if n == nil {
		return nil, syscall.ENOENT
	}
	return n, 0
}

func (d *Disk) create(parent uint64, name string, mode uint32) (*node, syscall.Errno) {
	dir := d.nodes[parent]
	if dir == nil || !dir.dir() {
		return nil, syscall.ENOTDIR
	}
	if dir.names[name] != nil {
		return nil, syscall.EEXIST
	}
	if err := d.allow(Names, 0); err != 0 {
		return nil, err
	}
	n := d.add(mode)
	d.move(move{{dir, name, n}})
	return n, 0
}

func (d *Disk) remove(parent uint64, name string, dir bool) syscall.Errno {
	n, err := d.lookup(parent, name)
	switch {
	case err != 0:
		return err
	case dir && !n.dir():
		return syscall.ENOTDIR
	case !dir && n.dir():
		return syscall.EISDIR
	case dir && len(n.names) > 0:
		return syscall.ENOTEMPTY
	}
	if err := d.allow(Names, 0); err != 0 {
		return err
	}
	d.move(move{{d.nodes[parent], name, nil}})
	return 0
}

func (d *Disk) rename(from uint64, name string, to uint64, newName string) syscall.Errno {
	n, err := d.lookup(from, name)
	if err != 0 {
		return err
	}
	old, err := d.lookup(to, newName)
	switch {
	case err == syscall.ENOTDIR:
		return err
	case old == n:
		return 0
	case old != nil && old.dir() && (!n.dir() || len(old.names) > 0):
		return syscall.EEXIST
	}
	if err := d.allow(Names, 0); err != 0 {
		return err
	}
	d.move(move{{d.nodes[from], name, nil}, {d.nodes[to], newName, n}})
	return 0
}

func (d *Disk) move(m move) {
	for _, s := range m {
		set(s.dir.names, s.name, s.to)
		s.dir.mtime = time.Now()
	}
	d.moves = append(d.moves, m)
	d.stats.Moves++
}

func (d *Disk) write(n *node, at int64, b []byte) syscall.Errno {
	if err := d.allow(Write, int64(len(b))); err != 0 {
		return err
	}
	d.change(n, change{at, slices.Clone(b)})
	d.stats.Writes++
	d.stats.Written += int64(len(b))
	return 0
}

func (d *Disk) truncate(n *node, size int64) syscall.Errno {
	if err := d.allow(Truncate, 0); err != 0 {
		return err
	}
	d.change(n, change{at: size})
	return 0
}

func (d *Disk) change(n *node, c change) {
	n.data = c.apply(n.data)
	n.pending = append(n.pending, c)
	n.mtime = time.Now()
}

// sync makes durable what the file has, or the directory's names.
//
// When it fails by a fault, what was pending stays readable and never becomes
// durable, not even by a later sync that succeeds: Linux marks the pages clean.
func (d *Disk) sync(n *node) syscall.Errno {
	d.stats.Syncs++
	err := d.allow(Sync, 0)
	switch {
	case d.off:
	case n.dir():
		d.syncNames(n, err == 0)
	default:
		for _, c := range n.pending {
			if err == 0 {
				n.durable = c.apply(n.durable)
				d.stats.Synced += int64(len(c.data))
			}
		}
		n.pending = nil
	}
	return err
}

func (d *Disk) syncNames(dir *node, keep bool) {
	d.moves = slices.DeleteFunc(d.moves, func(m move) bool {
		touched := m.touches(dir)
		if touched && keep {
			m.keep()
		}
		return touched
	})
	d.reap()
}

// reap forgets the nodes that have no name, current, durable or to come, and
// that nobody has open.
func (d *Disk) reap() {
	left := map[uint64]*node{}
	var visit func(n *node)
	visit = func(n *node) {
		if n == nil || left[n.id] != nil {
			return
		}
		left[n.id] = n
		for _, names := range []map[string]*node{n.names, n.kept} {
			for _, child := range names {
				visit(child)
			}
		}
	}
	visit(d.nodes[rootID])
	for _, m := range d.moves {
		for _, s := range m {
			visit(s.to)
		}
	}
	for _, n := range d.nodes {
		if n.opens > 0 {
			visit(n)
		}
	}
	d.nodes = left
}

// sorted returns a directory's names in order.
func (n *node) sorted() []string { return slices.Sorted(maps.Keys(n.names)) }
