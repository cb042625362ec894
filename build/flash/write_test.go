package main

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// memory is a card that says it has as many bytes as it is asked for.
type memory struct {
	data   []byte
	real   int64 // bytes; beyond, writing goes to the beginning again
	fails  int64 // writing and reading from here on
	reads  bool  // reading alone fails
	err    error
	onPut  func(at int64)
	synced int
}

func (m *memory) WriteAt(p []byte, at int64) (int, error) {
	if m.onPut != nil {
		m.onPut(at)
	}
	if m.err != nil && !m.reads && at+int64(len(p)) > m.fails {
		return 0, m.err
	}
	for i, c := range p {
		m.data[(at+int64(i))%m.real] = c
	}
	return len(p), nil
}

func (m *memory) ReadAt(p []byte, at int64) (int, error) {
	if m.err != nil && m.reads && at+int64(len(p)) > m.fails {
		return 0, m.err
	}
	for i := range p {
		p[i] = m.data[(at+int64(i))%m.real]
	}
	return len(p), nil
}

func (m *memory) Sync() error   { m.synced++; return nil }
func (m *memory) Forget() error { return nil }

func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{7})
	r.Read(b)
	return b
}

func quiet() *progress { return &progress{out: io.Discard, now: time.Now} }

func TestWriteAndVerify(t *testing.T) {
	for _, size := range []int{sector, chunk - sector, chunk, chunk + 1, 3*chunk + 5*sector} {
		want := noise(size)
		m := &memory{data: noise(4 * chunk), real: 4 * chunk}
		slices.Reverse(m.data)
		room := int64(len(m.data))
		if err := write(t.Context(), m, strings.NewReader(string(want)), int64(size), room, quiet()); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if string(m.data[:size]) != string(want) || m.synced != 2 {
			t.Errorf("%d bytes: not what was to be written, or %d times synced", size, m.synced)
		}
		if err := verify(t.Context(), m, strings.NewReader(string(want)), int64(size), room, quiet()); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
		m.data[size-1] ^= 1
		if err := verify(t.Context(), m, strings.NewReader(string(want)), int64(size), room, quiet()); !errors.Is(err, errBadCard) {
			t.Errorf("%d bytes, the last one changed: got %v", size, err)
		}
	}
}

// A card that claims more room than it has takes everything without an error.
func TestAFakeCardIsFound(t *testing.T) {
	want := string(noise(4 * chunk))
	m := &memory{data: make([]byte, 4*chunk), real: 3 * chunk}
	if err := write(t.Context(), m, strings.NewReader(want), 4*chunk, 8*chunk, quiet()); err != nil {
		t.Fatal(err)
	}
	if err := verify(t.Context(), m, strings.NewReader(want), 4*chunk, 8*chunk, quiet()); !errors.Is(err, errBadCard) {
		t.Errorf("got %v, want that the card is bad", err)
	}
}

// An interrupted card has no partition table, neither the new nor the old.
func TestAnInterruptedCardIsEmpty(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	m := &memory{data: noise(4 * chunk), real: 4 * chunk, onPut: func(at int64) {
		if at == 2*chunk {
			stop()
		}
	}}
	err := write(ctx, m, strings.NewReader(string(noise(4*chunk))), 4*chunk, 4*chunk, quiet())
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if strings.Trim(string(m.data[:chunk]), "\x00") != "" {
		t.Error("the first chunk is not empty")
	}
}

func TestErrorsOfACard(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		reads bool
		want  string
	}{
		"pulled out":      {syscall.ENODEV, false, "write at byte 8388608: no such device: the card is gone"},
		"no medium":       {syscall.ENOMEDIUM, false, "the card is gone"},
		"broken":          {syscall.EIO, false, "the card failed or was pulled out"},
		"broken, reading": {syscall.EIO, true, "read at byte 8388608: input/output error: the card failed"},
		"short":           {syscall.ENOSPC, false, "the card ends here: it was pulled out"},
		"protected":       {syscall.EROFS, false, "write-protected"},
		"short, reading":  {io.EOF, true, "the card ends here"},
	} {
		t.Run(name, func(t *testing.T) {
			data := string(noise(4 * chunk))
			m := &memory{data: make([]byte, 4*chunk), real: 4 * chunk, fails: 2 * chunk, err: c.err, reads: c.reads}
			err := write(t.Context(), m, strings.NewReader(data), 4*chunk, 4*chunk, quiet())
			if err == nil {
				err = verify(t.Context(), m, strings.NewReader(data), 4*chunk, 4*chunk, quiet())
			}
			if err == nil || !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want ...%s", err, c.want)
			}
		})
	}
}

func TestProgress(t *testing.T) {
	var out strings.Builder
	now := time.Unix(0, 0)
	p := &progress{out: &out, now: func() time.Time { return now }}
	p.begin("write", 1000_000_000)
	for range 10 {
		now = now.Add(2 * time.Second)
		p.at(p.done + 100_000_000)
	}
	p.end()
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 10 || lines[4] != "write:  50 %  500.0 MB of 1.0 GB, 50.0 MB/s, 10s left" || lines[9] != "write: 1.0 GB in 20s, 50.0 MB/s" {
		t.Errorf("got %q", lines)
	}
}
