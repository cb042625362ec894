package update

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tidegate/internal/slots"
)

func parse(t *testing.T, text string) line {
	t.Helper()
	var l line
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		t.Fatal(err)
	}
	return l
}

const well = `{"pid":7,"version":"v1.1.0","listeners":["[::]:1883"],"uplinks":{"cloud":{"Links":[{"State":"backoff"},{"State":"up"}],"Spool":{"Loaded":true,"Trouble":""}}}}`

func TestIll(t *testing.T) {
	for _, c := range []struct {
		name, from, to string
		required       []string
		want           string
	}{
		{"well", "", "", []string{"cloud"}, ""},
		{"no listener", `"[::]:1883"`, "", nil, "does not listen"},
		{"spool loads", `"Loaded":true`, `"Loaded":false`, nil, "not loaded"},
		{"spool in trouble", `"Trouble":""`, `"Trouble":"read-only"`, nil, "read-only"},
		{"no link, none before", `"State":"up"`, `"State":"backoff"`, nil, ""},
		{"no link, one before", `"State":"up"`, `"State":"backoff"`, []string{"cloud"}, "uplink cloud"},
		{"slow is connected", `"State":"up"`, `"State":"slow"`, []string{"cloud"}, ""},
		{"an uplink that is configured no more", "", "", []string{"cloud", "old"}, ""},
	} {
		err := parse(t, strings.Replace(well, c.from, c.to, 1)).ill(c.required)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

// The decision, second by second: "." is a good line, "x" a bad one, "-" none,
// "!" a good one of a gateway that was started anew.
func TestProbation(t *testing.T) {
	for _, c := range []struct {
		lines string
		want  int // the second in which it is enough; 0 for never
	}{
		{"...........", 11},
		{"..x...........", 14},
		{"....-...........", 11},
		{"....-------...........", 22},
		{".....!..........", 16},
		{"xxxxxxxxxxxxxxxxx", 0},
		{"..........x..........x..........", 0},
	} {
		p := probation{need: 10 * time.Second}
		now, pid, got := time.Unix(0, 0), 1, 0
		for i, kind := range c.lines {
			now = now.Add(time.Second)
			l := parse(t, well)
			var err error
			switch kind {
			case '-':
				continue
			case 'x':
				err = errors.New("ill")
			case '!':
				pid++
			}
			l.PID = pid
			if p.see(now, l, err) && got == 0 {
				got = i + 1
			}
		}
		if got != c.want {
			t.Errorf("%s: got %d, want %d", c.lines, got, c.want)
		}
	}
}

// serve is a gateway's status socket that says text() as fast as wanted.
func (g *gateway) serve(text func() string) {
	g.t.Helper()
	l, err := net.Listen("unix", g.Status)
	if err != nil {
		g.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	g.t.Cleanup(func() { cancel(); l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				for ctx.Err() == nil {
					if _, err := c.Write([]byte(text() + "\n")); err != nil {
						return
					}
					time.Sleep(5 * time.Millisecond)
				}
			})
		}
	})
}

func (g *gateway) rebooted() bool {
	_, err := os.Stat(filepath.Join(filepath.Dir(g.Boot), "rebooted"))
	return err == nil
}

// onTrial is a gateway that has started new software in B.
func onTrial(t *testing.T) *gateway {
	g := newGateway(t, "v1.0.0")
	g.serve(func() string { return well })
	if err := g.install(good, Permit{}); err != nil {
		t.Fatal(err)
	}
	if got := g.record().Update.Uplinks; len(got) != 1 || got[0] != "cloud" {
		t.Fatalf("got uplinks %q noted, want cloud", got)
	}
	g.start()
	g.Version = "v1.1.0"
	return g
}

