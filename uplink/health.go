package uplink

import (
	"context"
	"errors"
	"math"
	"net"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.golang/paho/log"
)

// rtt is a smoothed round trip and its deviation [RFC 6298].
type rtt struct{ mean, dev time.Duration }

func (r *rtt) add(d time.Duration) {
	if r.mean == 0 {
		r.mean, r.dev = d, d/2
		return
	}
	diff := max(r.mean-d, d-r.mean)
	r.dev += (diff - r.dev) / 4
	r.mean += (d - r.mean) / 8
}

// seed takes the round trip of a handshake when it is longer than what is known:
// a slow line is known as one from its first message on.
func (r *rtt) seed(d time.Duration) {
	if d > r.deadline(0) {
		r.mean, r.dev = d, d/2
	}
}

// deadline is when an answer counts as late: from least up, to a minute at most.
func (r rtt) deadline(least time.Duration) time.Duration {
	return min(max(r.mean+4*r.dev, least), max(least, time.Minute))
}

// vitals are what a link shows of itself at one moment. Times are in ns on the
// connection's clock.
type vitals struct {
	now      int64
	oldest   int64 // when the oldest unanswered message was sent
	inFlight int
	read     int64 // last bytes in
	written  int64 // last bytes out
	suspect  bool  // another link lost this endpoint
	allLate  bool  // the other links that have messages in flight are late too
	begun    int64 // when the packet began to come that is not whole; 0: there is none
	size     int64 // of that packet, in bytes
	progress       // of what was written
}

// verdict is what to do about them.
type verdict struct {
	ping bool
	late bool  // PUBACKs are late
	slow bool  // and pings are answered: stay
	dead error // leave
	lost bool  // dead, and what was written does not even reach the other side's kernel
}

// watch judges one connection. It is a state machine without clock or I/O.
type watch struct {
	keepAlive time.Duration // 0: never ping for being idle
	least     time.Duration // ack-timeout
	patience  time.Duration
	factor    int // of the deadline, doubled for a slow cloud; kept through moves

	pinged   int64         // when; 0: no ping is out
	looked   int64         // when last
	waited   time.Duration // since the ping, as far as this process was awake
	reached  uint64
	target   uint64 // of reached, when the ping has
	wait     time.Duration
	cause    error
	answered bool          // the last ping
	due      int64         // when doubt may ask again
	begun    int64         // of the packet that is not whole
	dribbles time.Duration // for how long it has not been, as far as this process was awake
}

var (
	errSilent  = errors.New("acknowledgements are late and no PINGRESP comes")
	errIdle    = errors.New("no PINGRESP")
	errSuspect = errors.New("no PINGRESP, and another link lost this endpoint")
	errDribble = errors.New("it sends a packet too slowly to be of use")
	errStuck   = errors.New("it answers pings and acknowledges nothing")
)

const (
	slowest       = 1 << 10 // bytes a second at which a packet must come, after patience: any byte answers a ping
	leastPingWait = 750 * time.Millisecond
	idlePingWait  = 5 * time.Second
	unwritten     = math.MaxUint64         // the target of a ping that waits behind a write
	awake         = 200 * time.Millisecond // a longer pause between two looks is this process's own
)

// judge looks at one moment. A ping goes out when half the deadline is over, so
// that its silence is known about when lateness is: a node is dead when both
// say so. Waiting for the PINGRESP counts only while this process runs, since
// after a pause the reader needs its turn.
func (w *watch) judge(v vitals, r rtt) (out verdict) {
	deadline := int64(r.deadline(w.least)) * int64(max(w.factor, 1))
	doubt := v.inFlight > 0 && v.now-v.oldest > min(deadline, max(deadline/2, int64(r.deadline(0))))
	out.late = v.inFlight > 0 && v.now-v.oldest > deadline
	since := min(time.Duration(v.now-w.looked), awake)
	w.looked = v.now
	if v.begun != w.begun {
		w.begun, w.dribbles = v.begun, 0
	} else if v.begun != 0 {
		if w.dribbles += since; w.dribbles > w.patience+time.Duration(v.size)*time.Second/slowest {
			out.dead = errDribble
			return out
		}
	}
	if w.pinged != 0 {
		w.waited += since
		if v.read > w.pinged {
			w.pinged, w.answered, w.due = 0, true, v.now+deadline
		} else if v.more && v.reached != w.reached && w.reached < w.target {
			w.pinged, w.waited, w.reached = v.now, 0, v.reached // a slow line: the ping is still on its way
		} else if w.waited > w.wait && (out.late || w.cause != errSilent) {
			out.dead, out.lost = w.cause, v.lost
			return out
		}
	}
	if !doubt {
		w.due, w.answered = 0, false
	}
	out.slow = out.late && w.answered
	if out.slow && v.now-v.oldest > max(w.limit(v.allLate), deadline) {
		out.dead = errStuck
		return out
	}
	if w.pinged != 0 {
		return out
	}
	switch {
	case doubt && v.now >= w.due:
		w.wait, w.cause = max(leastPingWait, w.least*3/4, r.deadline(0)), errSilent
		if v.allLate {
			w.wait *= 4 // more likely the way to all of them than this node
		}
	case v.suspect:
		w.wait, w.cause = max(leastPingWait, r.deadline(0)), errSuspect
	case w.keepAlive > 0 && v.now-min(v.written, v.read) > int64(w.keepAlive)*3/4:
		w.wait, w.cause = max(idlePingWait, 4*r.deadline(0)), errIdle
	default:
		return out
	}
	w.pinged, w.waited, w.reached, w.target, out.ping = v.now, 0, v.reached, unwritten, true
	return out
}

