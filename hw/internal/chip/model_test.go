package chip

import (
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/physic"
)

var errGone = errors.New("nobody acknowledges")

// jack is an I2C bus with one chip on it, answered by a model of the chip.
// The chip can be unplugged; time passes when the bus is used, as it does.
type jack struct {
	addr  uint16
	model func(w, r []byte) error
	gone  bool
	count int
}

func (b *jack) String() string                  { return "jack" }
func (b *jack) SetSpeed(physic.Frequency) error { return nil }

func (b *jack) Tx(addr uint16, w, r []byte) error {
	b.count++
	if b.gone || addr != b.addr {
		return errGone
	}
	return b.model(w, r)
}

// registers is a chip of 8-bit registers. Bytes after the first of a write
// are pairs with more registers, as Bosch's chips take them.
type registers struct {
	mem   [256]byte
	wrote func(register, value byte)

	noFirmware bool // of a CCS811
}

func (m *registers) tx(w, r []byte) error {
	for i := 0; i+1 < len(w); i += 2 {
		m.mem[w[i]] = w[i+1]
		if m.wrote != nil {
			m.wrote(w[i], w[i+1])
		}
	}
	if len(r) > 0 {
		copy(r, m.mem[w[0]:])
	}
	return nil
}

// opened opens the kind at its default address on a bus.
func opened(t *testing.T, kind string, bus *jack, setup Setup) Sensor {
	t.Helper()
	s, err := kindOf(t, kind).Open(Wiring{I2C: bus, Address: bus.addr, Setup: setup})
	if err != nil {
		t.Fatalf("open %s: %v", kind, err)
	}
	return s
}

func kindOf(t *testing.T, name string) Kind {
	t.Helper()
	k, ok := Find(name)
	if !ok {
		t.Fatalf("no kind %q", name)
	}
	return k
}

// reading reads once, in fake time, and checks that the kind's row gives it
// time enough.
func reading(t *testing.T, kind string, s Sensor) []float64 {
	t.Helper()
	k := kindOf(t, kind)
	out := make([]float64, len(k.Quantities))
	start := time.Now()
	if err := s.Read(out); err != nil {
		t.Fatalf("read %s: %v", kind, err)
	}
	if took := time.Since(start); took > k.Takes {
		t.Errorf("%s took %v, its row says %v", kind, took, k.Takes)
	}
	return out
}

func near(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if math.IsNaN(got) || math.Abs(got-want) > within {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// survives says that a chip pulled from the bus is an error, and that it reads
// again once it is plugged in and opened anew; that a reading allocates at
// most so often; and that halting works.
func survives(t *testing.T, kind string, bus *jack, setup Setup, allocs float64) {
	t.Run("unplugged", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := opened(t, kind, bus, setup)
			before := reading(t, kind, s)
			bus.gone = true
			if err := s.Read(make([]float64, len(before))); !errors.Is(err, errGone) {
				t.Errorf("without the chip: got %v, want %v", err, errGone)
			}
			if _, err := kindOf(t, kind).Open(Wiring{I2C: bus, Address: bus.addr, Setup: setup}); !errors.Is(err, errGone) {
				t.Errorf("open without the chip: got %v, want %v", err, errGone)
			}
			bus.gone = false
			again := reading(t, kind, opened(t, kind, bus, setup))
			for i := range before {
				near(t, "after plugging in", again[i], before[i], 1e-9)
			}
		})
	})
	t.Run("allocations", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := opened(t, kind, bus, setup)
			out := make([]float64, len(kindOf(t, kind).Quantities))
			got := testing.AllocsPerRun(20, func() {
				if err := s.Read(out); err != nil {
					t.Fatal(err)
				}
			})
			if got > allocs {
				t.Errorf("%v allocations, want at most %v", got, allocs)
			}
			t.Logf("%v allocations a reading", got)
		})
	})
	t.Run("halt", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := opened(t, kind, bus, setup)
			if err := errors.Join(s.Halt(), s.Halt()); err != nil {
				t.Error(err)
			}
		})
	})
}
