package hw

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/hw/internal/line"
	"tidegate/internal/conf"
)

const ms = time.Millisecond

func TestContactPublishesItsStateRetained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorks(t, newBench(), Config{Input: []InputConfig{
			{Kind: "contact", Name: "door", Line: "GPIO17"},
			{Kind: "motion", Name: "hall", Line: "GPIO18", Payload: "plain", Topic: "{kind}/{name}", AtLeast: every(time.Hour)},
		}})
		stop := w.start(t)
		defer stop()
		time.Sleep(time.Second)
		door := w.wire("GPIO17")
		for _, gap := range []time.Duration{0, 1, 2} { // it bounces
			time.Sleep(gap * ms)
			door.set(!door.level)
		}
		w.wire("GPIO18").set(true)
		time.Sleep(time.Second)
		if got := w.said("sensors/door"); !slices.Equal(got, []string{`{"state":"OFF"}`, `{"state":"ON"}`}) {
			t.Errorf("door: got %q", got)
		}
		if got := w.said("motion/hall"); !slices.Equal(got, []string{"OFF", "ON"}) {
			t.Errorf("hall: got %q", got)
		}
		if got := w.said("sensors/door/availability"); !slices.Equal(got, []string{"online"}) {
			t.Errorf("availability: got %q", got)
		}
		// The heartbeat, and a change whose edge nobody saw.
		time.Sleep(11 * time.Minute)
		if got := w.said("sensors/door"); !slices.Equal(got, []string{`{"state":"ON"}`}) {
			t.Errorf("heartbeat: got %q", got)
		}
		w.change(func() { door.level = false })
		time.Sleep(11 * time.Minute)
		if got := w.said("sensors/door"); got[len(got)-1] != `{"state":"OFF"}` {
			t.Errorf("after a missed edge: got %q", got)
		}
		stop()
		if got := w.said("sensors/door/availability"); !slices.Equal(got, []string{"offline"}) {
			t.Errorf("after the stop: got %q", got)
		}
		s := w.Stats().Input
		if len(s) != 2 || s[0].Changes != 2 || s[0].Name != "door" || s[1].Line != "GPIO18" || s[1].Changes != 1 {
			t.Errorf("stats: got %+v", s)
		}
		if door.open != 0 {
			t.Error("the line stays open")
		}
	})
}

func TestButtonTellsClicksToThoseWhoAreThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorks(t, newBench(), Config{Input: []InputConfig{
			{Kind: "button", Name: "bell", Line: "P1_13"},
			{Kind: "button", Name: "plain", Line: "GPIO5", Payload: "plain", Double: new(conf.Duration), Long: new(conf.Duration)},
		}})
		stop := w.start(t)
		defer stop()
		time.Sleep(time.Second)
		press := func(name string, times ...time.Duration) { // down, up, down ...
			b := w.wire(name)
			for _, d := range times {
				b.set(!b.level)
				time.Sleep(d)
			}
		}
		press("P1_13", 100*ms, 2*time.Second)
		press("P1_13", 100*ms, 100*ms, 100*ms, 2*time.Second)
		press("P1_13", 5*time.Second, 2*time.Second)
		press("P1_13", 5*ms, 2*time.Second) // a spike
		press("GPIO5", 3*time.Second, 100*ms)
		if got := w.said("sensors/bell"); !slices.Equal(got, []string{`{"event_type":"press"}`, `{"event_type":"double"}`, `{"event_type":"long"}`}) {
			t.Errorf("got %q", got)
		}
		if got := w.got.on("sensors/plain"); len(got) != 1 || string(got[0].Payload) != "press" || got[0].Retain || got[0].QoS != 1 {
			t.Errorf("got %+v, want one press, not retained", got)
		}
	})
}

// A line that is taken, or vanishes, is told once, tried again and comes back.
func TestLineThatIsMissingComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.fail["GPIO17"] = errBusy
		w := newWorks(t, b, Config{Input: []InputConfig{{Kind: "contact", Name: "door", Line: "GPIO17"}}})
		stop := w.start(t)
		defer stop()
		time.Sleep(10 * time.Minute)
		if s := w.Stats().Input[0]; s.State != Offline || s.Cause != errBusy.Error() || s.Errors < 100 || s.Errors > 130 {
			t.Errorf("got %+v", s)
		}
		if n := w.log.count("line is offline"); n != 1 {
			t.Errorf("got %d lines in the log, want one", n)
		}
		b.change(func() { delete(b.fail, "GPIO17") })
		time.Sleep(2 * time.Minute)
		b.wire("GPIO17").breaks(errors.New("no such device"))
		time.Sleep(5 * time.Second)
		b.wire("GPIO17").breaks(nil)
		time.Sleep(2 * time.Minute)
		if got := w.said("sensors/door/availability"); !slices.Equal(got, []string{"offline", "online", "offline", "online"}) {
			t.Errorf("got %q", got)
		}
		if got := w.said("sensors/door"); !slices.Equal(got, []string{`{"state":"OFF"}`, `{"state":"OFF"}`}) {
			t.Errorf("got %q", got)
		}
	})
}

