package boltpage

import (
	"fmt"
	"io"
)

const maxDepth = 16 // of the tree, in pages

// tree is a walk under way.
type tree struct {
	r       io.ReaderAt
	size    int64
	pages   uint64
	visited []uint64 // a bit per page
	row     func(bucket, key, value []byte) error
	bucket  func(name []byte, sequence uint64) error
}

// Walk reads everything that is reachable in a file of size bytes whose root
// holds nothing but buckets of rows. It calls row for every row in order of
// the keys, and bucket after the rows of each bucket. The first error of
// theirs ends it, and the first thing that is not as bbolt needs it: its error
// names that.
func Walk(r io.ReaderAt, size int64, row func(bucket, key, value []byte) error, bucket func(name []byte, sequence uint64) error) error {
	newest, err := Newest(r, size)
	if err != nil {
		return err
	}
	if newest.Pages > uint64(size)/Size {
		return fmt.Errorf("the file has %d bytes and needs %d pages", size, newest.Pages)
	}
	t := tree{r, size, newest.Pages, make([]uint64, newest.Pages/64+1), row, bucket}
	return t.page(newest.Root, nil, 0)
}

func (t *tree) page(id uint64, bucket []byte, depth int) error {
	if id < 2 || id >= t.pages || depth > maxDepth {
		return fmt.Errorf("page %d is out of place", id)
	}
	p, err := Read(t.r, t.size, id)
	if err != nil {
		return err
	}
	if p.ID != id || uint64(p.Overflow) >= t.pages-id {
		return fmt.Errorf("page %d has a wrong head", id)
	}
	for i := id; i <= id+uint64(p.Overflow); i++ {
		if t.visited[i/64]>>(i%64)&1 == 1 {
			return fmt.Errorf("page %d is used twice", i)
		}
		t.visited[i/64] |= 1 << (i % 64)
	}
	switch p.Flags {
	case Leaf:
		return t.leaf(p, bucket, depth)
	case Branch:
		return t.branch(p, bucket, depth)
	}
	return fmt.Errorf("page %d is of no known kind", id)
}

func (t *tree) branch(p Page, bucket []byte, depth int) error {
	if p.Count == 0 {
		return fmt.Errorf("page %d is an empty branch", p.ID)
	}
	var last []byte
	for i := range p.Count {
		key, id, ok := p.Child(i)
		if !ok || i > 0 && string(key) <= string(last) {
			return fmt.Errorf("page %d: element %d is damaged", p.ID, i)
		}
		last = key
		if err := t.page(id, bucket, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (t *tree) leaf(p Page, bucket []byte, depth int) error {
	var last []byte
	for i := range p.Count {
		flags, key, value, ok := p.Item(i)
		if !ok || i > 0 && string(key) <= string(last) {
			return fmt.Errorf("page %d: element %d is damaged", p.ID, i)
		}
		last = key
		if (bucket == nil) != (flags == BucketItem) {
			return fmt.Errorf("page %d: element %d is of the wrong kind", p.ID, i)
		}
		if bucket != nil {
			if err := t.row(bucket, key, value); err != nil {
				return fmt.Errorf("page %d: element %d: %w", p.ID, i, err)
			}
		} else if err := t.sub(p.ID, key, value, depth); err != nil {
			return err
		}
	}
	return nil
}

// sub walks the bucket whose head is value.
func (t *tree) sub(id uint64, name, value []byte, depth int) error {
	b, err := ParseBucket(value)
	switch {
	case err != nil:
		err = fmt.Errorf("page %d: %w", id, err)
	case b.Root != 0:
		err = t.page(b.Root, name, depth+1)
	case b.Inline.Flags != Leaf:
		err = fmt.Errorf("page %d: inline bucket is no leaf", id)
	default:
		err = t.leaf(b.Inline, name, depth+1)
	}
	if err != nil {
		return err
	}
	return t.bucket(name, b.Sequence)
}
