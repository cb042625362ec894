package chip

import (
	"encoding/binary"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/i2c/i2ctest"
	"periph.io/x/devices/v3/aht20"
)

// words16 is a chip of 16-bit registers, big-endian.
type words16 map[byte]uint16

func (m words16) tx(w, r []byte) error {
	if len(w) == 3 {
		m[w[0]] = binary.BigEndian.Uint16(w[1:])
	}
	if len(r) == 2 {
		binary.BigEndian.PutUint16(r, m[w[0]])
	}
	return nil
}

func mcp9808Model(raw uint16) words16 {
	return words16{0x05: raw, 0x06: 0x0054, 0x07: 0x0400}
}

// The format of the datasheet (5.1.3) and the alert bits, which are no part of the number.
func TestMCP9808(t *testing.T) {
	for raw, want := range map[uint16]float64{
		0x0191: 25.0625, 0xC1A8: 26.5, 0x1E68: -25.5, 0x1FFF: -0.0625, 0x0000: 0, 0x07D0: 125, 0x1D80: -40,
	} {
		synctest.Test(t, func(t *testing.T) {
			bus := &jack{addr: 0x18, model: mcp9808Model(raw).tx}
			near(t, "temperature", reading(t, "mcp9808", opened(t, "mcp9808", bus, Setup{}))[0], want, 1e-9)
		})
	}
	survives(t, "mcp9808", &jack{addr: 0x1F, model: mcp9808Model(0x0191).tx}, Setup{}, 2)
}

func TestMCP9808Identity(t *testing.T) {
	m := mcp9808Model(0)
	bus := &jack{addr: 0x18, model: m.tx}
	if !isMCP9808(bus, 0x18) || isMCP9808(bus, 0x19) {
		t.Error("not identified where it is, or where it is not")
	}
	m[0x07] = 0x0800
	if _, err := openMCP9808(Wiring{I2C: bus, Address: 0x18}); !errors.Is(err, errKind) {
		t.Errorf("another chip: got %v, want %v", err, errKind)
	}
}

func TestMCP9808Halt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mcp9808Model(0)
		if err := opened(t, "mcp9808", &jack{addr: 0x18, model: m.tx}, Setup{}).Halt(); err != nil || m[0x01] != 0x0100 {
			t.Errorf("configuration 0x%04x after halt, error %v", m[0x01], err)
		}
	})
}

// The datasheet's table of temperatures in 12 bits.
func TestTMP102(t *testing.T) {
	for raw, want := range map[uint16]float64{
		0x7FF0: 127.9375, 0x6400: 100, 0x4B00: 75, 0x1900: 25, 0x0040: 0.25, 0x0000: 0, 0xFFC0: -0.25, 0xE700: -25, 0xC900: -55,
	} {
		synctest.Test(t, func(t *testing.T) {
			bus := &jack{addr: 0x48, model: words16{0: raw, 1: 0x60A0}.tx}
			near(t, "temperature", reading(t, "tmp102", opened(t, "tmp102", bus, Setup{}))[0], want, 1e-9)
		})
	}
	survives(t, "tmp102", &jack{addr: 0x49, model: words16{0: 0x1900, 1: 0x60A0}.tx}, Setup{}, 2)
}

// A chip left in extended mode, or shut down, measures 12 bits after opening
// and sleeps after halting.
func TestTMP102Modes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := words16{1: 0x61B0}
		s := opened(t, "tmp102", &jack{addr: 0x48, model: m.tx}, Setup{})
		if m[1] != 0x60A0 {
			t.Errorf("configuration 0x%04x after open, want 0x60a0", m[1])
		}
		if err := s.Halt(); err != nil || m[1]&0x0100 == 0 {
			t.Errorf("configuration 0x%04x after halt, want it shut down; error %v", m[1], err)
		}
	})
}

// The error that periph's driver drops: of reading the configuration.
func TestTMP102OpenKeepsErrors(t *testing.T) {
	bus := &jack{addr: 0x48, model: func(w, r []byte) error {
		if len(r) > 0 {
			return errGone
		}
		return nil
	}}
	if _, err := openTMP102(Wiring{I2C: bus, Address: 0x48}); !errors.Is(err, errGone) {
		t.Errorf("got %v, want %v", err, errGone)
	}
}

// aht20Model is an AHT20 that is calibrated, or not, and answers a measurement.
type aht20Model struct {
	status byte
	answer []byte // 7 bytes
	starts int    // how often it was told to calibrate
}

func (m *aht20Model) tx(w, r []byte) error {
	switch {
	case len(w) > 0 && w[0] == 0x71:
		r[0] = m.status
	case len(w) > 0 && w[0] == 0xBE:
		m.status |= 0x08
		m.starts++
	case len(r) > 0:
		copy(r, m.answer)
	}
	return nil
}

func aht20Answer(status byte, h, t uint32) []byte {
	b := []byte{status, byte(h >> 12), byte(h >> 4), byte(h<<4) | byte(t>>16), byte(t >> 8), byte(t)}
	return append(b, crc8(0xFF, b...))
}

// The formulas of 6.1 and 6.2: half of each scale, and a frost.
func TestAHT20(t *testing.T) {
	for _, c := range []struct {
		h, t             uint32
		percent, celsius float64
	}{{1 << 19, 1 << 19, 50, 50}, {0x54000, 0x28F5C, 32.8125, -18.00003}, {0xFFFFF, 0, 99.9999, -50}} {
		synctest.Test(t, func(t *testing.T) {
			m := &aht20Model{status: 0x10, answer: aht20Answer(0x18, c.h, c.t)}
			got := reading(t, "aht20", opened(t, "aht20", &jack{addr: 0x38, model: m.tx}, Setup{}))
			near(t, "temperature", got[0], c.celsius, 1e-4)
			near(t, "humidity", got[1], c.percent, 1e-4)
			if m.starts != 1 {
				t.Errorf("calibrated %d times, want once", m.starts)
			}
		})
	}
	survives(t, "aht20", &jack{addr: 0x38, model: (&aht20Model{status: 0x18, answer: aht20Answer(0x18, 1<<19, 1<<19)}).tx}, Setup{}, 2)
}

