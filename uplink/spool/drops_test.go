package spool

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"tidegate/internal/conf"
)

// firstLevel names a route as an uplink would whose filters are "a/#", "b/#".
func firstLevel(topic string, _ Class) string {
	level, _, _ := strings.Cut(topic, "/")
	return level + "/#"
}

func routed(o *Options) { o.Route = firstLevel }

// TestDropsByRoute drops messages of two routes for every cause and reads the
// account.
func TestDropsByRoute(t *testing.T) {
	window := func(p Policy) func(*Config) {
		return func(c *Config) { c.Normal.Messages, c.Normal.Overflow = 16, p }
	}
	push := func(s *Spool, from, to int, change func(*Message)) {
		for n := from; n < to; n++ {
			m := numbered([]string{"a/x", "b/x"}[n%2], n)
			change(m)
			s.Push(0, Normal, m, Ticket{})
		}
	}
	asIs := func(*Message) {}
	past := func(m *Message) { m.Accepted = m.Accepted.Add(-2 * time.Minute) }
	for cause, c := range map[Cause]struct {
		tune        func(*Config)
		play        func(*Spool)
		first, last uint64 // sequences of a/#; those of b/# are one higher
		count       int64
	}{
		ForOldest: {window(DropOldest), func(s *Spool) { push(s, 0, 20, asIs) }, 1, 3, 2},
		ForNewest: {window(DropNewest), func(s *Spool) { push(s, 0, 20, asIs) }, 17, 19, 2},
		ForReject: {window(Reject), func(s *Spool) { push(s, 0, 20, asIs) }, 16, 16, 2},
		ForExpiry: {nil, func(s *Spool) { push(s, 0, 4, func(m *Message) { past(m); m.Expiry = 60 }); takeAll(s) }, 1, 3, 2},
		ForAge:    {func(c *Config) { c.MaxAge = conf.Duration(time.Minute) }, func(s *Spool) { push(s, 0, 4, past); takeAll(s) }, 1, 3, 2},
		ForRefusal: {nil, func(s *Spool) {
			push(s, 0, 4, asIs)
			for _, e := range s.Take(0, nil, 4, 1<<20) {
				s.Refuse(e, 0x87)
			}
		}, 1, 3, 2},
		ForDisk: {func(c *Config) { c.Normal.Messages = 16384 }, func(s *Spool) {
			s.disk.fileSize = 256 << 10
			s.Online(0, false)
			for i := range 4 {
				push(s, i*500, i*500+500, asIs)
				mustWrite(t, s)
			}
			s.cfg.MaxDisk = conf.Size(s.disk.used.Load() + diskMargin - 1)
			mustWrite(t, s)
		}, 1, 999, 500},
	} {
		t.Run(string(cause), func(t *testing.T) {
			s := byHand(t, t.TempDir(), 7, c.tune, routed)
			c.play(s)
			got := s.Stats().Drops
			if len(got) != 2 {
				t.Fatalf("%+v", got)
			}
			step := uint64(1)
			if cause == ForReject {
				step = 0 // they have no ids
			}
			for i, d := range got {
				at := uint64(i) * step
				want := DropStats{[]string{"a/#", "b/#"}[i], Normal, cause, c.count, ID{7, c.first + at}, ID{7, c.last + at}, []string{"a/x", "b/x"}[i], d.At}
				if d != want || time.Since(d.At) > time.Minute {
					t.Errorf("got %+v, want %+v", d, want)
				}
			}
		})
	}
}

