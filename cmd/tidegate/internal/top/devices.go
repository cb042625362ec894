package top

import (
	"cmp"
	"slices"
	"time"

	"tidegate/cmd/tidegate/internal/control"
	"tidegate/internal/inorder"
)

// busy is a device with what it did lately.
type busy struct {
	control.Device
	in, out float64 // messages a second
}

// ledger makes rates of the counts of devices.
type ledger struct {
	at   time.Time
	last map[string]control.Device
	now  []busy
}

// add takes a list. Rates of devices that are new, or whose counts began anew,
// are not known and shown as 0.
func (l *ledger) add(at time.Time, all []control.Device) {
	span := at.Sub(l.at).Seconds()
	next := make(map[string]control.Device, len(all))
	l.now = l.now[:0]
	for _, d := range all {
		b := busy{Device: d}
		if was, ok := l.last[d.ClientID]; ok && span > 0 && d.Received >= was.Received && d.Sent >= was.Sent {
			b.in, b.out = float64(d.Received-was.Received)/span, float64(d.Sent-was.Sent)/span
		}
		next[d.ClientID] = d
		l.now = append(l.now, b)
	}
	l.at, l.last = at, next
}

// orders are what the list may be sorted by, by the key that chooses it.
var orders = []struct {
	key  byte
	name string
	by   func(a, b busy) int
}{
	{'a', "all", func(a, b busy) int { return cmp.Compare(b.in+b.out, a.in+a.out) }},
	{'i', "in", func(a, b busy) int { return cmp.Compare(b.in, a.in) }},
	{'o', "out", func(a, b busy) int { return cmp.Compare(b.out, a.out) }},
	{'w', "waiting", func(a, b busy) int { return cmp.Compare(b.Queued, a.Queued) }},
}

func (l *ledger) sorted(order int) []busy {
	all := slices.Clone(l.now)
	inorder.Sort(all, func(a, b busy) int {
		return cmp.Or(orders[order].by(a, b), cmp.Compare(b.Queued, a.Queued), cmp.Compare(a.ClientID, b.ClientID))
	})
	return all
}
