package chip

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/i2c/i2ctest"
)

// commands is a chip that answers commands with a checksum per word; answers
// belong to the last command written.
type commands struct {
	answers map[string][]byte
	last    []byte
}

func (m *commands) tx(w, r []byte) error {
	if len(w) > 0 {
		m.last = append(m.last[:0], w...)
	}
	if len(r) > 0 {
		a, ok := m.answers[string(m.last)]
		if !ok {
			return errGone
		}
		copy(r, a)
	}
	return nil
}

// The examples of the SCD4x's datasheet: serial number (3.9.2), altitude
// (3.6.3), data ready (3.8.2), a measurement (3.5.2).
func TestSCD4xDatasheet(t *testing.T) {
	io := func(w []byte, r ...byte) i2ctest.IO { return i2ctest.IO{Addr: 0x62, W: w, R: r} }
	bus := &i2ctest.Playback{DontPanic: true, Ops: []i2ctest.IO{
		io([]byte{0x36, 0xF6}),
		io([]byte{0x3F, 0x86}),
		io([]byte{0x36, 0x46}), // settings of an earlier run go (3.9.5)
		io([]byte{0x36, 0x82}), io(nil, 0xF8, 0x96, 0x31, 0x9F, 0x07, 0xC2, 0x3B, 0xBE, 0x89),
		io([]byte{0x24, 0x27, 0x07, 0x9E, 0x09}), // 1950 m
		io([]byte{0x21, 0xB1}),
		io([]byte{0xE4, 0xB8}), io(nil, 0x80, 0x00, 0xA2), // not ready
		io([]byte{0xE4, 0xB8}), io(nil, 0x80, 0x06, 0x04),
		io([]byte{0xEC, 0x05}), io(nil, 0x01, 0xF4, 0x33, 0x66, 0x67, 0xA2, 0x5E, 0xB9, 0x3C),
		io([]byte{0x3F, 0x86}),
	}}
	synctest.Test(t, func(t *testing.T) {
		s, err := openSCD4x(Wiring{I2C: bus, Address: 0x62, Setup: Setup{Altitude: 1950}})
		if err != nil {
			t.Fatal(err)
		}
		if got := reading(t, "scd4x", s); !math.IsNaN(got[0]) || !math.IsNaN(got[1]) || !math.IsNaN(got[2]) {
			t.Errorf("before it is ready: got %v, want no values", got)
		}
		got := reading(t, "scd4x", s)
		near(t, "co2", got[0], 500, 0)
		near(t, "temperature", got[1], 25, 0.003)
		near(t, "humidity", got[2], 37, 0.003)
		if err := errors.Join(s.Halt(), bus.Close()); err != nil {
			t.Error(err)
		}
	})
}

func scd4xModel() *commands {
	return &commands{answers: map[string][]byte{
		"\x36\x82": withCRC(1, 2, 3),
		"\xE4\xB8": withCRC(0x8006),
		"\xEC\x05": withCRC(800, 0x2000, 0x8000), // -23.1 °C
	}}
}

func TestSCD4xFaults(t *testing.T) {
	for _, c := range []struct {
		name    string
		command string
		answer  []byte
		reads   int
		want    error
	}{
		{"serial number disturbed", "\x36\x82", []byte{0, 1, 0, 0, 0, 0, 0, 0, 0}, 0, errCRC},
		{"status disturbed", "\xE4\xB8", []byte{0x80, 0x06, 0}, 1, errCRC},
		{"measurement disturbed", "\xEC\x05", append(withCRC(800, 0x6667), 0x80, 0, 0), 1, errCRC},
		{"never ready", "\xE4\xB8", withCRC(0x8000), 4, errNoData},
		{"data bus stuck low", "\xE4\xB8", make([]byte, 3), 1, errCRC},
		{"data bus stuck high", "\xE4\xB8", bytes.Repeat([]byte{0xFF}, 3), 1, errCRC},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := scd4xModel()
				m.answers[c.command] = c.answer
				s, err := openSCD4x(Wiring{I2C: &jack{addr: 0x62, model: m.tx}, Address: 0x62})
				for i := range c.reads {
					if err != nil {
						t.Fatalf("after %d readings: %v", i, err)
					}
					err = s.Read(make([]float64, 3))
				}
				if !errors.Is(err, c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		m := scd4xModel()
		m.answers["\xEC\x05"] = withCRC(0, 0x6667, 0x8000)
		if err := opened(t, "scd4x", &jack{addr: 0x62, model: m.tx}, Setup{}).Read(make([]float64, 3)); err == nil {
			t.Error("no CO2 at all: no error")
		}
		for _, a := range []float64{-501, 3001, math.NaN(), math.Inf(1)} {
			if _, err := openSCD4x(Wiring{I2C: &jack{addr: 0x62, model: m.tx}, Address: 0x62, Setup: Setup{Altitude: a}}); err == nil {
				t.Errorf("altitude %v: no error", a)
			}
		}
	})
}

