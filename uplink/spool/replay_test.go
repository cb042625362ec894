package spool

import (
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

// TestReplayRate lets a backlog drain at 100 messages a second on two links.
// New messages of other topics pass it, urgent ones too, and those behind it
// come in at three times that: then the rate rises, and the backlog ends.
func TestReplayRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := byHand(t, t.TempDir(), 1, func(c *Config) { c.ReplayRate = 100 }, func(o *Options) { o.Links = 2 })
		s.Online(0, false)
		s.Online(1, false)
		for n := range 2000 {
			s.Push(n%2, Normal, numbered("old", n), Ticket{})
		}
		s.Push(0, Urgent, numbered("alarm", 1), Ticket{})
		mustWrite(t, s)
		s.Online(0, true)
		s.Online(1, true)
		fresh, live := 0, 0
		tick := func(behind int) (old int) {
			for n := range behind {
				s.Push(n%2, Normal, numbered("old", 2000), Ticket{})
			}
			time.Sleep(250 * time.Millisecond)
			s.sampleReplay(time.Now())
			s.Push(0, Normal, numbered(fmt.Sprintf("live/%d", fresh), fresh), Ticket{})
			fresh++
			for i := range 2 {
				for _, e := range s.Take(i, nil, 500, 1<<20) {
					if e.Msg.Topic == "old" {
						old++
					} else {
						live++
					}
					s.Ack(e)
				}
			}
			return old
		}
		s.sampleReplay(time.Now())
		first := tick(0)
		if first > 50 || live != 2 {
			t.Errorf("at once %d of the backlog and %d others, want at most 50, and 2", first, live)
		}
		got := 0
		for range 40 {
			got += tick(0)
		}
		if got < 980 || got > 1020 || live != 42 {
			t.Errorf("in 10 s %d of the backlog and %d others, want 1000 and 42", got, live)
		}
		st := s.Stats().Replay
		if st.Backlog != 2000-first-got || st.Rate < 95 || st.Rate > 105 || st.Inflow != 0 || st.Limit != 100 ||
			st.Left < 9*time.Second || st.Left > 11*time.Second {
			t.Errorf("%+v", st)
		}
		for range 40 {
			tick(75) // 300 a second
		}
		if st = s.Stats().Replay; st.Inflow < 280 || st.Inflow > 310 || st.Limit < 350 || st.Limit > 400 || st.Left == 0 {
			t.Errorf("under inflow: %+v", st)
		}
		ends := 0
		for ; s.Stats().Replay.Backlog > 0 && ends < 400; ends++ {
			tick(75)
		}
		if ends == 400 {
			t.Errorf("the backlog does not end: %+v", s.Stats().Replay)
		}
		if err := s.disk.close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestTimeLeft(t *testing.T) {
	for _, c := range []struct {
		backlog int
		out, in float64
		want    time.Duration
	}{
		{0, 10, 0, 0},
		{100, 0, 0, 0}, // nothing goes
		{100, 10, 10, 0},
		{100, 10, 20, 0}, // it grows
		{100, 10, 0, 10 * time.Second},
		{100, 10, 5, 20 * time.Second},
		{math.MaxInt, 0.001, 0, 100 * 365 * 24 * time.Hour},
	} {
		if got := timeLeft(c.backlog, c.out, c.in); got != c.want {
			t.Errorf("%d at %g and %g: got %v, want %v", c.backlog, c.out, c.in, got, c.want)
		}
	}
}
