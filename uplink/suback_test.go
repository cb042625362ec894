package uplink

import (
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
)

// TestSubackIsLate: a node that takes longer for a SUBACK than the first try of
// an endpoint may last is not left. A cluster that is busy would be busier still
// with the same subscription on the next node.
func TestSubackIsLate(t *testing.T) {
	a, b := newCloud(t), newCloud(t)
	var e edge
	for _, c := range []*cloud{a, b} {
		c.suback = func(s *served, ack *packets.Suback) {
			time.AfterFunc(2*firstTry, func() {
				s.send(ack)
				s.publishDown(1, "site/7/cmd/light", "on", nil)
			})
		}
		c.start()
	}
	u, stop := begin(t, downOnly(a.url(), b.url()), e.options())
	defer stop()
	eventually(t, "a command comes down", func() bool { return e.count() > 0 })
	for _, l := range u.Stats().Links {
		if l.Down && (l.Reconnects != 0 || l.State != Connected) {
			t.Errorf("got %d reconnects, state %s, cause %q; want the first connection", l.Reconnects, l.State, l.Cause)
		}
	}
}