// A data partition on which nothing can be noted keeps no software on trial:
// what is healthy is confirmed, what is not goes.
func TestWatchWithoutRecord(t *testing.T) {
	for name, healthy := range map[string]bool{"healthy": true, "ill": false} {
		g := newGateway(t, "v1.1.0")
		g.set(slots.State{First: "B", A: slots.Mark{Left: 3, Good: true}, B: slots.Mark{Left: 2}})
		g.start()
		text := well
		if !healthy {
			text = strings.Replace(well, `"Loaded":true`, `"Loaded":false`, 1)
		}
		g.serve(func() string { return text })
		g.State = filepath.Join(g.CommandLine, "in a file")
		err := g.Watch(t.Context(), Patience{Healthy: 50 * time.Millisecond, Deadline: 2 * time.Second}, slog.New(slog.DiscardHandler))
		if err == nil {
			t.Errorf("%s: got no error, want one about the record", name)
		}
		if got := g.state().B.Good; got != healthy || g.rebooted() == healthy {
			t.Errorf("%s: got good %v, rebooted %v", name, got, g.rebooted())
		}
	}
}

var quick = Patience{Healthy: 100 * time.Millisecond, Deadline: 30 * time.Second}

func TestWatchConfirms(t *testing.T) {
	g := onTrial(t)
	if err := g.Watch(t.Context(), quick, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if got := g.state(); got.First != "B" || got.B != (slots.Mark{Left: 3, Good: true}) || g.rebooted() {
		t.Errorf("got %+v, rebooted %v, want B good", got, g.rebooted())
	}
	g.phase1(Confirmed, "")
}

// Software that does not get healthy restarts the machine, three times, and
// then the old one is back and says why.
func TestWatchReturns(t *testing.T) {
	g := newGateway(t, "v1.0.0")
	var mu sync.Mutex
	text := well
	g.serve(func() string { mu.Lock(); defer mu.Unlock(); return text })
	if err := g.install(good, Permit{}); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	text = strings.Replace(well, `"State":"up"`, `"State":"backoff"`, 1)
	mu.Unlock()
	impatient := Patience{Healthy: 50 * time.Millisecond, Deadline: 300 * time.Millisecond}
	for i := range 3 {
		if slot := g.start(); slot != "B" {
			t.Fatalf("start %d: got slot %s", i, slot)
		}
		g.Version = "v1.1.0"
		if err := g.Watch(t.Context(), impatient, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
		if !g.rebooted() {
			t.Fatalf("start %d: the machine was not restarted", i)
		}
	}
	if slot := g.start(); slot != "A" {
		t.Fatalf("got slot %s, want A", slot)
	}
	g.Version = "v1.0.0"
	if err := g.Watch(t.Context(), impatient, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	g.phase1(Returned, "uplink cloud, which was up before the update, has no link")
	if got := g.state(); got.First != "A" || got.A != (slots.Mark{Left: 3, Good: true}) || got.B != (slots.Mark{}) {
		t.Errorf("got %+v, want A good and B done with", got)
	}
}

// A gateway that never answers is not healthy; and where the other slot holds
// nothing better the machine is left alone.
func TestWatchWithoutAnother(t *testing.T) {
	g := newGateway(t, "v1.0.0")
	g.set(slots.State{First: "A", A: slots.Mark{Left: 2}})
	err := g.Watch(t.Context(), Patience{Healthy: time.Second, Deadline: 100 * time.Millisecond}, slog.New(slog.DiscardHandler))
	if err == nil || g.rebooted() {
		t.Errorf("got %v, rebooted %v, want an error and no restart", err, g.rebooted())
	}
}

// A start of confirmed software gives it its tries back at once, whatever the
// gateway does; and a start in the middle of an update says so.
func TestWatchSettles(t *testing.T) {
	for _, c := range []struct {
		name  string
		phase Phase
		want  Phase
		part  string
	}{
		{"nothing", "", "", ""},
		{"cut while writing", Installing, Failed, "restarted in the middle"},
		{"cut while downloading", Downloading, Failed, "restarted in the middle"},
		{"the new slot never came up", Installed, Returned, "did not come up"},
	} {
		g := newGateway(t, "v1.0.0")
		g.set(slots.State{First: "B", A: slots.Mark{Left: 1, Good: true}})
		if err := g.change(func(r *Record) { r.Update = Update{Phase: c.phase, Into: "B", Version: "v1.1.0"} }); err != nil {
			t.Fatal(err)
		}
		if err := g.Watch(t.Context(), DefaultPatience(), slog.New(slog.DiscardHandler)); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		g.phase1(c.want, c.part)
		if got := g.state(); got.A.Left != slots.Tries || got.First != "A" {
			t.Errorf("%s: got %+v", c.name, got)
		}
	}
}
