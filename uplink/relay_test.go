package uplink

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// relay is a TCP proxy that can go silent without closing anything, or refuse
// everybody.
type relay struct {
	ln   net.Listener
	to   string
	wg   sync.WaitGroup
	mu   sync.Mutex
	cond *sync.Cond
	dead bool         // silent
	shut bool         // refuses
	rate atomic.Int64 // bytes a second towards the node, 0 for no limit; for later connections
	late atomic.Int64 // ns, the longest that a limited direction was held up by the machine
	end  bool
	open []net.Conn
}

func newRelay(t testing.TB, to string) *relay {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{ln: ln, to: to}
	r.cond = sync.NewCond(&r.mu)
	r.wg.Go(r.accept)
	t.Cleanup(func() {
		ln.Close()
		r.mu.Lock()
		r.end = true
		r.closeAll()
		r.cond.Broadcast()
		r.mu.Unlock()
		r.wg.Wait()
	})
	return r
}

func (r *relay) addr() string { return r.ln.Addr().String() }

func (r *relay) stall(on bool) {
	r.mu.Lock()
	r.dead = on
	r.cond.Broadcast()
	r.mu.Unlock()
}

// refuse cuts every connection and all that come, until it is called with false.
func (r *relay) refuse(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shut = on
	if on {
		r.closeAll()
	}
}

func (r *relay) closeAll() {
	for _, c := range r.open {
		c.Close()
	}
	r.open = nil
}

func (r *relay) wait() (end bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.dead && !r.end {
		r.cond.Wait()
	}
	return r.end
}

func (r *relay) accept() {
	for {
		a, err := r.ln.Accept()
		if err != nil {
			return
		}
		b, err := net.Dial("tcp", r.to)
		if err != nil {
			a.Close()
			continue
		}
		r.mu.Lock()
		if r.open = append(r.open, a, b); r.end || r.shut {
			r.closeAll()
		}
		r.mu.Unlock()
		r.wg.Go(func() { r.copy(a, b, 0) })
		rate := int(r.rate.Load())
		if rate > 0 {
			a.(*net.TCPConn).SetReadBuffer(4096)
		}
		r.wg.Go(func() { r.copy(b, a, rate) })
	}
}

func (r *relay) copy(to, from net.Conn, rate int) {
	defer to.Close()
	defer from.Close()
	b := make([]byte, 16<<10)
	const pace = 50 * time.Millisecond
	for {
		if rate > 0 {
			began := time.Now()
			time.Sleep(pace)
			r.late.Store(max(r.late.Load(), int64(time.Since(began)-pace)))
			b = b[:rate/20]
		}
		n, err := from.Read(b)
		if r.wait() {
			return
		}
		if n > 0 {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil && err != io.EOF || n == 0 {
			return
		}
	}
}
