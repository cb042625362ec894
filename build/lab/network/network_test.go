package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"tidegate/build/lab/proc"
)

func TestMain(m *testing.M) {
	if !Inside() {
		code, err := Enter()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		os.Exit(code)
	}
	if err := Settle(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// pair is two hosts, and a UDP socket on each.
type pair struct {
	net  *Network
	a, b *Host
	ua   net.PacketConn
	ub   net.PacketConn
}

func newPair(t *testing.T) *pair {
	t.Helper()
	n, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	p := &pair{net: n}
	for _, h := range []struct {
		name string
		host **Host
		conn *net.PacketConn
	}{{"a", &p.a, &p.ua}, {"b", &p.b, &p.ub}} {
		if *h.host, err = n.Host(h.name); err != nil {
			t.Fatal(err)
		}
		err = In((*h.host).Namespace(), func() error {
			*h.conn, err = net.ListenPacket("udp4", (*h.host).At(5000))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		conn := *h.conn
		t.Cleanup(func() { conn.Close() })
	}
	return p
}

// send sends count numbered packets of size bytes from a to b.
func (p *pair) send(t *testing.T, count, size int) {
	t.Helper()
	to := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(p.b.At(5000)))
	for i := range count {
		b := make([]byte, size)
		binary.BigEndian.PutUint32(b, uint32(i))
		if _, err := p.ua.WriteTo(b, to); err != nil {
			t.Fatal(err)
		}
	}
}

// receive returns the next packet's number at b; false when none comes within d.
func (p *pair) receive(t *testing.T, d time.Duration) (int, bool) {
	t.Helper()
	b := make([]byte, 2000)
	p.ub.SetReadDeadline(time.Now().Add(d))
	n, _, err := p.ub.ReadFrom(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return 0, false
	}
	if err != nil || n < 4 {
		t.Fatal(n, err)
	}
	return int(binary.BigEndian.Uint32(b)), true
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20s: %s", what)
		}
	}
}

func TestLanesHaveADirection(t *testing.T) {
	p := newPair(t)
	p.net.Way(p.a, p.b, Hole)
	p.send(t, 3, 100)
	if n, ok := p.receive(t, 200*time.Millisecond); ok {
		t.Errorf("got packet %d through a hole", n)
	}
	eventually(t, "three packets lost", func() bool { return p.net.Counts(p.a, p.b) == Counts{Lost: 3} })
	if _, err := p.ub.WriteTo([]byte("back"), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(p.a.At(5000)))); err != nil {
		t.Fatal(err)
	}
	p.ua.SetReadDeadline(time.Now().Add(20 * time.Second))
	b := make([]byte, 10)
	if n, _, err := p.ua.ReadFrom(b); err != nil || string(b[:n]) != "back" {
		t.Errorf("got %q, %v; want the way back open", b[:n], err)
	}
	p.net.Way(p.a, p.b, Fault{})
	p.send(t, 1, 100)
	if _, ok := p.receive(t, 20*time.Second); !ok {
		t.Error("nothing comes after the hole has closed")
	}
}

func TestDelayKeepsOrder(t *testing.T) {
	p := newPair(t)
	const delay, count = time.Second, 200
	p.net.Way(p.a, p.b, Fault{Delay: delay})
	began := time.Now()
	p.send(t, count/2, 100)
	l := p.a.lanes[p.b.Addr]
	eventually(t, "the packets wait", func() bool { return l.waiting.Load()+l.passed.Load() == count/2 })
	p.net.Way(p.a, p.b, Fault{}) // what comes now must not overtake
	p.send(t, count/2, 100)
	for i := range count {
		n, ok := p.receive(t, 20*time.Second)
		if want := i % (count / 2); !ok || n != want {
			t.Fatalf("got packet %d, %v; want %d", n, ok, want)
		}
		if i == 0 && time.Since(began) < delay {
			t.Errorf("came after %v, want at least %v", time.Since(began), delay)
		}
	}
}

func TestRate(t *testing.T) {
	p := newPair(t)
	const rate, size, count = 8000, 972, 8 // with its headers a packet is 1000 bytes
	p.net.Way(p.a, p.b, Fault{Rate: rate})
	began := time.Now()
	p.send(t, count, size)
	for i := range count {
		if n, ok := p.receive(t, 20*time.Second); !ok || n != i {
			t.Fatalf("got packet %d, %v; want %d", n, ok, i)
		}
	}
	if took := time.Since(began); took < time.Second-50*time.Millisecond {
		t.Errorf("8000 bytes at %d a second came after %v", rate, took)
	}
	p.send(t, 100, size)
	eventually(t, "the queue is full", func() bool { return p.net.Counts(p.a, p.b).Lost > 0 })
}

func TestLoss(t *testing.T) {
	l := newLane(nil)
	l.set(Fault{Loss: 0.25})
	lost := 0
	const count = 10000
	for range count {
		if _, ok := l.due(100, time.Now()); !ok {
			lost++
		}
	}
	if lost < count/5 || lost > count*3/10 { // more than ten standard deviations
		t.Errorf("lost %d of %d, want about a quarter", lost, count)
	}
}

// TestTCP carries a megabyte through delay and loss, from a program in one
// host to this one in another: the kernels repair it.
func TestTCP(t *testing.T) {
	p := newPair(t)
	var l net.Listener
	err := In(p.b.Namespace(), func() (err error) {
		l, err = net.Listen("tcp4", p.b.At(80))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p.net.Between(p.a, p.b, Fault{Delay: time.Millisecond, Loss: 0.01})
	script := fmt.Sprintf("exec 3<>/dev/tcp/%s/80; head -c 1000000 /dev/zero >&3", p.b.Addr)
	program, err := proc.Start(proc.Command{Args: []string{"bash", "-c", script}, Network: p.a.Namespace()})
	if err != nil {
		t.Fatal(err)
	}
	defer program.Kill()
	l.(*net.TCPListener).SetDeadline(time.Now().Add(time.Minute))
	c, err := l.Accept()
	if err != nil {
		t.Fatalf("%v; the program says %s", err, program.Output())
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	if n, err := io.Copy(io.Discard, c); n != 1000000 || err != nil {
		t.Errorf("got %d bytes, %v; want 1000000", n, err)
	}
}

// TestManyNetworks makes networks one after the other: whichever thread went
// into a host's namespace, the next network's lab is where this program is.
func TestManyNetworks(t *testing.T) {
	for range 30 {
		n, err := New()
		if err != nil {
			t.Fatal(err)
		}
		h, err := n.Host("a")
		if err != nil {
			t.Fatal(err)
		}
		var l net.Listener
		err = In(h.Namespace(), func() (err error) {
			l, err = net.Listen("tcp4", h.At(80))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.DialTimeout("tcp4", h.At(80), 20*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		l.Close()
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