func TestAirSurvives(t *testing.T) {
	survives(t, "scd4x", &jack{addr: 0x62, model: scd4xModel().tx}, Setup{}, 0)
	survives(t, "ccs811", &jack{addr: 0x5B, model: ccs811Model().ccs811}, Setup{}, 0)
	survives(t, "bh1750", &jack{addr: 0x23, model: bh1750Model(1000)}, Setup{}, 0)
}

func sgp30Model() *commands {
	return &commands{answers: map[string][]byte{
		"\x20\x2F": withCRC(0x0022),
		"\x20\x08": withCRC(612, 35),
	}}
}

// Fifteen seconds without a value (p. 8), then every second one.
func TestSGP30(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := sgp30Model()
		bus := &jack{addr: 0x58, model: m.tx}
		s := opened(t, "sgp30", bus, Setup{})
		for i := range 17 {
			got := reading(t, "sgp30", s)
			if i < 15 && !(math.IsNaN(got[0]) && math.IsNaN(got[1])) {
				t.Errorf("second %d: got %v, want no values", i, got)
			}
			if i >= 15 && (got[0] != 612 || got[1] != 35) {
				t.Errorf("second %d: got %v, want 612 and 35", i, got)
			}
		}
		out := make([]float64, 2)
		if got := testing.AllocsPerRun(20, func() { _ = s.Read(out) }); got != 0 {
			t.Errorf("%v allocations a reading", got)
		}
		bus.gone = true
		if err := s.Read(out); !errors.Is(err, errGone) {
			t.Errorf("unplugged: got %v, want %v", err, errGone)
		}
		bus.gone = false
		m.answers["\x20\x08"][5] ^= 1
		if err := s.Read(out); !errors.Is(err, errCRC) {
			t.Errorf("disturbed: got %v, want %v", err, errCRC)
		}
		m.answers["\x20\x2F"] = withCRC(0x1022)
		if _, err := openSGP30(Wiring{I2C: bus, Address: 0x58}); !errors.Is(err, errKind) {
			t.Errorf("another product: got %v, want %v", err, errKind)
		}
		if err := s.Halt(); err != nil {
			t.Error(err)
		}
	})
}

// ccs811Model boots, starts its firmware, and measures.
func ccs811Model() *registers {
	m := new(registers)
	m.mem[0x20], m.mem[0x00] = 0x81, ccs811Valid
	copy(m.mem[0x02:], []byte{0x03, 0x20, 0x00, 0x3C, ccs811Running | ccs811Valid | ccs811Ready, 0}) // 800 ppm, 60 ppb
	return m
}

func (m *registers) ccs811(w, r []byte) error {
	switch {
	case len(w) == 5 && w[0] == 0xFF:
		m.mem[0x00] = ccs811Valid
		if m.noFirmware {
			m.mem[0x00] = 0
		}
		return nil
	case len(w) == 1 && w[0] == 0xF4:
		m.mem[0x00] |= ccs811Running
		return nil
	}
	return m.tx(w, r)
}

