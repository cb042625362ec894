package uplink

import (
	"context"
	"fmt"
	"strings"

	"github.com/eclipse/paho.golang/paho"
)

// both is one link in both directions, for clouds that allow a gateway one
// client id. It asks for a session, for the sake of the commands. What was in
// flight upwards is sent again with new packet ids all the same: at QoS 1 the
// receiver keeps nothing that the old ones would matter to.
type both struct {
	up   *upward
	down *downward
	bell bell // of the goroutine that acknowledges commands
}

func newBoth(l *link) *both {
	b := &both{up: &upward{link: l}, bell: newBell()}
	b.down = newDownward(l, &b.bell)
	return b
}

func (b *both) connect(c Config) *paho.Connect        { return b.down.connect(c) }
func (b *both) online(up bool)                        { b.up.online(up) }
func (b *both) oldest() (int64, int)                  { return b.up.oldest() }
func (b *both) publish(first byte, body []byte) error { return b.down.publish(first, body) }

func (b *both) puback(id uint16, reason byte) error {
	if id >= statusID {
		return b.down.puback(id, reason)
	}
	return b.up.puback(id, reason)
}

// mayReturn: as for the commands; upwards nothing speaks against it.
func (b *both) mayReturn(c Config) bool { return b.down.mayReturn(c) }

func (b *both) begin(w *wire, l limits) {
	b.up.begin(w, l)
	b.down.begin(w, l)
}

func (b *both) idle() (awaited int) {
	b.down.idle()
	return b.up.idle()
}

// serve lets each direction work in a goroutine of its own, so that neither
// waits for the other. At the end both finish what they have, then the link
// says DISCONNECT.
func (b *both) serve(ctx context.Context, c *client) error {
	done := make(chan struct{})
	dctx, end := context.WithCancel(ctx)
	defer end()
	go func() {
		defer close(done)
		if err := b.down.work(dctx, c, func() bool { return false }); err != nil {
			c.wire.cut(err)
			return
		}
		b.down.drain(c, b.down.link.config().DrainTimeout.Std())
		b.down.link.up.presence.leave(ctx, c, b.down)
	}()
	b.up.goodbye = func() { end(); <-done }
	err := b.up.serve(ctx, c)
	<-done
	return err
}

// maxSingleID bounds a client id that a cloud gave, in bytes; AWS IoT and Azure
// allow so many.
const maxSingleID = 128

func (c Config) checkSingle(p *problems) {
	if c.Links != 1 {
		p.add("links", fmt.Sprint(c.Links), "1 when single-client is true", "the cloud allows one client id, so there is one connection")
	}
	odd := func(r rune) bool { return r <= ' ' || r > '~' }
	if len(c.ClientID) > maxSingleID || strings.ContainsFunc(c.ClientID, odd) {
		p.add("client-id", quote(c.ClientID), fmt.Sprintf("at most %d printable ASCII characters without spaces", maxSingleID), "with single-client it is sent exactly as it is written here")
	}
}
