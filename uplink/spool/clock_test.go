package spool

import (
	"testing"
	"time"
)

func noClock() (time.Time, bool) { return time.Unix(12345, 0), false }

func TestAge(t *testing.T) {
	const minute, day = int64(60_000), int64(86_400_000)
	today := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC).UnixMilli()
	for name, c := range map[string]struct {
		row  stamp
		wall int64 // of now, one minute after the start of epoch 5
		want int64
	}{
		"earlier epoch, clocks known":       {stamp{3, 10 * minute, today - 2*day}, today, 2 * day},
		"its clock unknown":                 {stamp{3, 10 * minute, 0}, today, 20*minute + 7*minute + minute},
		"our clock unknown":                 {stamp{3, 10 * minute, today - 2*day}, 0, 20*minute + 7*minute + minute},
		"the epoch before":                  {stamp{4, 3 * minute, 0}, 0, 4*minute + minute},
		"clock set back":                    {stamp{3, 10 * minute, today + day}, today, 0},
		"an epoch that nothing is known of": {stamp{1, 5 * minute, 0}, 0, 30*minute + 7*minute + minute},
	} {
		t.Run(name, func(t *testing.T) {
			clk := newClock(5, nil)
			clk.seen(3, 30*minute)
			clk.seen(4, 7*minute)
			now := clk.start.Add(time.Minute)
			if got := clk.age(c.row, now, c.wall); got != c.want {
				t.Errorf("age %v, want %v", time.Duration(got)*time.Millisecond, time.Duration(c.want)*time.Millisecond)
			}
			if got, want := now.Sub(clk.accepted(c.row, now, c.wall)).Milliseconds(), c.want; got != want {
				t.Errorf("accepted %d ms ago, want %d", got, want)
			}
		})
	}
}

func TestStamp(t *testing.T) {
	clk := newClock(5, nil)
	now := clk.start.Add(time.Hour)
	accepted := now.Add(-time.Minute)
	if got, want := clk.stamp(accepted, now, 0), (stamp{5, 59 * 60_000, 0}); got != want {
		t.Errorf("without a clock: %+v, want %+v", got, want)
	}
	if got, want := clk.stamp(accepted, now, 1_000_000), (stamp{5, 59 * 60_000, 940_000}); got != want {
		t.Errorf("with a clock: %+v, want %+v", got, want)
	}
	if got := clk.accepted(stamp{5, 59 * 60_000, 0}, now, 0); !got.Equal(accepted) {
		t.Errorf("accepted %v, want %v", got, accepted)
	}
}

// TestClockJumps restarts with messages that expire in a minute under clocks
// that jump. Only time that surely passed counts.
func TestClockJumps(t *testing.T) {
	today := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	at := func(now time.Time, synced bool) func(*Options) {
		return func(o *Options) { o.Wall = func() (time.Time, bool) { return now, synced } }
	}
	for name, c := range map[string]struct {
		before, after func(*Options)
		want          bool // it is still good
	}{
		"1970 to today":                   {at(time.Unix(100, 0), false), at(today, true), true},
		"today to 1970":                   {at(today, true), at(time.Unix(100, 0), false), true},
		"a day between, clock known":      {at(today, true), at(today.Add(24*time.Hour), true), false},
		"a day between, clock not known":  {at(today, false), at(today.Add(24*time.Hour), false), true},
		"half a minute between":           {at(today, true), at(today.Add(30*time.Second), true), true},
		"set back while synchronised":     {at(today, true), at(today.Add(-24*time.Hour), true), true},
		"synchronised only after restart": {at(today.Add(-time.Hour), false), at(today.Add(24*time.Hour), true), true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := byHand(t, dir, 1, nil, c.before)
			s.Online(0, false)
			m := numbered("t", 0)
			m.Expiry = 60
			s.Push(0, Normal, m, Ticket{})
			if err := s.shutdown(); err != nil {
				t.Fatal(err)
			}
			s = byHand(t, dir, 2, nil, c.after)
			got := s.Take(0, nil, 1, 1<<20)
			if (len(got) == 1) != c.want {
				t.Errorf("taken: %d; dropped %+v", len(got), s.Stats().Streams[Normal].Dropped)
			}
			if !c.want {
				return
			}
			if left, ok := got[0].ExpiryLeft(); !ok || left < 25 || left > 60 {
				t.Errorf("expiry left: %d %v", left, ok)
			}
		})
	}
}

// TestExpiryAndAge drops at Take what is too old, wherever it waits, and
// settles its ticket.
func TestExpiryAndAge(t *testing.T) {
	s := byHand(t, t.TempDir(), 1, nil)
	s.clock.start = s.clock.start.Add(-24 * time.Hour)
	var tickets settled
	push := func(n int, age time.Duration, expiry uint32) {
		m := numbered("t", n)
		m.Accepted, m.Expiry = time.Now().Add(-age), expiry
		s.Push(0, Normal, m, Ticket{&tickets, uint64(n)})
	}
	push(0, 2*time.Hour, 0)
	push(1, time.Minute, 30)
	push(2, time.Minute, 300)
	s.Online(0, false)
	mustWrite(t, s)
	s.Online(0, true)
	push(3, 2*time.Hour, 0)
	push(4, time.Minute, 30)
	push(5, time.Minute, 300)
	s.cfg.MaxAge = 3600 * 1e9
	got := takeAll(s)
	if len(got) != 2 || got[0] != 2 || got[1] != 5 {
		t.Errorf("taken %v, want 2 and 5", got)
	}
	if got, want := s.Stats().Streams[Normal].Dropped, (Drops{Aged: 2, Expired: 2}); got != want {
		t.Errorf("dropped %+v, want %+v", got, want)
	}
	if got := tickets.count(0); got != 6 || tickets.twice > 0 {
		t.Errorf("%d tickets settled, want 6", got)
	}
}