// limit is how long nothing may be acknowledged though pings are answered.
func (w *watch) limit(allLate bool) int64 {
	n := int64(w.patience) * int64(max(w.factor, 1))
	if allLate {
		n *= 4
	}
	return n
}

// next is the time to the next look: short while an answer is awaited.
func (w *watch) next(v vitals) time.Duration {
	if w.pinged != 0 || v.inFlight > 0 && v.now-v.oldest > int64(w.least)/4 {
		return min(closeTick, max(w.least/10, 5*time.Millisecond))
	}
	return min(healthTick, max(w.least/4, 10*time.Millisecond))
}

// health watches one connection. It is paho's pinger: paho runs it.
type health struct {
	link    *link
	wire    *wire
	suspect atomic.Bool
	nudge   chan struct{}
}

const (
	healthTick = 250 * time.Millisecond
	closeTick  = 50 * time.Millisecond
)

var pingreq = []byte{0xC0, 0}

// Run judges until the connection ends. Its error ends the connection.
func (h *health) Run(ctx context.Context, _ net.Conn, keepAlive uint16) error {
	l := h.link
	cfg := l.config()
	w := watch{keepAlive: pingWithin(cfg.KeepAlive.Std(), keepAlive), least: cfg.AckTimeout.Std(), patience: cfg.Patience.Std(), factor: int(l.factor.Load())}
	look := time.NewTimer(w.next(vitals{}))
	defer look.Stop()
	for owed := false; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-h.nudge:
		case <-look.C:
		}
		v := h.vitals()
		out := w.judge(v, l.roundTrip())
		l.late.Store(out.late)
		l.setSlow(out.slow)
		if owed = (owed || out.ping) && w.pinged != 0; owed {
			if owed = !h.wire.trySend(pingreq); !owed { // behind a write that is stuck it could not be answered either
				w.target = h.wire.progress().end
			}
		}
		if out.dead != nil {
			if errors.Is(out.dead, errStuck) {
				l.factor.Store(min(l.factor.Load()*2, 32))
			}
			why := silence(out.dead, out.lost)
			h.wire.cut(why)
			return why
		}
		look.Reset(w.next(v))
	}
}

// pingWithin is the keepalive to live by when the cloud's is given, in seconds.
// A shorter one is obeyed. A longer one, or 0 for none, is leave to be silent and
// no duty [MQTT-3.1.2-20]: without our own, a node that stopped would never be
// found on a link that has nothing to send.
func pingWithin(own time.Duration, given uint16) time.Duration {
	if given == 0 {
		return own
	}
	return min(own, time.Duration(given)*time.Second)
}

func (h *health) vitals() vitals {
	l := h.link
	v := vitals{now: h.wire.clock(), read: h.wire.seen.Load(), written: h.wire.sent.Load(), suspect: h.suspect.Swap(false)}
	v.oldest, v.inFlight = l.role.oldest()
	v.allLate = l.up.allLate(l)
	v.begun, v.size = h.wire.begun.Load(), h.wire.size.Load()
	v.progress = h.wire.progress()
	return v
}

// PacketSent, PacketReceived, PingResp and SetDebug are paho's; the wire's
// clock knows what they would say.
func (h *health) PacketSent()         {}
func (h *health) PacketReceived()     {}
func (h *health) PingResp()           {}
func (h *health) SetDebug(log.Logger) {}

// look makes Run judge now, with a ping.
func (h *health) look() {
	h.suspect.Store(true)
	select {
	case h.nudge <- struct{}{}:
	default:
	}
}
