package uplink

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pairOf returns both ends of a connection over loopback, one as a socket.
func pairOf(t *testing.T) (*socket, *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	near, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSocket(near.(*net.TCPConn))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(); far.Close() })
	far.SetDeadline(time.Now().Add(30 * time.Second))
	return s, far.(*net.TCPConn)
}

func (s *socket) kernelLowat(t *testing.T) (n int) {
	t.Helper()
	if err := s.raw.Control(func(fd uintptr) {
		n, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT)
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestGatherBytes(t *testing.T) {
	for _, c := range []struct {
		awaited int
		soon    float64
		want    int32
	}{
		{0, 1e9, 1},     // nothing is awaited: what comes is something else
		{15, 1e9, 1},    // a quarter of it is too few
		{16, 1e9, 16},   // of 16 PUBACKs, four
		{100, 1e9, 64},  // of 100, sixteen
		{256, 1e9, 128}, // no more than gatherMost
		{65535, 1e9, 128},
		{256, 0, 1},    // they come slowly
		{256, 15.9, 1}, // less than a few within gatherTime
		{256, 40, 32},
	} {
		if got := gatherBytes(c.awaited, c.soon); got != c.want {
			t.Errorf("%d awaited, %v bytes soon: got %d, want %d", c.awaited, c.soon, got, c.want)
		}
	}
}

// A run of PUBACKs that stays shorter than expected must come through all the
// same, as must the end of the connection: to a reader that waits for more.
func TestGatheredAcksAreNotHeldBack(t *testing.T) {
	s, far := pairOf(t)
	waits := make(chan struct{}, 1)
	s.rest = func() int {
		select {
		case waits <- struct{}{}:
		default:
		}
		return 1000
	}
	buf := make([]byte, 4096)
	learn := func() { // until the socket knows that they come quickly
		for end := time.Now().Add(20 * time.Second); ; {
			if _, err := far.Write(make([]byte, gatherMost)); err != nil {
				t.Fatal(err)
			}
			for got := 0; got < gatherMost; {
				n, err := s.Read(buf)
				if err != nil {
					t.Fatal(err)
				}
				got += n
			}
			if s.expect(1000); s.kernelLowat(t) > 1 {
				return
			}
			if time.Now().After(end) {
				t.Fatal("the socket never waited for more than a byte")
			}
		}
	}
	type result struct {
		n   int
		err error
	}
	read := func(then func()) result { // then happens while the reader waits, or is about to
		learn()
		select {
		case <-waits:
		default:
		}
		got := make(chan result, 1)
		go func() {
			n, err := s.Read(buf)
			got <- result{n, err}
		}()
		<-waits
		then()
		select {
		case r := <-got:
			return r
		case <-time.After(20 * time.Second):
			t.Fatal("the reader waits in vain")
			return result{}
		}
	}
	ack := func() { far.Write([]byte{0x40, 2, 0, 1}) }
	for range 10 {
		if got := read(ack); got != (result{n: ackSize}) {
			t.Fatalf("a single PUBACK at once: got %+v, want %d bytes", got, ackSize)
		}
	}
	late := func() {
		for end := time.Now().Add(20 * time.Second); s.kernelLowat(t) > 1; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("the socket waits for more for ever")
			}
		}
		ack()
	}
	if got := read(late); got != (result{n: ackSize}) {
		t.Fatalf("a single PUBACK later: got %+v, want %d bytes", got, ackSize)
	}
	if got := read(func() { far.Close() }); got != (result{err: io.EOF}) {
		t.Fatalf("the end: got %+v, want EOF", got)
	}
}

// Many times what the kernel's buffers hold goes through whole, both ways.
func TestSocketMovesEverything(t *testing.T) {
	s, far := pairOf(t)
	want := bytes.Repeat([]byte("0123456789abcde\n"), 1<<20)
	go far.Write(want)
	got, err := io.ReadAll(io.LimitReader(struct{ io.Reader }{s}, int64(len(want))))
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("read: got %d bytes and %v, want %d", len(got), err, len(want))
	}
	done := make(chan []byte)
	go func() {
		b, _ := io.ReadAll(far)
		done <- b
	}()
	if n, err := s.Write(want); n != len(want) || err != nil {
		t.Fatalf("write: got %d bytes and %v, want %d", n, err, len(want))
	}
	s.Close()
	if got := <-done; !bytes.Equal(got, want) {
		t.Fatalf("the other side read %d bytes, want %d", len(got), len(want))
	}
}

// Errors are those of the net package's connections, which tell the causes of
// a fault.
func TestSocketErrors(t *testing.T) {
	t.Run("deadline", func(t *testing.T) {
		s, _ := pairOf(t)
		s.SetReadDeadline(time.Now().Add(-time.Second))
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v, want %v", err, os.ErrDeadlineExceeded)
		}
	})
	t.Run("reset", func(t *testing.T) {
		s, far := pairOf(t)
		far.SetLinger(0)
		far.Close()
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("got %v, want %v", err, syscall.ECONNRESET)
		}
		if _, err := s.Write(make([]byte, 1)); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("got %v, want %v", err, syscall.EPIPE)
		}
	})
	t.Run("closed", func(t *testing.T) {
		s, _ := pairOf(t)
		time.AfterFunc(10*time.Millisecond, func() { s.Close() })
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read: got %v, want %v", err, net.ErrClosed)
		}
		if _, err := s.Write(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write: got %v, want %v", err, net.ErrClosed)
		}
	})
}

func TestSocketDoesNotAllocate(t *testing.T) {
	s, far := pairOf(t)
	s.rest = func() int { return 0 }
	b := []byte{0x40, 2, 0, 1}
	if got := testing.AllocsPerRun(100, func() {
		s.Write(b)
		far.Read(b)
		far.Write(b)
		s.Read(b)
	}); got > 0 {
		t.Errorf("a write and a read allocate %v times, want 0", got)
	}
}
