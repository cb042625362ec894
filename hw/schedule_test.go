package hw

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// runFor runs h and does at those times what a test wants; Run has ended, with
// all its goroutines, when it returns.
func (h *house) runFor(t *testing.T, d time.Duration, steps ...func()) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), d)
	defer stop()
	done := make(chan error)
	go func() { done <- h.Run(ctx) }()
	for _, step := range steps {
		step()
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// after waits for a time that is no turn's.
func after(d time.Duration, f func()) func() {
	return func() {
		time.Sleep(d)
		f()
	}
}

func TestReadingsAreMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &board{chips: map[uint16]*fakeChip{0x76: {}}}
		clock := func() (time.Time, bool) { return time.Unix(1763846062, 5e8), true }
		c := thermo("attic", 0x76, time.Second)
		c.Expiry = 60e9
		h := newHouse(t, b, Options{Clock: clock}, c)
		h.runFor(t, 2500*time.Millisecond)
		want := []string{
			"tidegate/availability online", "sensors/attic/availability online",
			`sensors/attic {"temperature":20.00,"time":"2025-11-22T21:14:22.500Z"}`,
			`sensors/attic {"temperature":20.00,"time":"2025-11-22T21:14:22.500Z"}`,
			`sensors/attic {"temperature":20.00,"time":"2025-11-22T21:14:22.500Z"}`,
			"sensors/attic/availability offline", "tidegate/availability offline",
		}
		var got []string
		for _, m := range h.got.all {
			got = append(got, m.Topic+" "+string(m.Payload))
			if m.QoS != 1 || !m.Retain {
				t.Errorf("%s: QoS %d, retain %v, want 1, true", m.Topic, m.QoS, m.Retain)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		m := h.got.on("sensors/attic")[0]
		if p := string(m.Properties); p != "\x01\x01\x03\x00\x10application/json" || m.Expiry != 60 {
			t.Errorf("properties %q, expiry %d", p, m.Expiry)
		}
		if b.open != 0 || b.chips[0x76].halted != 1 {
			t.Errorf("%d handles open, halted %d times, want 0, 1", b.open, b.chips[0x76].halted)
		}
	})
}

// Turns lie on a grid for ever, and what a slow bus misses shifts nothing.
func TestThousandHoursWithoutDrift(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &board{chips: map[uint16]*fakeChip{
			0x76: {takes: 9 * time.Millisecond}, 0x77: {takes: 70 * time.Millisecond}, 0x10: {takes: 2 * time.Millisecond},
		}}
		h := newHouse(t, b, Options{}, thermo("a", 0x76, time.Minute), thermo("b", 0x77, 7*time.Minute), thermo("c", 0x10, time.Hour))
		begin := time.Now()
		h.runFor(t, 1000*time.Hour+time.Second)
		for _, c := range []struct {
			addr  uint16
			every time.Duration
			most  time.Duration // that the others of the bus may hold it up
		}{{0x76, time.Minute, 72 * time.Millisecond}, {0x77, 7 * time.Minute, 11 * time.Millisecond}, {0x10, time.Hour, 79 * time.Millisecond}} {
			reads := b.chips[c.addr].reads
			if want := int(1000*time.Hour/c.every) + 1; len(reads) != want {
				t.Errorf("%#x: got %d readings, want %d", c.addr, len(reads), want)
			}
			for i, at := range reads {
				if late := at.Sub(begin) - time.Duration(i)*c.every; late < 0 || late > c.most {
					t.Fatalf("%#x: reading %d is %v off the grid", c.addr, i, late)
				}
			}
		}
	})
}

// A bus with more work than time leaves turns out, evenly.
func TestSlowBusLeavesTurnsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &board{chips: map[uint16]*fakeChip{0x76: {takes: 300 * time.Millisecond}, 0x77: {takes: 300 * time.Millisecond}}}
		h := newHouse(t, b, Options{}, thermo("a", 0x76, 200*time.Millisecond), thermo("b", 0x77, 200*time.Millisecond))
		h.runFor(t, time.Minute)
		for addr, c := range b.chips {
			if n := len(c.reads); n < 95 || n > 105 {
				t.Errorf("%#x: got %d readings, want its half of 200", addr, n)
			}
		}
	})
}

