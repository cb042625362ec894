package control

import (
	"time"

	"tidegate/cmd/tidegate/internal/card"
	"tidegate/edge"
	"tidegate/hw"
	"tidegate/uplink"
)

// Readings are the numbers of all parts at one moment.
type Readings struct {
	At         time.Time // with its monotonic reading
	Uptime     time.Duration
	ClockSet   bool // something disciplines the kernel's clock
	RSS        int64
	Goroutines int
	Listeners  []Listener
	Edge       edge.Stats
	UsersFault string // of the file of users that were added; "": none
	NobodyIn   bool   // no device may connect
	Uplinks    []UplinkReadings
	HW         hw.Stats
	Card       card.Stats
	WearLeft   float64 // of the budget, 0 to 1
	DiskFree   int64   // bytes, where the data lies; 0 for both: not known
	DiskSize   int64
}

// UplinkReadings are the numbers of one uplink.
type UplinkReadings struct {
	uplink.Stats
	MaxDisk int64 // bytes that its spool may have on disk
	Dead    Dead
}

// counts are what rates are made of.
type counts struct {
	at      time.Time
	in, out int64
	up      map[string]upCounts // by uplink
	failed  int64               // log-ins
	trouble int64               // overloads of the memory
}

type upCounts struct {
	sent, acked   int64
	disk, dropped int64
	waiting       int
}

func countsOf(r *Readings) counts {
	c := counts{at: r.At, in: r.Edge.PublishReceived, out: r.Edge.Sent, failed: r.Edge.LoginsFailed, trouble: r.Edge.Overloads, up: map[string]upCounts{}}
	for i := range r.Uplinks {
		u := &r.Uplinks[i]
		var n upCounts
		for _, l := range u.Links {
			if !l.Down || len(u.Links) == 1 {
				n.sent += l.Sent
				n.acked += l.Acked
			}
		}
		for _, d := range u.Spool.Drops {
			n.dropped += d.Messages
		}
		n.disk, n.waiting = u.Spool.DiskBytes, waitingOf(u)
		c.up[u.Name] = n
	}
	return c
}

// waitingOf counts what waits in RAM or on disk and is not in flight.
func waitingOf(u *UplinkReadings) (n int) {
	for _, s := range u.Spool.Streams {
		n += s.Waiting + s.Stored
	}
	for _, s := range u.Spool.Old {
		n += s.Waiting + s.Stored
	}
	return n
}

// past remembers counts, for rates.
type past struct {
	kept []counts // oldest first
}

const (
	keptCounts = 90
	leastGap   = 900 * time.Millisecond // between two that are kept
	keptFor    = 15 * time.Minute
)

// add keeps what is not too soon after the last. Old ones are thinned out: of
// the last minute each second stays, before that one in ten seconds.
func (p *past) add(c counts) {
	if n := len(p.kept); n > 0 && c.at.Sub(p.kept[n-1].at) < leastGap {
		return
	}
	p.kept = append(p.kept, c)
	if len(p.kept) <= keptCounts*2 {
		return
	}
	thin := p.kept[:0]
	for i, k := range p.kept {
		age := c.at.Sub(k.at)
		if age > keptFor || age > time.Minute && len(thin) > 0 && k.at.Sub(thin[len(thin)-1].at) < 9*time.Second && i < len(p.kept)-1 {
			continue
		}
		thin = append(thin, k)
	}
	clear(p.kept[len(thin):])
	p.kept = thin
}

// before returns the newest counts that are at least so old, else the oldest;
// ok is false when there are none of another moment.
func (p *past) before(now time.Time, age time.Duration) (c counts, ok bool) {
	for i := len(p.kept) - 1; i >= 0; i-- {
		c, ok = p.kept[i], now.After(p.kept[i].at)
		if now.Sub(c.at) >= age {
			break
		}
	}
	return c, ok
}

// per is a rate a second.
func per(now, then int64, d time.Duration) float64 {
	if d <= 0 || now < then {
		return 0
	}
	return float64(now-then) / d.Seconds()
}