func water(change ...func(*InputConfig)) Config {
	c := InputConfig{Kind: "water", Name: "main", Line: "GPIO22", PerPulse: 0.01, Start: 100}
	for _, f := range change {
		f(&c)
	}
	return Config{Input: []InputConfig{c}}
}

// pulse gives pulses at 200 Hz.
func (w *works) pulse(n int) {
	wire := w.wire("GPIO22")
	for range n {
		wire.set(true)
		time.Sleep(2500 * time.Microsecond)
		wire.set(false)
		time.Sleep(2500 * time.Microsecond)
	}
}

func TestMeterCountsAndOutlivesRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		w := newWorksIn(t, newBench(), water(), dir)
		var spent int64
		for _, p := range w.parts {
			p.(*meter).opt.Spend = func(bytes int64) { spent += bytes }
		}
		stop := w.start(t)
		w.pulse(10_000) // 50 s
		time.Sleep(75 * time.Second)
		// 100 m³ in the first minute are 6000 m³ an hour.
		if got, want := w.said("sensors/main"), []string{`{"total":100.00,"rate":0}`, `{"total":200.00,"rate":6000}`, `{"total":200.00,"rate":0}`}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		stop()
		if want := int64(2 * line.SaveCost); spent != want {
			t.Errorf("a start and a stop gave the card %d bytes, want %d", spent, want)
		}

		again := newWorksIn(t, newBench(), water(func(c *InputConfig) { c.Payload = "plain" }), dir)
		stop = again.start(t)
		again.pulse(1)
		time.Sleep(time.Hour)
		if got := again.said("sensors/main/total"); got[0] != "200.00" || got[len(got)-1] != "200.01" {
			t.Errorf("after the restart: got %q", got)
		}
		if got := again.said("sensors/main/rate"); !slices.Contains(got, "0.6") {
			t.Errorf("rate: got %q", got)
		}
		if s := again.Stats().Input[0]; s.Changes != 1 || s.Late != 0 {
			t.Errorf("stats: got %+v", s)
		}
		stop()
	})
}

// What a power cut costs: the pulses since the last save.
func TestPowerCutCostsWhatTheBudgetSays(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*InputConfig)
		pulses int           // in the time after which the power goes
		after  time.Duration // of them
		want   string        // total afterwards
	}{
		{"before an hour", func(*InputConfig) {}, 1000, 50 * time.Minute, "100.00"},
		{"after an hour", func(*InputConfig) {}, 1000, 61 * time.Minute, "110.00"},
		{"after an hour, told once a day", func(c *InputConfig) { c.Every = every(24 * time.Hour) }, 1000, 61 * time.Minute, "110.00"},
		{"save-pulses", func(c *InputConfig) { c.SavePulses = 100 }, 1000, 2 * time.Minute, "110.00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				w := newWorksIn(t, newBench(), water(c.change), dir)
				stop := w.start(t)
				w.pulse(c.pulses)
				time.Sleep(c.after)
				cut := t.TempDir() // as the card is at this moment
				if err := os.CopyFS(cut, os.DirFS(dir)); err != nil {
					t.Fatal(err)
				}
				stop()
				again := newWorksIn(t, newBench(), water(c.change), cut)
				stop = again.start(t)
				time.Sleep(time.Second)
				stop()
				if got := again.said("sensors/main"); len(got) != 1 || !strings.Contains(got[0], `"total":`+c.want+",") {
					t.Errorf("got %q, want %s", got, c.want)
				}
			})
		})
	}
}

func TestDamagedCounterFileIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		w := newWorksIn(t, newBench(), water(), dir)
		stop := w.start(t)
		w.pulse(100)
		stop() // the first record is of the start, the second of the stop
		for _, c := range []struct{ damage, total, said string }{
			{"main.0", "100.00", "the one before is used"},
			{"main.*", "100.00", "the count begins anew"}, // at the start that is configured
		} {
			files, err := filepath.Glob(filepath.Join(dir, "counters", c.damage))
			if err != nil || len(files) == 0 {
				t.Fatal(files, err)
			}
			for _, f := range files {
				if err := os.WriteFile(f, []byte("xx"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			again := newWorksIn(t, newBench(), water(), dir)
			stop := again.start(t)
			time.Sleep(time.Second)
			stop()
			if got := again.said("sensors/main"); len(got) != 1 || !strings.Contains(got[0], `"total":`+c.total) {
				t.Errorf("%s: got %q, want %s", c.damage, got, c.total)
			}
			if again.log.count(c.said) != 1 || again.Stats().Input[0].Errors != 1 {
				t.Errorf("%s: the log does not say %q", c.damage, c.said)
			}
		}
	})
}

