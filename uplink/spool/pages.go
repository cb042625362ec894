package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// This file reads bbolt's format with plain reads and checks every bound, so
// that no damage can make it fault, panic or run for ever. bbolt itself trusts
// what it maps. Layout: bbolt v1.5 internal/common; numbers little-endian.
const (
	pageSize    = 4096
	pageHead    = 16 // id u64, flags u16, count u16, overflow u32
	itemHead    = 16 // leaf: flags, pos, ksize, vsize u32; branch: pos, ksize u32, page u64
	bucketHead  = 16 // root page u64 (0: the page follows inline), sequence u64
	flagBranch  = 0x01
	flagLeaf    = 0x02
	itemBucket  = 0x01
	boltMagic   = 0xED0CDAED
	boltVersion = 2
	maxDepth    = 16
)

// errDisk says that the disk did not give a page, which may be better later.
var errDisk = errors.New("the disk does not read")

type page struct {
	id       uint64
	flags    uint16
	count    int
	overflow uint32
	b        []byte // from the head on
}

func parsePage(b []byte) page {
	return page{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint16(b[8:]),
		int(binary.LittleEndian.Uint16(b[10:])), binary.LittleEndian.Uint32(b[12:]), b}
}

// readPage reads page id with its overflow pages, as far as the file goes.
func readPage(r io.ReaderAt, size int64, id uint64) (page, error) {
	off := int64(id) * pageSize
	if id > uint64(size/pageSize) || size-off < pageHead {
		return page{}, fmt.Errorf("page %d lies behind the end of the file", id)
	}
	head := make([]byte, min(pageSize, size-off))
	if _, err := r.ReadAt(head, off); err != nil {
		return page{}, fmt.Errorf("%w: page %d: %w", errDisk, id, err)
	}
	p := parsePage(head)
	if p.overflow == 0 || p.flags != flagLeaf && p.flags != flagBranch {
		return p, nil
	}
	b := make([]byte, min((int64(p.overflow)+1)*pageSize, size-off))
	if _, err := r.ReadAt(b, off); err != nil {
		return page{}, fmt.Errorf("%w: page %d: %w", errDisk, id, err)
	}
	return parsePage(b), nil
}

// item returns the i-th element of a leaf page.
func (p page) item(i int) (flags uint32, key, value []byte, ok bool) {
	at := pageHead + i*itemHead
	if at+itemHead > len(p.b) {
		return 0, nil, nil, false
	}
	h := p.b[at:]
	flags = binary.LittleEndian.Uint32(h)
	from := uint64(at) + uint64(binary.LittleEndian.Uint32(h[4:]))
	mid := from + uint64(binary.LittleEndian.Uint32(h[8:]))
	end := mid + uint64(binary.LittleEndian.Uint32(h[12:]))
	if end > uint64(len(p.b)) {
		return 0, nil, nil, false
	}
	return flags, p.b[from:mid:mid], p.b[mid:end:end], true
}

// valueAt is the place in the page of the i-th value, whose item is ok.
func (p page) valueAt(i int) int {
	at := pageHead + i*itemHead
	return at + int(binary.LittleEndian.Uint32(p.b[at+4:])) + int(binary.LittleEndian.Uint32(p.b[at+8:]))
}

// child returns the i-th element of a branch page.
func (p page) child(i int) (key []byte, id uint64, ok bool) {
	at := pageHead + i*itemHead
	if at+itemHead > len(p.b) {
		return nil, 0, false
	}
	h := p.b[at:]
	from := uint64(at) + uint64(binary.LittleEndian.Uint32(h))
	end := from + uint64(binary.LittleEndian.Uint32(h[4:]))
	if end > uint64(len(p.b)) {
		return nil, 0, false
	}
	return p.b[from:end:end], binary.LittleEndian.Uint64(h[8:]), true
}

// meta is what a meta page says.
type meta struct {
	root, pages, tx uint64
}

func parseMeta(b []byte) (meta, error) {
	m := b[pageHead:]
	h := fnv.New64a()
	_, _ = h.Write(m[:56])
	switch {
	case binary.LittleEndian.Uint32(m) != boltMagic || binary.LittleEndian.Uint32(m[4:]) != boltVersion:
		return meta{}, fmt.Errorf("is not bbolt's")
	case binary.LittleEndian.Uint32(m[8:]) != pageSize:
		return meta{}, fmt.Errorf("has a page size other than %d", pageSize)
	case binary.LittleEndian.Uint64(m[56:]) != h.Sum64():
		return meta{}, fmt.Errorf("has a wrong checksum")
	}
	return meta{binary.LittleEndian.Uint64(m[16:]), binary.LittleEndian.Uint64(m[40:]), binary.LittleEndian.Uint64(m[48:])}, nil
}

// tree walks everything reachable from the newest meta page.
type tree struct {
	r       io.ReaderAt
	size    int64
	pages   uint64
	visited []uint64 // a bit per page
	row     func(bucket, key, value []byte) error
	bucket  func(name []byte, sequence uint64) error // after its rows
}

