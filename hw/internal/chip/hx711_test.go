package chip

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// cell is an HX711 (rev. 2.0, p. 4 and 5): both of its lines.
type cell struct {
	values map[int]int32 // by the pulses after a value: 1, 2, 3
	stuck  bool          // the data line is at level for ever
	level  bool
	late   int // pulses from now until one is high for 100 µs; 0: none
	breaks int // pulses from now until broken; 0: never
	broken error

	clock  bool
	rose   time.Time
	pulses int // since the value was ready
	next   int // which gain is being converted
	from   int // of the value shown
	ready  time.Time
	shown  int32
}

func newCell(values map[int]int32) *cell { return &cell{values: values, next: 1} }

func (c *cell) Set(high bool) error {
	if c.broken != nil {
		return c.broken
	}
	if high == c.clock {
		return nil
	}
	c.clock = high
	if c.breaks > 0 && high {
		if c.breaks--; c.breaks == 0 {
			c.broken = errGone
			return c.broken
		}
	}
	if high {
		c.rose = time.Now()
		if c.late > 0 {
			if c.late--; c.late == 0 {
				time.Sleep(100 * time.Microsecond)
			}
		}
		c.rise()
		return nil
	}
	if time.Since(c.rose) > 60*time.Microsecond { // it was off
		c.next, c.pulses, c.ready = 1, 0, time.Now().Add(400*time.Millisecond)
	}
	return nil
}

func (c *cell) rise() {
	if c.pulses == 0 {
		if time.Now().Before(c.ready) {
			return
		}
		c.shown, c.from = c.values[c.next], c.next
	}
	if c.pulses++; c.pulses <= 24 {
		return
	}
	c.next = c.pulses - 24
	c.ready = time.Now().Add(100 * time.Millisecond)
	if c.next != c.from {
		c.ready = time.Now().Add(400 * time.Millisecond)
	}
}

func (c *cell) Value() (bool, error) {
	switch {
	case c.broken != nil:
		return false, c.broken
	case c.stuck:
		return c.level, nil
	case c.pulses >= 25 && !time.Now().Before(c.ready):
		c.pulses = 0
		return false, nil
	case c.pulses == 0:
		return time.Now().Before(c.ready), nil
	case c.pulses <= 24:
		return c.shown>>(24-c.pulses)&1 == 1, nil
	}
	return true, nil
}

func openCell(t *testing.T, c *cell, gain float64) Sensor {
	t.Helper()
	s, err := openHX711(Wiring{Clock: c, Data: c, Setup: Setup{Gain: gain}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestHX711(t *testing.T) {
	for _, v := range []int32{0, 1, -1, 0x123456, -0x123456, 1<<23 - 2, -1<<23 + 1} {
		synctest.Test(t, func(t *testing.T) {
			s := openCell(t, newCell(map[int]int32{1: v, 2: 2, 3: 3}), 0)
			for range 3 {
				near(t, "weight", reading(t, "hx711", s)[0], float64(v), 0)
			}
		})
	}
}

// The chip is off after a late pulse and comes back at a gain of 128; values
// of that are not taken for those of another.
func TestHX711Late(t *testing.T) {
	for gain, want := range map[float64]float64{128: 1280, 64: 640, 32: 320} {
		for late := 1; late <= 28; late++ {
			synctest.Test(t, func(t *testing.T) {
				c := newCell(map[int]int32{1: 1280, 2: 320, 3: 640})
				s := openCell(t, c, gain)
				near(t, "before", reading(t, "hx711", s)[0], want, 0)
				c.late = late
				out := make([]float64, 1)
				for range 2 {
					if err := s.Read(out); err != nil || out[0] != want {
						t.Errorf("gain %v, pulse %d late: got %v, %v, want %v", gain, late, out, err, want)
					}
				}
			})
		}
	}
}

func TestHX711Faults(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*cell)
		want   error
	}{
		{"no chip, the pull-up alone", func(c *cell) { c.stuck, c.level = true, true }, errNoData},
		{"a short", func(c *cell) { c.stuck = true }, errLow},
		{"too heavy", func(c *cell) { c.values[1] = 1<<23 - 1 }, errBeyond},
		{"the cell pulls the wrong way", func(c *cell) { c.values[1] = -1 << 23 }, errBeyond},
		{"the line is gone", func(c *cell) { c.broken = errGone }, errGone},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newCell(map[int]int32{1: 1000})
				s := openCell(t, m, 128)
				reading(t, "hx711", s)
				c.change(m)
				start := time.Now()
				if err := s.Read(make([]float64, 1)); !errors.Is(err, c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
				if took := time.Since(start); took > time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		m := newCell(map[int]int32{1: 1000})
		m.stuck, m.level = true, true
		if _, err := openHX711(Wiring{Clock: m, Data: m}); !errors.Is(err, errNoData) {
			t.Errorf("open without a chip: got %v, want %v", err, errNoData)
		}
		for _, gain := range []float64{1, 127, -128} {
			if _, err := openHX711(Wiring{Clock: m, Data: m, Setup: Setup{Gain: gain}}); err == nil {
				t.Errorf("gain %v: no error", gain)
			}
		}
	})
}

// A machine on which every pulse is late ends in an error, not in a number.
func TestHX711OnABusyMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(map[int]int32{1: 1000})
		s := openCell(t, c, 128)
		reading(t, "hx711", s)
		clock := s.(*hx711).clock
		s.(*hx711).clock = slowOutput{clock}
		if err := s.Read(make([]float64, 1)); !errors.Is(err, errSlow) {
			t.Errorf("got %v, want %v", err, errSlow)
		}
		s.(*hx711).clock = clock
		near(t, "later", reading(t, "hx711", s)[0], 1000, 0)
	})
}

// Left in the middle of a value, by an error or because the process ended
// there, it gives right ones again and none that are shifted.
func TestHX711LeftInTheMiddle(t *testing.T) {
	for anew := range 2 {
		for pulse := 1; pulse <= 25; pulse++ {
			synctest.Test(t, func(t *testing.T) {
				c := newCell(map[int]int32{1: 0x5AA5A5})
				s := openCell(t, c, 128)
				reading(t, "hx711", s)
				c.breaks = pulse
				if err := s.Read(make([]float64, 1)); !errors.Is(err, errGone) {
					t.Fatalf("pulse %d: got %v, want %v", pulse, err, errGone)
				}
				c.broken = nil
				if anew == 1 {
					c.clock = false
					s = openCell(t, c, 128)
				}
				for range 2 {
					near(t, "later", reading(t, "hx711", s)[0], 0x5AA5A5, 0)
				}
			})
		}
	}
}

type slowOutput struct{ Output }

func (o slowOutput) Set(high bool) error {
	err := o.Output.Set(high)
	time.Sleep(80 * time.Microsecond)
	return err
}

// Switched off when it is halted, and on again when it is opened again.
func TestHX711Survives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCell(map[int]int32{1: 1000, 3: 500})
		s := openCell(t, c, 64)
		reading(t, "hx711", s)
		if err := s.Halt(); err != nil || !c.clock {
			t.Errorf("halted: clock %v, error %v", c.clock, err)
		}
		time.Sleep(time.Second)
		s = openCell(t, c, 64)
		out := make([]float64, 1)
		if err := s.Read(out); err != nil || out[0] != 500 {
			t.Errorf("opened again: got %v, %v, want 500", out, err)
		}
		if got := testing.AllocsPerRun(5, func() { _ = s.Read(out) }); got != 0 {
			t.Errorf("%v allocations a reading", got)
		}
	})
}
