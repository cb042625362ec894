package scenario

import (
	"context"
	"fmt"
	"math"
	"time"

	"tidegate/build/lab/gateway"
	"tidegate/build/lab/proc"
)

// failovers cuts the connection under a link, over and over, and looks whether
// anything in the gateway grows with it.
func failovers(name string, times int) Scenario {
	return Scenario{
		Name: name, Says: fmt.Sprintf("%d connections cut under the links, one after the other: nothing grows", times),
		Alone: true,
		Prepare: func(ctx context.Context, t *take, cfg *gateway.Config) error {
			// Or the backoff of endpoints that keep being lost would take hours.
			cfg.Uplink = "reconnect-max = \"100ms\"\n" + cfg.Uplink
			return plainFronts(ctx, t, cfg)
		},
		Break: func(ctx context.Context, t *take) error { return t.cutOften(ctx, times) },
		Heal:  nothing,
	}
}

// growth is a gateway's size over a number of failovers.
type growth struct {
	at                          []float64 // failovers so far
	goroutines, descriptors, kB []float64 // anonymous memory in kB
}

// The most that may be added by each thousand failovers, by least squares over
// all samples after the first fifth. What the numbers of a gateway that does
// not grow at all do by themselves: memory that the Go runtime has not given
// back yet, connections that come and go while a sample is taken.
const (
	mostGoroutines  = 3.0
	mostDescriptors = 3.0
	mostKB          = 2000.0
)

// Fewer failovers than so many cannot tell that from chance: they show only
// what leaks with one failover in ten, and nothing of memory, for it takes the
// heap some seconds to find its size.
const (
	enough = 500
	coarse = 100.0
)

// patience is for all failovers: a cluster on a busy machine takes a second for
// each. What there was until then is judged, if it is enough.
const patience = 10 * time.Minute

func (t *take) cutOften(ctx context.Context, times int) error {
	var g growth
	every := max(times/50, 1)
	for i := range times {
		if i >= enough && time.Since(t.began) > patience {
			t.note("%d failovers in %v", i, patience)
			break
		}
		if err := t.cutOnce(ctx, i); err != nil {
			return fmt.Errorf("failover %d: %w", i+1, err)
		}
		if i >= times/5 && i%every == 0 {
			if err := g.sample(ctx, t, i); err != nil {
				return err
			}
		}
	}
	t.judge(g, times)
	return nil
}

// cutOnce resets what is open at one node and waits until every topic flows
// again and all links are connected.
func (t *take) cutOnce(ctx context.Context, i int) error {
	t.account.begin()
	for n := 0; n == 0; i++ {
		n = t.fronts[i%len(t.fronts)].Cut()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if _, err := t.flow(ctx, settled); err != nil {
		return err
	}
	return t.until(ctx, settled, "all links are connected", func() bool {
		open := 0
		for _, f := range t.fronts {
			open += f.Open()
		}
		return open > links
	})
}

func (g *growth) sample(ctx context.Context, t *take, i int) error {
	var st gateway.Status
	err := t.until(ctx, settled, "the gateway has a place for one more reader of its status", func() (ok bool) {
		var err error
		st, err = gateway.ReadStatus(t.data)
		return err == nil
	})
	if err != nil {
		return err
	}
	u, err := proc.Read(t.gateway.Process().PID())
	if err != nil {
		return err
	}
	g.at = append(g.at, float64(i))
	g.goroutines = append(g.goroutines, float64(st.Goroutines))
	g.descriptors = append(g.descriptors, float64(u.FDs))
	g.kB = append(g.kB, float64(u.Anon)/1000)
	return nil
}

func (t *take) judge(g growth, times int) {
	for _, v := range []struct {
		what         string
		values       []float64
		most, coarse float64
	}{
		{"goroutines", g.goroutines, mostGoroutines, coarse},
		{"descriptors", g.descriptors, mostDescriptors, coarse},
		{"kB of anonymous memory", g.kB, mostKB, math.Inf(1)},
	} {
		most := v.most
		if times < enough {
			most = v.coarse
		}
		slope, noise := slope(g.at, v.values)
		slope, noise = 1000*slope, 1000*noise
		t.note("%+.1f ± %.1f %s in 1000 failovers", slope, noise, v.what)
		if slope-2*noise > most {
			t.broken("%s grow by %.1f ± %.1f in 1000 failovers, at most %.1f is noise", v.what, slope, noise, most)
		}
	}
}