// walk calls t.row for every row in key order. Its error names the first
// thing that is not as bbolt needs it.
func (t *tree) walk() error {
	var newest meta
	for id := range uint64(2) {
		p, err := readPage(t.r, t.size, id)
		if err != nil {
			return err
		}
		if len(p.b) < pageSize {
			return fmt.Errorf("meta page %d is cut off", id)
		}
		m, err := parseMeta(p.b)
		if err != nil {
			return fmt.Errorf("meta page %d %w", id, err)
		}
		if id == 0 || m.tx > newest.tx {
			newest = m
		}
	}
	if newest.pages > uint64(t.size)/pageSize {
		return fmt.Errorf("the file has %d bytes and needs %d pages", t.size, newest.pages)
	}
	t.pages = newest.pages
	t.visited = make([]uint64, t.pages/64+1)
	return t.page(newest.root, nil, 0)
}

func (t *tree) page(id uint64, bucket []byte, depth int) error {
	if id < 2 || id >= t.pages || depth > maxDepth {
		return fmt.Errorf("page %d is out of place", id)
	}
	p, err := readPage(t.r, t.size, id)
	if err != nil {
		return err
	}
	if p.id != id || uint64(p.overflow) >= t.pages-id {
		return fmt.Errorf("page %d has a wrong head", id)
	}
	for i := id; i <= id+uint64(p.overflow); i++ {
		if t.visited[i/64]>>(i%64)&1 == 1 {
			return fmt.Errorf("page %d is used twice", i)
		}
		t.visited[i/64] |= 1 << (i % 64)
	}
	switch p.flags {
	case flagLeaf:
		return t.leaf(p, bucket, depth)
	case flagBranch:
		return t.branch(p, bucket, depth)
	}
	return fmt.Errorf("page %d is of no known kind", id)
}

func (t *tree) branch(p page, bucket []byte, depth int) error {
	if p.count == 0 {
		return fmt.Errorf("page %d is an empty branch", p.id)
	}
	var last []byte
	for i := range p.count {
		key, id, ok := p.child(i)
		if !ok || i > 0 && string(key) <= string(last) {
			return fmt.Errorf("page %d: element %d is damaged", p.id, i)
		}
		last = key
		if err := t.page(id, bucket, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (t *tree) leaf(p page, bucket []byte, depth int) error {
	var last []byte
	for i := range p.count {
		flags, key, value, ok := p.item(i)
		if !ok || i > 0 && string(key) <= string(last) {
			return fmt.Errorf("page %d: element %d is damaged", p.id, i)
		}
		last = key
		if (bucket == nil) != (flags == itemBucket) {
			return fmt.Errorf("page %d: element %d is of the wrong kind", p.id, i)
		}
		if bucket != nil {
			if err := t.row(bucket, key, value); err != nil {
				return fmt.Errorf("page %d: element %d: %w", p.id, i, err)
			}
		} else if err := t.sub(p.id, key, value, depth); err != nil {
			return err
		}
	}
	return nil
}

// sub walks the bucket whose head is value.
func (t *tree) sub(id uint64, name, value []byte, depth int) error {
	if len(value) < bucketHead {
		return fmt.Errorf("page %d: bucket without a head", id)
	}
	var err error
	if root := binary.LittleEndian.Uint64(value); root != 0 {
		err = t.page(root, name, depth+1)
	} else if inline := value[bucketHead:]; len(inline) < pageHead {
		err = fmt.Errorf("page %d: bucket cut off", id)
	} else if p := parsePage(inline); p.flags != flagLeaf {
		err = fmt.Errorf("page %d: inline bucket is no leaf", id)
	} else {
		err = t.leaf(p, name, depth+1)
	}
	if err != nil {
		return err
	}
	return t.bucket(name, binary.LittleEndian.Uint64(value[8:]))
}

// scan looks at every page of the file by itself, reachable or not, and calls
// found for each value of a leaf page with its place in the file. It passes
// over what makes no sense, and counts the pages that the disk did not give.
func scan(r io.ReaderAt, size int64, found func(value []byte, offset int64)) (unreadable int) {
	for id := uint64(2); int64(id) < (size+pageSize-1)/pageSize; id++ {
		p, err := readPage(r, size, id)
		if errors.Is(err, errDisk) {
			unreadable++
		}
		if err == nil && p.flags == flagLeaf && p.id == id {
			scanLeaf(p, int64(id)*pageSize, 0, found)
		}
	}
	return unreadable
}

func scanLeaf(p page, base int64, depth int, found func(value []byte, offset int64)) {
	for i := range p.count {
		flags, _, value, ok := p.item(i)
		if !ok {
			continue
		}
		offset := base + int64(p.valueAt(i))
		if flags != itemBucket {
			found(value, offset)
		} else if len(value) >= bucketHead+pageHead && depth == 0 && binary.LittleEndian.Uint64(value) == 0 {
			scanLeaf(parsePage(value[bucketHead:]), offset+bucketHead, 1, found)
		}
	}
}
