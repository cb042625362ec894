package proxy

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// echo starts a server that sends back what it gets.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			})
		}
	})
	t.Cleanup(func() { l.Close(); work.Wait() })
	return l.Addr().String()
}

func start(t *testing.T, target string) *Proxy {
	t.Helper()
	p, err := New(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if stacks := pumps(); stacks != "" {
			t.Errorf("goroutines of the proxy are left:\n%s", stacks)
		}
	})
	return p
}

func pumps() string {
	buf := make([]byte, 1<<20)
	for _, s := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(s, "proxy.(*Proxy).pump") {
			return s
		}
	}
	return ""
}

func dial(t *testing.T, p *Proxy) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// say sends text and waits for its echo.
func say(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	hear(t, conn, text)
}

func hear(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != text {
		t.Fatalf("echo of %.20q: got %.20q, %v", text, got, err)
	}
}

func set(t *testing.T, p *Proxy, f Fault) {
	t.Helper()
	if err := p.Set(f); err != nil {
		t.Fatal(err)
	}
}

func TestPass(t *testing.T) {
	p := start(t, echo(t))
	conn := dial(t, p)
	say(t, conn, "hello")
	if got := p.Greetings(); len(got) != 1 || got[0] != "hello" {
		t.Errorf("greetings: got %q, want [hello]", got)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("after the server's end: got %v, want EOF", err)
	}
	got, want := p.Counts(), Counts{Accepted: 1, Up: 5, Down: 5}
	if got != want {
		t.Errorf("counts: got %+v, want %+v", got, want)
	}
}

func TestCut(t *testing.T) {
	p := start(t, echo(t))
	conn := dial(t, p)
	say(t, conn, "hello")
	p.Cut()
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after the cut: got %v, want a reset", err)
	}
	say(t, dial(t, p), "a new connection passes")
}

func TestRefuse(t *testing.T) {
	p := start(t, echo(t))
	open := dial(t, p)
	say(t, open, "before")
	for range 3 {
		set(t, p, Fault{Refuse: true})
		if conn, err := net.Dial("tcp", p.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("while refusing: got %v, %v, want a refusal", conn, err)
		}
		say(t, open, "an open connection lives on")
		set(t, p, Fault{})
		say(t, dial(t, p), "after")
	}
}

func TestStall(t *testing.T) {
	tests := map[string]Fault{
		"both": Stall,
		"up":   {StallUp: true},
		"down": {StallDown: true},
	}
	for name, fault := range tests {
		t.Run(name, func(t *testing.T) {
			p := start(t, echo(t))
			old := dial(t, p)
			say(t, old, "before")
			set(t, p, fault)
			fresh := dial(t, p) // a black hole accepts
			for _, conn := range []net.Conn{old, fresh} {
				if _, err := io.WriteString(conn, "late"); err != nil {
					t.Fatal(err)
				}
				if err := conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
					t.Fatal(err)
				}
				if n, err := conn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatalf("while stalled: got %d bytes, %v, want a timeout", n, err)
				}
			}
			set(t, p, Fault{})
			hear(t, old, "late")
			hear(t, fresh, "late")
		})
	}
}

func TestDelayDoesNotThrottle(t *testing.T) {
	p := start(t, echo(t))
	conn := dial(t, p)
	set(t, p, Fault{Delay: 50 * time.Millisecond})
	began := time.Now()
	for range 20 {
		if _, err := io.WriteString(conn, "0123456789"); err != nil {
			t.Fatal(err)
		}
	}
	hear(t, conn, strings.Repeat("0123456789", 20))
	if took := time.Since(began); took < 100*time.Millisecond {
		t.Errorf("there and back took %v, want at least 100ms", took)
	}
}

func TestRate(t *testing.T) {
	p := start(t, echo(t))
	conn := dial(t, p)
	set(t, p, Fault{Rate: 100_000})
	began := time.Now()
	say(t, conn, strings.Repeat("x", 20_000))
	if took := time.Since(began); took < 200*time.Millisecond {
		t.Errorf("20 kB at 100 kB/s took %v, want at least 200ms", took)
	}
}

func TestServerAway(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	p := start(t, l.Addr().String())
	conn, err := net.Dial("tcp", p.Addr())
	if err == nil { // the reset may also come before the connection is known here
		defer conn.Close()
		_, err = conn.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a connection to a dead server: got %v, want a reset", err)
	}
	if got := p.Counts().Unserved; got != 1 {
		t.Errorf("unserved: got %d, want 1", got)
	}
}

func TestCloseWhileStalled(t *testing.T) {
	p := start(t, echo(t))
	conn := dial(t, p)
	say(t, conn, "hello")
	set(t, p, Stall)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.Set(Fault{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("set after close: got %v, want %v", err, net.ErrClosed)
	}
}
