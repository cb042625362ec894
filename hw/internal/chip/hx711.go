package chip

import (
	"errors"
	"time"
)

func hx711Kind() Kind {
	return Kind{
		Name: "hx711", Title: "Avia HX711 with load cell", Bus: Lines,
		// The last bits are noise, about 50 counts of it at a gain of 128.
		Quantities: []Quantity{{Name: "weight", Unit: "counts", Resolution: 10, Low: -1 << 23, High: 1 << 23}},
		Keys:       []string{"gain"},
		Every:      100 * time.Millisecond, // ten a second as boards are wired
		Takes:      time.Second,
		Note:       `Gives counts. To weigh, set unit = "kg" (or "g"), scale and offset of the quantity "weight": note the counts c0 of the empty scale and c1 with a known weight w; scale = w / (c1 - c0), offset = -c0 * scale. gain: 128 (the default) or 64 for input A, 32 for input B. A median over several samples is worth its time.`,
		Pins:       "PD_SCK and DOUT to two GPIO lines, VCC 3V3, GND; E+ E- A+ A- to the load cell", Datasheet: "Avia HX711, rev. 2.0",
		Check: checkHX711, Open: openHX711,
	}
}

// The times of the chip (p. 5): an output settles 400 ms after the power or
// the gain has changed, at ten a second; a clock that is high for 60 µs
// switches it off.
const (
	hx711Settles = 700 * time.Millisecond
	hx711High    = 50 * time.Microsecond
)

var errSlow = errors.New("this machine is too busy to clock the chip")

// hx711 is clocked by hand. The driver is ours: periph's does not notice when
// the clock was high for so long that the chip switched itself off, which
// happens whenever the kernel prefers another process; it pulls the data line
// to where a missing chip looks like a ready one that weighs nothing; and it
// takes the edges of the bits before for the sign that the next value is
// ready.
type hx711 struct {
	clock  Output
	data   Input
	pulses int  // after a value, which say what to measure next
	fresh  bool // the next value is of another gain
	lost   bool // it may be in the middle of a value
}

// hx711Pulses are those after a value, by the gain of the next one (table 3).
var hx711Pulses = map[float64]int{0: 1, 128: 1, 32: 2, 64: 3}

func checkHX711(s Setup) *SetupError {
	if hx711Pulses[s.Gain] == 0 {
		return &SetupError{"gain", "128 or 64, or 32 for input B"}
	}
	return nil
}

func openHX711(w Wiring) (Sensor, error) {
	if err := checkHX711(w.Setup); err != nil {
		return nil, err
	}
	s := &hx711{clock: w.Clock, data: w.Data, pulses: hx711Pulses[w.Gain]}
	if err := s.restart(); err != nil {
		return nil, err
	}
	return s, s.ready()
}

// restart switches the chip off and on, which is the one way out of the middle
// of a value: an earlier process may have ended there.
func (s *hx711) restart() error {
	if err := s.clock.Set(true); err != nil {
		return err
	}
	time.Sleep(2 * hx711High)
	if err := s.clock.Set(false); err != nil {
		return err
	}
	s.fresh, s.lost = true, false
	return nil
}

// Read takes a value, more than one where the first is not of the right gain
// or was disturbed.
func (s *hx711) Read(out []float64) error {
	if s.lost {
		if err := s.restart(); err != nil {
			return err
		}
	}
	for range 6 {
		if err := s.ready(); err != nil {
			return err
		}
		raw, slow, err := s.shift()
		switch {
		case err != nil:
			s.lost = true
			return err
		case slow:
			s.fresh = true // it may have been off, and is back at a gain of 128
			continue
		case s.fresh:
			s.fresh = false
			continue
		case raw == 1<<23-1 || raw == -1<<23:
			return errBeyond
		}
		out[0] = float64(raw)
		return nil
	}
	return errSlow
}

// ready waits until the chip pulls the data line down.
func (s *hx711) ready() error {
	for range hx711Settles / time.Millisecond {
		high, err := s.data.Value()
		if err != nil {
			return err
		}
		if !high {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return errNoData
}

// shift clocks a value out. It is slow when the clock was high for so long
// that the value cannot be trusted.
func (s *hx711) shift() (raw int32, slow bool, err error) {
	for i := range 24 + s.pulses {
		long, err := s.pulse()
		if err != nil {
			return 0, false, err
		}
		slow = slow || long
		if i >= 24 {
			continue
		}
		high, err := s.data.Value()
		if err != nil {
			return 0, false, err
		}
		raw <<= 1
		if high {
			raw |= 1
		}
	}
	// After the last pulse it is high until the next value is ready (p. 5).
	if high, err := s.data.Value(); err != nil || !high && !slow {
		return 0, false, errors.Join(err, errLow)
	}
	return raw << 8 >> 8, slow, nil
}

var errLow = errors.New("the data line stays low: a short, or another line")

func (s *hx711) pulse() (long bool, err error) {
	start := time.Now()
	if err := s.clock.Set(true); err != nil {
		return false, err
	}
	if err := s.clock.Set(false); err != nil {
		return false, err
	}
	return time.Since(start) > hx711High, nil
}

// Halt switches the chip off.
func (s *hx711) Halt() error { return s.clock.Set(true) }