func TestLeastTimeBetweenReadingsAndWarmUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &board{chips: map[uint16]*fakeChip{0x76: {values: each(1, 2, 3, 4, 5)}}}
		c := thermo("gas", 0x76, 10*time.Second)
		c.Kind = "gas"
		h := newHouse(t, b, Options{}, c)
		begin := time.Now()
		h.runFor(t, 15*time.Second)
		var at []time.Duration
		for _, r := range b.chips[0x76].reads {
			at = append(at, r.Sub(begin))
		}
		if want := []time.Duration{0, 1e9, 2e9, 3e9, 10e9}; !slices.Equal(at, want) {
			t.Errorf("read at %v, want %v", at, want)
		}
		if got, want := h.payloads("sensors/gas"), []string{`{"temperature":4.00}`, `{"temperature":5.00}`}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// A sensor that warms up does so again after an absence, and once each time.
func TestWarmUpAfterAnAbsence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &fakeChip{}
		b := &board{chips: map[uint16]*fakeChip{0x76: c}}
		gas := thermo("gas", 0x76, 10*time.Second)
		gas.Kind = "gas"
		h := newHouse(t, b, Options{}, gas)
		h.runFor(t, 5*time.Minute,
			after(35*time.Second, func() { b.set(func() { c.fails = errNoAck }) }),
			after(6*time.Second, func() { b.set(func() { c.fails = nil }) }), // two tries failed
			after(24*time.Second, func() {
				if got := h.payloads("sensors/gas/availability"); len(got) != 1 {
					t.Errorf("pulled for a moment: got %v, want it to stay online", got)
				}
				b.set(func() { c.fails = errNoAck })
			}),
			after(60*time.Second, func() {
				if got := h.state(0); !strings.HasPrefix(got, "offline") {
					t.Errorf("pulled: got %q", got)
				}
				b.set(func() { c.fails, c.opened, c.reads = nil, 0, nil })
			}),
			after(90*time.Second, func() {
				if got := h.state(0); got != "online " || c.opened != 1 {
					t.Errorf("plugged: got %q, opened %d times, want online, once", got, c.opened)
				}
			}))
	})
}

// A sensor read as often as it can be, behind others that hold it up, keeps to
// its grid.
func TestLeastIntervalDoesNotDrift(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &board{chips: map[uint16]*fakeChip{0x76: {}, 0x77: {takes: 90 * time.Millisecond}, 0x10: {takes: 170 * time.Millisecond}}}
		c := thermo("slow", 0x76, 5*time.Second)
		c.Kind = "slow"
		h := newHouse(t, b, Options{}, thermo("a", 0x77, 700*time.Millisecond), thermo("b", 0x10, 1100*time.Millisecond), c)
		h.runFor(t, 2*time.Hour+time.Second)
		reads := b.chips[0x76].reads
		if want := 2*3600/5 + 1; len(reads) != want {
			t.Errorf("got %d readings, want %d", len(reads), want)
		}
		for i, at := range reads[1:] {
			if gap := at.Sub(reads[i]); gap < 4750*time.Millisecond {
				t.Fatalf("reading %d after %v, want 5 s less a twentieth at least", i+1, gap)
			}
		}
	})
}