// A folder that cannot be written is told once, and the counting goes on.
func TestCountThatCannotBeSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(dir, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		w := newWorksIn(t, newBench(), water(), dir)
		stop := w.start(t)
		w.pulse(100)
		time.Sleep(5 * time.Hour)
		stop()
		if got := w.said("sensors/main"); len(got) == 0 || !strings.Contains(got[len(got)-1], `"total":101.00`) {
			t.Errorf("got %q", got)
		}
		if w.log.count("count is not saved") != 1 || w.Stats().Input[0].Errors < 5 {
			t.Errorf("got %d lines, %+v", w.log.count("count is not saved"), w.Stats().Input[0])
		}
		none := newWorksIn(t, newBench(), water(), "")
		stop = none.start(t)
		none.pulse(1)
		stop()
		if none.log.count("will not outlive this process") != 1 {
			t.Error("a count without a folder is not told")
		}
	})
}

// A reload of the rest of the configuration neither misses a pulse nor says
// that anything was away.
func TestInputsOutliveAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, dir := newBench(), t.TempDir()
		cfg := water()
		cfg.Input = append(cfg.Input, InputConfig{Kind: "contact", Name: "door", Line: "GPIO17"}, InputConfig{Kind: "contact", Name: "changes", Line: "GPIO18"})
		old := newWorksIn(t, b, cfg, dir)
		stop := old.start(t)
		old.pulse(100)

		next := cfg
		next.Input = slices.Clone(cfg.Input)
		next.Input[2].AtLeast = every(time.Hour)
		w := newWorksIn(t, b, next, dir)
		w.Follow(old.Hardware)
		stop()
		w.pulse(100) // while nobody runs
		w.wire("GPIO17").set(true)
		stop = w.start(t)
		w.pulse(100)
		time.Sleep(2 * time.Minute)
		if got := w.said("sensors/main"); len(got) == 0 || !strings.Contains(got[len(got)-1], `"total":103.00`) {
			t.Errorf("meter: got %q", got)
		}
		if got := w.said("sensors/door"); !slices.Equal(got, []string{`{"state":"OFF"}`, `{"state":"ON"}`}) {
			t.Errorf("door: got %q", got)
		}
		for name, want := range map[string]int{"main": 0, "door": 0, "changes": 1} {
			topic := "sensors/" + name + "/availability"
			if was, is := old.said(topic), w.said(topic); len(was) != 1+want || len(is) != want {
				t.Errorf("%s: got %q, then %q", name, was, is)
			}
		}
		if got := b.wire("GPIO22").open; got != 1 {
			t.Errorf("the meter's line is open %d times", got)
		}
		stop()
		for _, name := range []string{"GPIO22", "GPIO17", "GPIO18"} {
			if got := b.wire(name).open; got != 0 {
				t.Errorf("%s stays open", name)
			}
		}
		again := newWorksIn(t, newBench(), cfg, dir)
		stop = again.start(t)
		time.Sleep(time.Second)
		stop()
		if got := again.said("sensors/main"); len(got) != 1 || !strings.Contains(got[0], `"total":103.00`) {
			t.Errorf("saved: got %q", got)
		}
	})
}

// A second reload that comes before the first has begun finds the lines too.
func TestInputsOutliveTwoReloadsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 20 {
			b, dir := newBench(), t.TempDir()
			cfg := water()
			cfg.Input = append(cfg.Input, InputConfig{Kind: "contact", Name: "door", Line: "GPIO17"})
			first, second, third := newWorksIn(t, b, cfg, dir), newWorksIn(t, b, cfg, dir), newWorksIn(t, b, cfg, dir)
			stop := first.start(t)
			synctest.Wait()
			second.Follow(first.Hardware)
			stop()
			third.Follow(second.Hardware)
			second.start(t)()
			b.change(func() { b.fail["GPIO17"], b.fail["GPIO22"] = errBusy, errBusy })
			stop = third.start(t)
			time.Sleep(time.Second)
			stop()
			for _, s := range third.Stats().Input {
				if s.State != Online {
					t.Fatalf("%s is %s: %s", s.Name, s.State, s.Cause)
				}
			}
			if b.wire("GPIO17").open != 0 || b.wire("GPIO22").open != 0 {
				t.Fatal("a line stays open")
			}
		}
	})
}