func TestCCS811(t *testing.T) {
	for _, c := range []struct {
		name   string
		result []byte
		open   func(*registers)
		co2    float64 // NaN: no value
		want   string  // in the error
	}{
		{name: "a measurement", result: []byte{0x03, 0x20, 0x00, 0x3C, 0x98, 0}, co2: 800},
		{name: "nothing new", result: []byte{0x03, 0x20, 0x00, 0x3C, 0x90, 0}, co2: math.NaN()},
		{name: "just started", result: []byte{0, 0, 0, 0, 0x98, 0}, co2: math.NaN()},
		{name: "heater", result: []byte{0x03, 0x20, 0x00, 0x3C, 0x99, 0x20}, open: ccs811Fails(0x20), want: "heater has no supply"},
		{name: "unknown error", result: []byte{0x03, 0x20, 0x00, 0x3C, 0x99, 0x80}, open: ccs811Fails(0x80), want: "error 0x80"},
		{name: "power failed", result: []byte{0, 0, 0, 0, 0x10, 0}, want: errReset.Error()},
		{name: "another chip", open: func(m *registers) { m.mem[0x20] = 0x82 }, want: errKind.Error()},
		{name: "no firmware", open: func(m *registers) { m.noFirmware = true }, want: "no firmware"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := ccs811Model()
				copy(m.mem[0x02:], c.result)
				if c.open != nil {
					c.open(m)
				}
				out := make([]float64, 2)
				s, err := openCCS811(Wiring{I2C: &jack{addr: 0x5A, model: m.ccs811}, Address: 0x5A})
				if err == nil {
					err = s.Read(out)
				}
				if c.want != "" {
					if err == nil || !strings.Contains(err.Error(), c.want) {
						t.Errorf("got %v, want %q", err, c.want)
					}
					return
				}
				if err != nil || out[0] != c.co2 && !(math.IsNaN(out[0]) && math.IsNaN(c.co2)) {
					t.Errorf("got %v, %v, want %v", out, err, c.co2)
				}
			})
		})
	}
}

// ccs811Fails sets the register that must be read to clear an error (p. 18).
func ccs811Fails(id byte) func(*registers) {
	return func(m *registers) { m.mem[0xE0] = id }
}

// Firmware that is missing or does not start, and a chip without news.
func TestCCS811Faults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := ccs811Model()
		bus := &jack{addr: 0x5A, model: func(w, r []byte) error {
			if len(w) == 1 && w[0] == 0xF4 {
				return nil
			}
			return m.ccs811(w, r)
		}}
		if _, err := openCCS811(Wiring{I2C: bus, Address: 0x5A}); err == nil || !strings.Contains(err.Error(), "does not start") {
			t.Errorf("got %v, want that it does not start", err)
		}
		bus.model = m.ccs811
		s := opened(t, "ccs811", bus, Setup{})
		m.mem[0x06] = ccs811Running | ccs811Valid
		var err error
		for range 6 {
			err = errors.Join(err, s.Read(make([]float64, 2)))
		}
		if !errors.Is(err, errNoData) {
			t.Errorf("without news: got %v, want %v", err, errNoData)
		}
		if err := s.Halt(); err != nil || m.mem[0x01] != 0 {
			t.Errorf("mode 0x%02x after halt, error %v", m.mem[0x01], err)
		}
	})
}

// bh1750Model is ready 180 ms after it was told to measure, as the slowest
// chip is (p. 2), and holds the last value until then.
func bh1750Model(raw uint16) func(w, r []byte) error {
	var ready time.Time
	return func(w, r []byte) error {
		if len(w) == 1 && w[0] == 0x20 {
			ready = time.Now().Add(180 * time.Millisecond)
		}
		if len(r) == 2 && !time.Now().Before(ready) {
			r[0], r[1] = byte(raw>>8), byte(raw)
		}
		return nil
	}
}

// The example of p. 7: 0x8390 is 28067 lx.
func TestBH1750(t *testing.T) {
	for raw, want := range map[uint16]float64{0x8390: 28066.7, 0: 0, 1: 0.83, 0xFFFE: 54611.7} {
		synctest.Test(t, func(t *testing.T) {
			s := opened(t, "bh1750", &jack{addr: 0x23, model: bh1750Model(raw)}, Setup{})
			near(t, "illuminance", reading(t, "bh1750", s)[0], want, 0.05)
		})
	}
	synctest.Test(t, func(t *testing.T) {
		s := opened(t, "bh1750", &jack{addr: 0x23, model: bh1750Model(0xFFFF)}, Setup{})
		if err := s.Read(make([]float64, 1)); !errors.Is(err, errBeyond) {
			t.Errorf("in full sun: got %v, want %v", err, errBeyond)
		}
	})
}