// Every way of failing: the others go on, the failed one says why and comes
// back by itself.
func TestSensorGoesAndComesBack(t *testing.T) {
	hang := make(chan struct{})
	for _, c := range []struct {
		name   string
		break_ func(*fakeChip)
		mend   func(*fakeChip)
		cause  string
	}{
		{"pulled", func(c *fakeChip) { c.fails, c.opens = errNoAck, errNoAck }, nil, "open the chip: i2c: no acknowledge"},
		{"checksum", func(c *fakeChip) { c.fails = errors.New("checksum 12, want 34") }, nil, "checksum 12, want 34"},
		{"out of range", func(c *fakeChip) { c.values = each(130) }, nil, "temperature of 130 °C is outside -40 to 85"},
		{"stuck busy", func(c *fakeChip) { c.fails = errors.New("busy for 100ms") }, nil, "busy for 100ms"},
		{"panic", func(c *fakeChip) { c.panics = true }, nil, "the driver gave up: index out of range"},
		{"hung", func(c *fakeChip) { c.hangs = hang }, func(c *fakeChip) { close(hang) }, "does not return from the bus"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hang = make(chan struct{})
				bad, good := &fakeChip{}, &fakeChip{}
				b := &board{chips: map[uint16]*fakeChip{0x76: bad, 0x77: good}}
				h := newHouse(t, b, Options{}, thermo("bad", 0x76, time.Second), thermo("good", 0x77, time.Second))
				var during int
				h.runFor(t, 400*time.Second,
					after(10500*time.Millisecond, func() { b.set(func() { c.break_(bad) }) }),
					after(90*time.Second, func() {
						if got := h.state(0); !strings.HasPrefix(got, "offline "+c.cause) {
							t.Errorf("broken: got %q, want offline %s", got, c.cause)
						}
						if got := h.state(1); got != "online " {
							t.Errorf("the other one: got %q", got)
						}
						during = len(h.got.on("sensors/bad"))
						b.set(func() {
							if c.mend != nil {
								c.mend(bad)
							}
							*bad = fakeChip{opened: bad.opened, halted: bad.halted}
						})
					}),
					after(90*time.Second, func() {
						if got := h.state(0); got != "online " {
							t.Errorf("mended: got %q, want online", got)
						}
					}))
				if during != 11 {
					t.Errorf("got %d readings before it broke, want 11, and none while it is broken", during)
				}
				if got, want := h.payloads("sensors/bad/availability"), []string{"online", "offline", "online", "offline"}; !slices.Equal(got, want) {
					t.Errorf("availability: got %v, want %v", got, want)
				}
				if n := h.log.count("sensor is offline"); n != 1 {
					t.Errorf("got %d lines about it, want 1", n)
				}
				if n := len(h.got.on("sensors/good")); n < 397 {
					t.Errorf("the other one gave %d readings, want about 400", n)
				}
				if b.open != 0 {
					t.Errorf("%d handles left open", b.open)
				}
			})
		})
	}
}

func TestBusThatIsMissingIsSaidOnceAndTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &board{chips: map[uint16]*fakeChip{0x76: {}, 0x77: {}}, gone: fs.ErrNotExist}
		h := newHouse(t, b, Options{}, thermo("a", 0x76, time.Second), thermo("b", 0x77, time.Second))
		h.runFor(t, 5*time.Minute,
			after(100*time.Second, func() {
				if got, want := h.state(1), "offline open i2c-1: file does not exist; switch it on"; got != want {
					t.Errorf("got %q, want %q", got, want)
				}
				b.set(func() { b.gone = nil })
			}),
			after(61*time.Second, func() {
				if got := h.state(0) + h.state(1); got != "online online " {
					t.Errorf("there now: got %q", got)
				}
				b.set(func() {
					b.gone = fs.ErrNotExist
					for _, c := range b.chips {
						c.fails = errNoAck
					}
				})
			}))
		if n := h.log.count("switch it on"); n != 2 {
			t.Errorf("said %d times what is missing, want once for each absence, 2", n)
		}
	})
}

// A call that never returns keeps one goroutine, and Run does not wait for it.
func TestHungCallIsLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		b := &board{chips: map[uint16]*fakeChip{0x76: {hangs: hang}, 0x77: {}}}
		h := newHouse(t, b, Options{}, thermo("hung", 0x76, time.Second), thermo("good", 0x77, time.Second))
		begin := time.Now()
		h.runFor(t, time.Hour)
		if took := time.Since(begin); took > time.Hour+4*time.Second {
			t.Errorf("ended %v late", took-time.Hour)
		}
		if n := b.reads(0x76); n != 1 {
			t.Errorf("read %d times, want once: it never returned", n)
		}
		if n := b.reads(0x77); n < 3598 {
			t.Errorf("the other one was read %d times, want 3600", n)
		}
		close(hang) // else the bubble would not end
	})
}
