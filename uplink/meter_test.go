package uplink

import (
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Two links that send as much as they may stay within the limit together,
// whatever the size of what they send.
func TestMeter(t *testing.T) {
	for _, size := range []int{100, 5000, 200_000} {
		synctest.Test(t, func(t *testing.T) {
			const limit, links, spell = 10_000, 2, 200 * time.Second
			m := newMeter(limit)
			var sent atomic.Int64
			began := time.Now()
			for range links {
				go func() {
					for time.Since(began) < spell {
						if wait := m.wait(); wait > 0 {
							time.Sleep(wait)
							continue
						}
						for n := 0; n == 0 || n+size <= m.piece; n += size {
							m.spend(size)
							sent.Add(int64(size))
						}
					}
				}()
			}
			time.Sleep(spell + 2*time.Second)
			synctest.Wait()
			least, most := int64(limit*spell.Seconds()*0.9), int64(limit*spell.Seconds())+int64(links*(size+m.piece))
			if got := sent.Load(); got < least || got > most {
				t.Errorf("pieces of %d: got %d bytes in %v, want from %d to %d", size, got, spell, least, most)
			}
		})
	}
}

func TestNoMeterCostsNothing(t *testing.T) {
	if m := newMeter(0); m != nil {
		t.Fatal("got a meter without a limit")
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if got := (*meter)(nil).over(a); got != a {
		t.Errorf("got %T, want the connection itself", got)
	}
}

// Messages that wait for the limit are not in flight: nothing is late, nobody
// is blamed, and all arrive, no faster than allowed.
func TestRateLimit(t *testing.T) {
	c := newCloud(t).start()
	cfg := calm(quick(c.url()))
	cfg.Links, cfg.RateLimit = 2, 32<<10
	u, _ := begin(t, cfg, Options{})
	eventuallyUp(t, u, 0)
	eventuallyUp(t, u, 1)
	began := time.Now()
	var done counter
	const messages, size = 96, 1000
	for i := range messages {
		u.Send(message([]string{"a", "b", "c", "d"}[i%4], strings.Repeat("x", size)), Ticket{Owner: &done})
	}
	piece := u.settings.Load().meter.piece
	eventually(t, "all are acknowledged", func() bool {
		got := len(c.got()) * size
		if most := int(time.Since(began).Seconds()*float64(cfg.RateLimit)) + 4*piece; got > most {
			t.Fatalf("got %d bytes after %v, want at most %d", got, time.Since(began), most)
		}
		return state(u, 0).Acked+state(u, 1).Acked == messages
	})
	for i := range 2 {
		if s := state(u, i); s.Resent != 0 || s.Reconnects != 0 || len(s.Faults) != 0 {
			t.Errorf("got %+v, want an undisturbed link", s)
		}
	}
}