func TestAHT20Faults(t *testing.T) {
	broken := aht20Answer(0x18, 1<<19, 1<<19)
	broken[2] ^= 1
	for _, c := range []struct {
		name   string
		answer []byte
		want   any
	}{
		{"a wrong bit", broken, new(*aht20.DataCorruptionError)},
		{"busy for ever", aht20Answer(0x98, 0, 0), new(*aht20.ReadTimeoutError)},
		{"lost its calibration", aht20Answer(0x10, 0, 0), new(*aht20.NotInitializedError)},
		{"all ones", []byte{255, 255, 255, 255, 255, 255, 255}, new(*aht20.DataCorruptionError)},
		{"all zeros", make([]byte, 7), new(*aht20.DataCorruptionError)},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := opened(t, "aht20", &jack{addr: 0x38, model: (&aht20Model{status: 0x18, answer: c.answer}).tx}, Setup{})
				start := time.Now()
				if err := s.Read(make([]float64, 2)); !errors.As(err, c.want) {
					t.Errorf("got %v, want %T", err, c.want)
				}
				if took := time.Since(start); took > 250*time.Millisecond {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

func withCRC(words ...uint16) (b []byte) {
	for _, w := range words {
		b = append(b, byte(w>>8), byte(w), crc8(0xFF, byte(w>>8), byte(w)))
	}
	return b
}

func hdc302xTraffic(answer []byte) []i2ctest.IO {
	return []i2ctest.IO{
		{Addr: 0x44, W: []byte{0x30, 0x93}},
		{Addr: 0x44, W: []byte{0x37, 0x81}, R: withCRC(0x3000)},
		{Addr: 0x44, W: []byte{0x22, 0x36}},
		{Addr: 0x44, W: []byte{0xE0, 0x00}, R: answer},
	}
}

func TestHDC302xIdentity(t *testing.T) {
	status := []i2ctest.IO{{Addr: 0x44, W: []byte{0xF3, 0x2D}}, {Addr: 0x44, R: withCRC(0x8010)}}
	for _, c := range []struct {
		name string
		bus  *i2ctest.Playback
		want bool
	}{
		{"one", recorded(status, hdc302xTraffic(nil)[1:2]), true},
		{"an SHT3x", recorded(status, []i2ctest.IO{{Addr: 0x44, W: []byte{0x37, 0x81}, R: []byte{0xFF, 0xFF, 0xFF}}}), false},
		{"another", recorded(status[:1], []i2ctest.IO{{Addr: 0x44, R: []byte{0, 0, 0}}}), false},
	} {
		if got := kind(t, "hdc302x").Identify(c.bus, 0x44); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
		if err := c.bus.Close(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// The formulas of 7.3.3: T = -45 + 175 x / 65535, RH = 100 x / 65535.
func TestHDC302x(t *testing.T) {
	for _, c := range []struct {
		t, h             uint16
		celsius, percent float64
	}{{0x6666, 0x8000, 25, 50.00076}, {0x3000, 0xFFFF, -12.187, 100}, {0x0750, 0, -40.001, 0}} {
		synctest.Test(t, func(t *testing.T) {
			bus := &i2ctest.Playback{DontPanic: true, Ops: hdc302xTraffic(withCRC(c.t, c.h))}
			s, err := openHDC302x(Wiring{I2C: bus, Address: 0x44})
			if err != nil {
				t.Fatal(err)
			}
			got := reading(t, "hdc302x", s)
			near(t, "temperature", got[0], c.celsius, 1e-3)
			near(t, "humidity", got[1], c.percent, 1e-3)
			if err := bus.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func hdc302xModel(answer func() []byte) func(w, r []byte) error {
	return func(w, r []byte) error {
		switch {
		case len(r) == 3:
			copy(r, withCRC(0x3000))
		case len(r) == 6:
			b := answer()
			if b == nil {
				return errGone
			}
			copy(r, b)
		}
		return nil
	}
}

func TestHDC302xFaults(t *testing.T) {
	good := withCRC(0x6666, 0x8000)
	for _, broken := range []int{0, 2, 4, 5} {
		synctest.Test(t, func(t *testing.T) {
			b := append([]byte(nil), good...)
			b[broken] ^= 0x10
			bus := &jack{addr: 0x44, model: hdc302xModel(func() []byte { return b })}
			if err := opened(t, "hdc302x", bus, Setup{}).Read(make([]float64, 2)); err == nil {
				t.Errorf("byte %d wrong: no error", broken)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		bus := &jack{addr: 0x44, model: hdc302xModel(func() []byte { return nil })}
		if err := opened(t, "hdc302x", bus, Setup{}).Read(make([]float64, 2)); !errors.Is(err, errGone) {
			t.Errorf("after its power failed: got %v, want %v", err, errGone)
		}
		bus.model = func(w, r []byte) error { copy(r, withCRC(0x1234)); return nil }
		if _, err := openHDC302x(Wiring{I2C: bus, Address: 0x44}); !errors.Is(err, errKind) {
			t.Errorf("another chip: got %v, want %v", err, errKind)
		}
	})
	survives(t, "hdc302x", &jack{addr: 0x44, model: hdc302xModel(func() []byte { return good })}, Setup{}, 1)
}
