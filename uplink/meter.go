package uplink

import (
	"net"
	"time"

	"golang.org/x/time/rate"
)

// meter keeps an uplink within its bytes per second (rate-limit). Every byte of
// its connections counts, both ways: TLS, handshakes, pings and
// acknowledgements too. None of them waits: what waits is the next message to
// go up, before it is taken from the spool. So what is in flight is never late
// because of the limit, and a node is not taken for dead.
//
// A nil meter has no limit.
type meter struct {
	limiter *rate.Limiter
	piece   int // bytes that a link may send at a time
}

const (
	leastPiece = 1500        // bytes
	mostWait   = time.Second // before a link looks again what it should do
)

func newMeter(bytesPerSecond int64) *meter {
	if bytesPerSecond <= 0 {
		return nil
	}
	piece := int(max(bytesPerSecond/8, leastPiece))
	return &meter{limiter: rate.NewLimiter(rate.Limit(bytesPerSecond), piece), piece: piece}
}

// spend counts n bytes. It goes into debt rather than wait.
func (m *meter) spend(n int) {
	now := time.Now()
	for ; n > 0; n -= m.piece {
		m.limiter.ReserveN(now, min(n, m.piece))
	}
}

// wait returns how long the debt will last, or a part of that time.
func (m *meter) wait() time.Duration {
	tokens := m.limiter.Tokens()
	if tokens >= 0 {
		return 0
	}
	return min(time.Duration(-tokens/float64(m.limiter.Limit())*float64(time.Second))+time.Millisecond, mostWait)
}

// over makes a connection count.
func (m *meter) over(c net.Conn) net.Conn {
	if m == nil {
		return c
	}
	return &metered{c, m}
}

type metered struct {
	net.Conn
	meter *meter
}

func (c *metered) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.meter.spend(n)
	return n, err
}

func (c *metered) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.meter.spend(n)
	return n, err
}

// NetConn returns the connection below.
func (c *metered) NetConn() net.Conn { return c.Conn }
