package proxy

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// pair is one client's connection and the one made for it to the server.
type pair struct {
	client *net.TCPConn
	end    chan struct{} // closed by reset and close

	mu     sync.Mutex
	server *net.TCPConn // nil until it is dialled
	ended  bool
	first  string // what the client sent first
}

func (c *pair) hello() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.first
}

// heard keeps what the client sent first.
func (c *pair) heard(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.first == "" {
		c.first = string(b)
	}
}

// attach takes the server's connection; false when the pair was cut meanwhile.
func (c *pair) attach(server *net.TCPConn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		server.Close()
		return false
	}
	c.server = server
	return true
}

// reset ends both connections with RST instead of FIN.
func (c *pair) reset() { c.finish(true) }

func (c *pair) close() { c.finish(false) }

func (c *pair) finish(rst bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	c.ended = true
	close(c.end)
	for _, conn := range []*net.TCPConn{c.client, c.server} {
		if conn == nil {
			continue
		}
		if rst {
			_ = conn.SetLinger(0)
		}
		conn.Close()
	}
}

// chunk is what one read brought, to be written when it is due.
type chunk struct {
	b   []byte
	due time.Time
}

// pump carries one direction. Reader and writer are apart so that a delay
// does not throttle: what waits is bounded by the channel.
func (p *Proxy) pump(c *pair, from, to *net.TCPConn, up bool, count *atomic.Int64) {
	chunks := make(chan chunk, 1024)
	var writer sync.WaitGroup
	writer.Go(func() { p.write(c, to, up, chunks, count) })
	defer writer.Wait()
	defer close(chunks)
	for p.open(c, up) {
		b := make([]byte, 16<<10)
		n, err := from.Read(b)
		if n > 0 {
			if up {
				c.heard(b[:n])
			}
			f, _ := p.now()
			select {
			case chunks <- chunk{b[:n], time.Now().Add(f.Delay)}:
			case <-c.end:
				return
			}
		}
		if err == io.EOF {
			return // the writer passes the end on behind the data
		}
		if err != nil {
			c.reset()
			return
		}
	}
}

func (p *Proxy) write(c *pair, to *net.TCPConn, up bool, chunks <-chan chunk, count *atomic.Int64) {
	for next := range chunks {
		f, _ := p.now()
		wait := time.Until(next.due)
		if f.Rate > 0 {
			wait = max(wait, 0) + time.Duration(len(next.b))*time.Second/time.Duration(f.Rate)
		}
		if !c.sleep(wait) || !p.open(c, up) {
			continue // drain: the reader must not block
		}
		if _, err := to.Write(next.b); err != nil {
			c.reset()
			continue
		}
		count.Add(int64(len(next.b)))
	}
	if p.open(c, up) {
		_ = to.CloseWrite()
	}
}

// open waits until the direction is not stalled; false when the pair has ended.
func (p *Proxy) open(c *pair, up bool) bool {
	for {
		f, changed := p.now()
		if stalled := up && f.StallUp || !up && f.StallDown; !stalled {
			return !c.over()
		}
		select {
		case <-c.end:
			return false
		case <-changed:
		}
	}
}

func (c *pair) over() bool {
	select {
	case <-c.end:
		return true
	default:
		return false
	}
}

// sleep waits for d; false when the pair has ended.
func (c *pair) sleep(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c.end:
		return false
	case <-t.C:
		return true
	}
}
