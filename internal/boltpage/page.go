// Package boltpage reads the pages of bbolt's files with plain reads and checks
// every bound, so that no damage can make it fault, panic or run for ever.
// bbolt itself trusts what it maps. It says what stands in a page, not whether
// that makes sense: keys may be out of order, and a page may lead anywhere.
//
// Layout: bbolt v1.5, internal/common; numbers are little-endian. A page has a
// head and then its elements, each of which says where in the page its key and
// value stand. Pages 0 and 1 are metas, of which the newer leads to the root,
// the bucket of all buckets.
package boltpage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// Sizes in bytes.
const (
	Size       = 4096 // of a page, whatever the machine's pages: a commit of 16 KiB pages costs 60 KiB
	HeadSize   = 16   // of a page's head: id u64, flags u16, count u16, overflow u32
	ItemSize   = 16   // of an element; leaf: flags, pos, ksize, vsize u32; branch: pos, ksize u32, page u64
	BucketSize = 16   // of a bucket's head: root page u64, sequence u64
)

// What Page.Flags and, in a leaf, an item's flags say.
const (
	Branch     uint16 = 0x01
	Leaf       uint16 = 0x02
	BucketItem uint32 = 0x01
)

// ErrDisk says that the disk did not give a page, which may be better later.
var ErrDisk = errors.New("the disk does not read")

// Page is a page with the overflow pages that continue it. Nothing in it is
// checked.
type Page struct {
	ID       uint64 // that it says it has
	Flags    uint16
	Count    int    // of elements
	Overflow uint32 // pages
	Data     []byte // from the head on
}

// Parse reads the head of a page, of at least HeadSize bytes. Data is b.
func Parse(b []byte) Page {
	return Page{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint16(b[8:]),
		int(binary.LittleEndian.Uint16(b[10:])), binary.LittleEndian.Uint32(b[12:]), b}
}

// Read reads page id of a file of size bytes, and if it is a leaf or a branch
// its overflow pages, as far as the file goes. An error that is not ErrDisk
// says that the page lies behind the end.
func Read(r io.ReaderAt, size int64, id uint64) (Page, error) {
	off := int64(id) * Size
	if id > uint64(size/Size) || size-off < HeadSize {
		return Page{}, fmt.Errorf("page %d lies behind the end of the file", id)
	}
	b := make([]byte, min(Size, size-off))
	if _, err := r.ReadAt(b, off); err != nil {
		return Page{}, fmt.Errorf("%w: page %d: %w", ErrDisk, id, err)
	}
	p := Parse(b)
	if p.Overflow == 0 || p.Flags != Leaf && p.Flags != Branch {
		return p, nil
	}
	b = make([]byte, min((int64(p.Overflow)+1)*Size, size-off))
	if _, err := r.ReadAt(b, off); err != nil {
		return Page{}, fmt.Errorf("%w: page %d: %w", ErrDisk, id, err)
	}
	return Parse(b), nil
}

// Item returns the i-th element of a leaf; ok says whether it stands in the
// page. Key and value point into Data.
func (p Page) Item(i int) (flags uint32, key, value []byte, ok bool) {
	at := HeadSize + i*ItemSize
	if at+ItemSize > len(p.Data) {
		return 0, nil, nil, false
	}
	h := p.Data[at:]
	flags = binary.LittleEndian.Uint32(h)
	from := uint64(at) + uint64(binary.LittleEndian.Uint32(h[4:]))
	mid := from + uint64(binary.LittleEndian.Uint32(h[8:]))
	end := mid + uint64(binary.LittleEndian.Uint32(h[12:]))
	if end > uint64(len(p.Data)) {
		return 0, nil, nil, false
	}
	return flags, p.Data[from:mid:mid], p.Data[mid:end:end], true
}

// Child returns the i-th element of a branch: a page and a key that none below
// it is less than. When the key does not stand in the page, ok is false; then
// id is 0 if the element does not either.
func (p Page) Child(i int) (key []byte, id uint64, ok bool) {
	at := HeadSize + i*ItemSize
	if at+ItemSize > len(p.Data) {
		return nil, 0, false
	}
	h := p.Data[at:]
	id = binary.LittleEndian.Uint64(h[8:])
	from := uint64(at) + uint64(binary.LittleEndian.Uint32(h))
	end := from + uint64(binary.LittleEndian.Uint32(h[4:]))
	if end > uint64(len(p.Data)) {
		return nil, id, false
	}
	return p.Data[from:end:end], id, true
}