// TestTell drops messages all the time and counts the lines in the log.
func TestTell(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	var l losses
	now := time.Now()
	for second := range 150 {
		l.add(dropKey{"a/#", Bulk, ForOldest}, 10, ID{1, uint64(second)}, ID{1, uint64(second)}, "t")
		l.tell(log, now.Add(time.Duration(second)*time.Second), second == 149)
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		_, what, _ := strings.Cut(line, "class=")
		got = append(got, strings.TrimSpace(what))
	}
	want := []string{
		"bulk dropped=10 in-all=10 first=1/0 last=1/0 topic=t",
		"bulk dropped=600 in-all=610 first=1/0 last=1/60 topic=t",
		"bulk dropped=600 in-all=1210 first=1/0 last=1/120 topic=t",
		"bulk dropped=290 in-all=1500 first=1/0 last=1/149 topic=t",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestExpiredBacklog lets a long backlog expire: an urgent message that comes
// while it is thrown away does not wait for the end of that.
func TestExpiredBacklog(t *testing.T) {
	again := 0
	s := byHand(t, t.TempDir(), 1, nil, func(o *Options) { o.Ready = func(int) { again++ } })
	for n := range 5000 {
		m := numbered("t", n)
		m.Accepted, m.Expiry = m.Accepted.Add(-time.Minute), 30
		s.Push(0, Normal, m, Ticket{})
	}
	again = 0
	if got := s.Take(0, nil, 10, 1<<20); len(got) > 0 || again != 1 {
		t.Fatalf("took %d; told to take again %d times", len(got), again)
	}
	s.Push(0, Urgent, numbered("alarm", 1), Ticket{})
	if got := s.Take(0, nil, 10, 1<<20); len(got) != 1 || got[0].Msg.Topic != "alarm" {
		t.Errorf("took %d, want the alarm", len(got))
	}
}

// TestManyLimits is a home under all limits at once: windows that are full, a
// full card, messages too old for their own expiry and for the spool, some
// refused by the cloud. Every message is taken, dropped for a cause that was
// counted for its route, or waits; none twice, and each topic in order.
func TestManyLimits(t *testing.T) {
	manyLimits(t, rand.Uint64())
	causes := manyLimits(t, 1) // has all of them, which chance has not always
	for _, want := range []Cause{ForOldest, ForNewest, ForReject, ForDisk, ForExpiry, ForAge, ForRefusal} {
		if !causes[want] {
			t.Errorf("nothing was dropped for %s: %v", want, slices.Collect(maps.Keys(causes)))
		}
	}
}

// manyLimits returns for what messages were dropped.
func manyLimits(t *testing.T, seed uint64) map[Cause]bool {
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	s := byHand(t, t.TempDir(), 1, func(c *Config) {
		c.MaxAge = conf.Duration(time.Minute)
		c.Urgent.Messages, c.Normal.Messages, c.Bulk.Messages = 64, 64, 256
		c.Urgent.Overflow, c.Normal.Overflow, c.Bulk.Overflow = Reject, DropNewest, DropOldest
	}, routed)
	s.disk.fileSize = 128 << 10
	var tickets settled
	topics := [classes]string{"alarm/x", "state/x", "log/x"}
	var pushed, taken, acked [classes]int
	last := [classes]int{-1, -1, -1}
	var flight []*Entry
	for n := range 20_000 {
		c := Class(rnd.IntN(classes))
		m := numbered(topics[c], n)
		switch rnd.IntN(20) {
		case 0:
			m.Accepted, m.Expiry = m.Accepted.Add(-10*time.Second), 5
		case 1:
			m.Accepted = m.Accepted.Add(-2 * time.Minute)
		}
		s.Push(0, c, m, Ticket{&tickets, uint64(n)})
		pushed[c]++
		if rnd.IntN(60) == 0 {
			s.Online(0, rnd.IntN(4) == 0)
			mustWrite(t, s)
			if used := s.disk.used.Load(); used > 1<<20 {
				s.cfg.MaxDisk = conf.Size(used + diskMargin - 1)
			}
		}
		if rnd.IntN(200) == 0 {
			flight = s.Take(0, flight, 50, 1<<20)
			for _, e := range flight {
				if n := number(e); n <= last[e.Class] {
					t.Fatalf("%s: %d after %d", e.Msg.Topic, n, last[e.Class])
				} else {
					last[e.Class] = n
				}
				taken[e.Class]++
				if rnd.IntN(30) == 0 {
					s.Refuse(e, 0x87)
				} else {
					s.Ack(e)
					acked[e.Class]++
				}
			}
			flight = flight[:0]
		}
	}
	causes := map[Cause]bool{}
	sums := map[Class]int64{}
	for _, d := range s.Stats().Drops {
		causes[d.Cause] = true
		sums[d.Class] += d.Messages
		if want := firstLevel(topics[d.Class], 0); d.Route != want || d.Topic != topics[d.Class] || d.Last.compare(d.First) < 0 {
			t.Errorf("%+v, want route %s", d, want)
		}
	}
	for _, st := range s.Stats().Streams {
		d := st.Dropped
		c := st.Class
		if got := d.Oldest + d.Newest + d.Rejected + d.Disk + d.Expired + d.Aged + d.Refused; got != sums[c] {
			t.Errorf("%s: %d dropped by cause, %d by route", c, got, sums[c])
		}
		if left := st.Waiting + st.Stored; int(sums[c])+acked[c]+left != pushed[c] || st.InFlight > 0 && int(d.Refused) == 0 {
			t.Errorf("%s: %d pushed, %d acknowledged, %d dropped, %d left", c, pushed[c], acked[c], sums[c], left)
		}
	}
	if err := s.shutdown(); err != nil {
		t.Fatal(err)
	}
	waiting := 0 // for room on the card: not acknowledged
	for _, st := range s.Stats().Streams {
		waiting += st.Waiting
	}
	if n := tickets.count(0) + tickets.count(quotaExceeded); n+waiting != 20_000 || tickets.twice > 0 {
		t.Errorf("%d tickets settled of 20000, %d wait, %d twice", n, waiting, tickets.twice)
	}
	return causes
}
