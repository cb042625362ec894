// Package proxy puts a bad network between a client and a TCP server: one
// that cuts, refuses, swallows, delays or throttles, switched at run time.
package proxy

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Fault says what the network does now. The zero Fault passes everything.
type Fault struct {
	Refuse    bool          // new connections are refused by the kernel; open ones live on
	StallUp   bool          // nothing more reaches the server
	StallDown bool          // nothing more reaches the client
	Delay     time.Duration // each way
	Rate      int           // bytes per second, each way and connection; 0: no limit
}

// Stall is a black hole: connections stay open, or open, and carry nothing.
// What went in before the hole closes again comes out then.
var Stall = Fault{StallUp: true, StallDown: true}

// Counts are totals since the proxy was made.
type Counts struct {
	Accepted int64 // connections taken from clients
	Unserved int64 // of them, cut because the server could not be reached
	Up, Down int64 // bytes passed to the server, to the client
}

// Proxy listens on a loopback port of its own and forwards to one server.
type Proxy struct {
	target   string
	addr     string
	hold     int // a socket bound to the port, so that it stays ours while refusing
	accepted atomic.Int64
	unserved atomic.Int64
	up, down atomic.Int64
	work     sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener // nil while refusing
	fault    Fault
	changed  chan struct{} // closed at the next Set
	pairs    map[*pair]struct{}
	closed   bool
}

// New starts a proxy to target ("host:port") that passes everything.
func New(target string) (*Proxy, error) {
	hold, port, err := holdPort()
	if err != nil {
		return nil, fmt.Errorf("start proxy to %s: %w", target, err)
	}
	p := &Proxy{
		target:  target,
		addr:    fmt.Sprintf("127.0.0.1:%d", port),
		hold:    hold,
		changed: make(chan struct{}),
		pairs:   map[*pair]struct{}{},
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.listen(); err != nil {
		_ = syscall.Close(hold)
		return nil, fmt.Errorf("start proxy to %s: %w", target, err)
	}
	return p, nil
}

// Addr returns the "host:port" to dial.
func (p *Proxy) Addr() string { return p.addr }

// Counts returns the totals.
func (p *Proxy) Counts() Counts {
	return Counts{p.accepted.Load(), p.unserved.Load(), p.up.Load(), p.down.Load()}
}

// Open returns how many connections are open.
func (p *Proxy) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.pairs)
}

// Greetings returns the first bytes that the client of each open connection
// sent: with MQTT its CONNECT, so that a test can tell whose connection it is.
func (p *Proxy) Greetings() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []string
	for c := range p.pairs {
		all = append(all, c.hello())
	}
	return all
}

// Set makes f the state of the network, for open connections too.
func (p *Proxy) Set(f Fault) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return net.ErrClosed
	}
	switch {
	case f.Refuse && p.listener != nil:
		p.listener.Close()
		p.listener = nil
	case !f.Refuse && p.listener == nil:
		if err := p.listen(); err != nil {
			return fmt.Errorf("listen again on %s: %w", p.addr, err)
		}
	}
	p.fault = f
	close(p.changed)
	p.changed = make(chan struct{})
	return nil
}

// Cut resets every open connection, towards both sides. New ones are as
// before.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.pairs {
		c.reset()
	}
}

// Close cuts everything and returns when all that the proxy started has ended.
func (p *Proxy) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	if p.listener != nil {
		p.listener.Close()
	}
	for c := range p.pairs {
		c.reset()
	}
	p.mu.Unlock()
	p.work.Wait()
	return syscall.Close(p.hold)
}

// listen is called with mu held.
func (p *Proxy) listen() error {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) { err = reusePort(int(fd)) }); cerr != nil {
			return cerr
		}
		return err
	}}
	l, err := config.Listen(context.Background(), "tcp4", p.addr)
	if err != nil {
		return err
	}
	p.listener = l
	p.work.Go(func() { p.accept(l) })
	return nil
}

func (p *Proxy) accept(l net.Listener) {
	for {
		client, err := l.Accept()
		if err != nil {
			return // refusing now, or closed
		}
		p.accepted.Add(1)
		p.work.Go(func() { p.serve(client.(*net.TCPConn)) })
	}
}

func (p *Proxy) serve(client *net.TCPConn) {
	c := &pair{client: client, end: make(chan struct{})}
	if !p.add(c) {
		c.reset()
		return
	}
	defer p.remove(c)
	server, err := net.DialTimeout("tcp", p.target, 5*time.Second)
	if err != nil {
		p.unserved.Add(1)
		c.reset()
		return
	}
	if !c.attach(server.(*net.TCPConn)) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { p.pump(c, client, c.server, true, &p.up) })
	both.Go(func() { p.pump(c, c.server, client, false, &p.down) })
	both.Wait()
	c.close()
}

// add makes c known to Cut. False: it was accepted, and then the network went.
func (p *Proxy) add(c *pair) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.fault.Refuse {
		return false
	}
	p.pairs[c] = struct{}{}
	return true
}

func (p *Proxy) remove(c *pair) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.pairs, c)
}

func (p *Proxy) now() (Fault, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fault, p.changed
}

// holdPort binds a socket to a free port of the loopback address without
// listening on it: the kernel refuses connections to it while no other socket
// listens there, and gives the port to nobody else.
func holdPort() (fd, port int, err error) {
	fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, 0, err
	}
	if err = reusePort(fd); err == nil {
		err = syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	}
	if err == nil {
		var sa syscall.Sockaddr
		if sa, err = syscall.Getsockname(fd); err == nil {
			return fd, sa.(*syscall.SockaddrInet4).Port, nil
		}
	}
	_ = syscall.Close(fd)
	return 0, 0, err
}

func reusePort(fd int) error {
	const soReusePort = 15 // not in package syscall on every architecture
	return syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, soReusePort, 1)
}
