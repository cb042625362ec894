package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"unsafe"
)

// card is what is written to: a block device, or a test's.
type card interface {
	io.ReaderAt
	io.WriterAt
	Sync() error   // until the card has it
	Forget() error // what the machine remembers of it, so that reading asks the card
}

const chunk = 4 << 20 // bytes: a multiple of every erase block's page, and of every sector

// aligned returns a buffer as O_DIRECT wants it.
func aligned(size int) []byte {
	const page = 4096
	b := make([]byte, size+page)
	off := int(-uintptr(unsafe.Pointer(&b[0])) & (page - 1))
	return b[off : off+size : off+size]
}

// full reads a chunk; the last is padded with zeros to a multiple of 4 KiB, or
// of a sector where the card ends before.
func full(r io.Reader, b []byte, room int64) (int, error) {
	n, err := io.ReadFull(r, b)
	if n == 0 {
		return 0, err
	}
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, err
	}
	whole := int(min(int64(n+4095)&^4095, room))
	clear(b[n:whole])
	return whole, nil
}

// write copies src to the card. The first chunk, which has the partition table,
// is zeros until all else is on the card.
func write(ctx context.Context, c card, src io.Reader, size, room int64, p *progress) error {
	first, b := aligned(chunk), aligned(chunk)
	n, err := full(src, first, room)
	if err != nil {
		return err
	}
	p.begin("write", size)
	if err := put(c, b[:n], 0); err != nil { // of b, which is zeros still
		return err
	}
	at := int64(n)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		m, err := full(src, b, room-at)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := put(c, b[:m], at); err != nil {
			return err
		}
		at += int64(m)
		p.at(min(at, size))
	}
	if err := c.Sync(); err != nil {
		return cardError("sync", at, err)
	}
	if err := put(c, first[:n], 0); err != nil {
		return err
	}
	if err := c.Sync(); err != nil {
		return cardError("sync", 0, err)
	}
	p.end()
	return nil
}

func put(c card, b []byte, at int64) error {
	if _, err := c.WriteAt(b, at); err != nil {
		return cardError("write", at, err)
	}
	return nil
}

// verify compares the card with src.
func verify(ctx context.Context, c card, src io.Reader, size, room int64, p *progress) error {
	if err := c.Forget(); err != nil {
		return cardError("read", 0, err)
	}
	want, got := aligned(chunk), aligned(chunk)
	p.begin("verify", size)
	for at := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := full(src, want, room-at)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if _, err := c.ReadAt(got[:n], at); err != nil {
			return cardError("read", at, err)
		}
		if i := differ(want[:n], got[:n]); i >= 0 {
			return fmt.Errorf("%w: at byte %d it gives back something else than was written; it is worn out, or has less room than it claims: take another one", errBadCard, at+int64(i))
		}
		at += int64(n)
		p.at(min(at, size))
	}
	p.end()
	return nil
}

var errBadCard = errors.New("the card is bad")

// differ returns the first place where two chunks are not the same, or -1.
func differ(a, b []byte) int {
	if string(a) == string(b) {
		return -1
	}
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

// cardError says what an error of a card means.
func cardError(what string, at int64, err error) error {
	why := ""
	switch {
	case errors.Is(err, syscall.ENODEV), errors.Is(err, syscall.ENXIO), errors.Is(err, syscall.ENOMEDIUM):
		why = "the card is gone: it was pulled out, or its reader lost power"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		// The kernel lets a disk shrink to nothing before it says that it is gone.
		why = "the card ends here: it was pulled out, or claims more room than it has"
	case errors.Is(err, syscall.EIO), errors.Is(err, syscall.EREMOTEIO):
		why = "the card failed or was pulled out: try another reader, then another card"
	case errors.Is(err, syscall.EROFS), errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		why = "the card may not be written: is it write-protected?"
	default:
		return fmt.Errorf("%s at byte %d: %w", what, at, err)
	}
	return fmt.Errorf("%s at byte %d: %w: %s", what, at, err, why)
}
