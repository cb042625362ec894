package chip

import (
	"errors"
	"math"
	"testing"
	"testing/synctest"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/i2c/i2ctest"
	"periph.io/x/conn/v3/physic"
)

var errNoAck = errors.New("no acknowledge")

// chipFunc is a bus with one chip that does what it is told.
type chipFunc func(addr uint16, w, r []byte) error

func (f chipFunc) Tx(addr uint16, w, r []byte) error { return f(addr, w, r) }
func (f chipFunc) SetSpeed(physic.Frequency) error   { return nil }
func (f chipFunc) String() string                    { return "fake" }

// unplugged passes so many transfers to a bus; after that nobody acknowledges.
func unplugged(bus i2c.Bus, after int) i2c.Bus {
	return chipFunc(func(addr uint16, w, r []byte) error {
		if after--; after < 0 {
			return errNoAck
		}
		return bus.Tx(addr, w, r)
	})
}

// kind finds a kind of the table.
func kind(t *testing.T, name string) Kind {
	t.Helper()
	k, ok := Find(name)
	if !ok {
		t.Fatalf("there is no kind %q", name)
	}
	return k
}

// recorded is a bus that plays back what was recorded.
func recorded(ops ...[]i2ctest.IO) *i2ctest.Playback {
	p := &i2ctest.Playback{DontPanic: true}
	for _, o := range ops {
		p.Ops = append(p.Ops, o...)
	}
	return p
}

// readOnce opens a chip on a bus and reads it once, in time that costs nothing.
func readOnce(t *testing.T, k Kind, w Wiring) (out []float64, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var s Sensor
		if s, err = k.Open(w); err != nil {
			return
		}
		out = make([]float64, len(k.Quantities))
		for i := range out {
			out[i] = math.Inf(1)
		}
		err = s.Read(out)
	})
	return out, err
}

// wantReading plays a recording to a chip and compares what it reads.
func wantReading(t *testing.T, k Kind, w Wiring, bus *i2ctest.Playback, tolerance float64, want ...float64) {
	t.Helper()
	w.I2C = bus
	got, err := readOnce(t, k, w)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, want, tolerance)
	if err := bus.Close(); err != nil {
		t.Error(err)
	}
}

func same(t *testing.T, got, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	for i := range want {
		if math.IsNaN(got[i]) != math.IsNaN(want[i]) || math.Abs(got[i]-want[i]) > tolerance {
			t.Errorf("got %v, want %v within %v", got, want, tolerance)
		}
	}
}

// wantError plays a recording to a chip that must end in an error.
func wantError(t *testing.T, k Kind, w Wiring, bus *i2ctest.Playback, want error) {
	t.Helper()
	w.I2C = bus
	if got, err := readOnce(t, k, w); !errors.Is(err, want) {
		t.Errorf("got %v, %v, want error %v", got, err, want)
	}
	if err := bus.Close(); err != nil {
		t.Error(err)
	}
}

// wantErrorWhereverItBreaks pulls the wire before each transfer of a
// recording in turn, except those that may be refused.
func wantErrorWhereverItBreaks(t *testing.T, k Kind, w Wiring, optional int, ops ...[]i2ctest.IO) {
	t.Helper()
	for n := optional; n < len(recorded(ops...).Ops); n++ {
		w.I2C = unplugged(recorded(ops...), n)
		if got, err := readOnce(t, k, w); !errors.Is(err, errNoAck) {
			t.Errorf("unplugged after %d transfers: got %v, %v", n, got, err)
		}
	}
}

// wantNoAllocation reads a chip many times.
func wantNoAllocation(t *testing.T, k Kind, w Wiring) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, err := k.Open(w)
		if err != nil {
			t.Fatal(err)
		}
		out := make([]float64, len(k.Quantities))
		if got := testing.AllocsPerRun(50, func() { err = errors.Join(err, s.Read(out)) }); got != 0 {
			t.Errorf("one reading allocates %v times", got)
		}
		if err != nil {
			t.Error(err)
		}
	})
}