// Bucket is what the value of an item with BucketItem says.
type Bucket struct {
	Root     uint64 // page; 0 if the bucket is small and stands in Inline
	Sequence uint64
	Inline   Page // of any flags
}

// ParseBucket reads a value of an item with BucketItem.
func ParseBucket(value []byte) (b Bucket, err error) {
	if len(value) < BucketSize {
		return b, errors.New("bucket without a head")
	}
	b.Root, b.Sequence = binary.LittleEndian.Uint64(value), binary.LittleEndian.Uint64(value[8:])
	if b.Root != 0 {
		return b, nil
	}
	if len(value) < BucketSize+HeadSize {
		return b, errors.New("bucket cut off")
	}
	b.Inline = Parse(value[BucketSize:])
	return b, nil
}

// Scan looks at every page of a file of size bytes by itself, reachable or not,
// and calls leaf for each that is one and says that it belongs there. It
// counts the pages that the disk did not give.
func Scan(r io.ReaderAt, size int64, leaf func(p Page)) (unreadable int) {
	for id := uint64(2); int64(id) < (size+Size-1)/Size; id++ {
		p, err := Read(r, size, id)
		if errors.Is(err, ErrDisk) {
			unreadable++
		}
		if err == nil && p.Flags == Leaf && p.ID == id {
			leaf(p)
		}
	}
	return unreadable
}

// Rows calls found for each row of a leaf, and of the small buckets in it, with
// the place of its value in the file. It passes over what makes no sense.
func (p Page) Rows(found func(key, value []byte, offset int64)) {
	p.rows(int64(p.ID)*Size, 0, found)
}

func (p Page) rows(base int64, depth int, found func(key, value []byte, offset int64)) {
	for i := range p.Count {
		flags, key, value, ok := p.Item(i)
		if !ok {
			continue
		}
		at := HeadSize + i*ItemSize
		offset := base + int64(at+len(key)) + int64(binary.LittleEndian.Uint32(p.Data[at+4:]))
		if flags != BucketItem {
			found(key, value, offset)
		} else if b, err := ParseBucket(value); err == nil && b.Root == 0 && depth == 0 {
			b.Inline.rows(offset+BucketSize, 1, found)
		}
	}
}

// Meta is what a meta page says.
type Meta struct {
	Root  uint64 // page
	Pages uint64 // that the file has
	Tx    uint64 // the transaction that wrote it
}

// Newest returns the newer of a file's two metas, or the one that is whole, or
// the zero Meta; the error says what is wrong with the first that is not whole.
func Newest(r io.ReaderAt, size int64) (newest Meta, wrong error) {
	for id := range uint64(2) {
		m, err := readMeta(r, size, id)
		if err == nil && (newest == Meta{} || m.Tx > newest.Tx) {
			newest = m
		}
		if wrong == nil {
			wrong = err
		}
	}
	return newest, wrong
}

// readMeta reads a meta: magic, version, page size, flags u32; root page,
// sequence, freelist page, pages, transaction, FNV-1a of all that u64.
func readMeta(r io.ReaderAt, size int64, id uint64) (Meta, error) {
	p, err := Read(r, size, id)
	if err != nil {
		return Meta{}, err
	}
	if len(p.Data) < Size {
		return Meta{}, fmt.Errorf("meta page %d is cut off", id)
	}
	m := p.Data[HeadSize:]
	h := fnv.New64a()
	_, _ = h.Write(m[:56])
	switch {
	case binary.LittleEndian.Uint32(m) != 0xED0CDAED || binary.LittleEndian.Uint32(m[4:]) != 2:
		return Meta{}, fmt.Errorf("meta page %d is not bbolt's", id)
	case binary.LittleEndian.Uint32(m[8:]) != Size:
		return Meta{}, fmt.Errorf("meta page %d has a page size other than %d", id, Size)
	case binary.LittleEndian.Uint64(m[56:]) != h.Sum64():
		return Meta{}, fmt.Errorf("meta page %d has a wrong checksum", id)
	}
	return Meta{binary.LittleEndian.Uint64(m[16:]), binary.LittleEndian.Uint64(m[40:]), binary.LittleEndian.Uint64(m[48:])}, nil
}
