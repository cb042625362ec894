package chip

import (
	"errors"
	"testing"

	"periph.io/x/conn/v3/i2c/i2ctest"
)

func TestCRC8(t *testing.T) {
	for _, c := range []struct {
		start byte
		data  []byte
		want  byte
	}{
		{0xFF, []byte{0xBE, 0xEF}, 0x92}, // SHT3x-DIS version 5, table 20
		{0, []byte{0xDC}, 0x79},          // HTU21D HPC199_3, p. 15, as the next two
		{0, []byte{0x68, 0x3A}, 0x7C},
		{0, []byte{0x4E, 0x85}, 0x6B},
	} {
		if got := crc8(c.start, c.data...); got != c.want {
			t.Errorf("%x: got %#x, want %#x", c.data, got, c.want)
		}
	}
}

// What an SHT3x is asked when it is opened: break, reset, status 0x8010 as
// after a reset (SHT3x-DIS version 5, 4.8, 4.9, 4.11).
func sht3xOpened(addr uint16) []i2ctest.IO {
	return []i2ctest.IO{
		{Addr: addr, W: []byte{0x30, 0x93}},
		{Addr: addr, W: []byte{0x30, 0xA2}},
		{Addr: addr, W: []byte{0xF3, 0x2D}},
		{Addr: addr, R: []byte{0x80, 0x10, 0xE1}},
	}
}

func sht3xMeasured(addr uint16, answer ...byte) []i2ctest.IO {
	return []i2ctest.IO{{Addr: addr, W: []byte{0x24, 0x00}}, {Addr: addr, R: answer}}
}

func TestSHT3x(t *testing.T) {
	k := kind(t, "sht3x")
	w := Wiring{Address: 0x45}
	for _, c := range []struct {
		name   string
		answer []byte
		want   []float64
	}{
		{"recorded from an SHT31", []byte{98, 60, 181, 109, 223, 190}, []float64{22.15, 42.92}},
		{"a second later", []byte{98, 44, 246, 110, 48, 124}, []float64{22.11, 43.04}},
		{"and later", []byte{98, 50, 170, 110, 68, 64}, []float64{22.13, 43.07}},
		{"below zero", []byte{0x2B, 0x33, crc8(0xFF, 0x2B, 0x33), 0x80, 0x00, 0xA2}, []float64{-15.469, 50.0008}},
		{"least", []byte{0, 0, 0x81, 0, 0, 0x81}, []float64{-45, 0}},
		{"greatest", []byte{0xFF, 0xFF, 0xAC, 0xFF, 0xFF, 0xAC}, []float64{130, 100}},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantReading(t, k, w, recorded(sht3xOpened(0x45), sht3xMeasured(0x45, c.answer...)), 0.004, c.want...)
		})
	}
	good := []byte{98, 60, 181, 109, 223, 190}
	for i := range good {
		bad := append([]byte(nil), good...)
		bad[i] ^= 0x10
		wantError(t, k, w, recorded(sht3xOpened(0x45), sht3xMeasured(0x45, bad...)), errCRC)
	}
	badStatus := sht3xOpened(0x45)
	badStatus[3].R = []byte{0x80, 0x10, 0xE0}
	wantError(t, k, w, recorded(badStatus), errCRC)
	wantErrorWhereverItBreaks(t, k, w, 1, sht3xOpened(0x45), sht3xMeasured(0x45, good...))
}

// A chip that is in the middle of a measurement refuses what it is told first.
func TestSHT3xThatRefusesTheBreak(t *testing.T) {
	rest := recorded(sht3xOpened(0x44)[1:], sht3xMeasured(0x44, 98, 60, 181, 109, 223, 190))
	first := true
	bus := chipFunc(func(addr uint16, w, r []byte) error {
		if first {
			first = false
			return errNoAck
		}
		return rest.Tx(addr, w, r)
	})
	if got, err := readOnce(t, kind(t, "sht3x"), Wiring{Address: 0x44, I2C: bus}); err != nil {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestSHT3xThatIsStuck(t *testing.T) {
	asked := 0
	opened := recorded(sht3xOpened(0x44))
	bus := chipFunc(func(addr uint16, w, r []byte) error {
		switch {
		case opened.Count < len(opened.Ops):
			return opened.Tx(addr, w, r)
		case len(w) > 0:
			return nil // takes the command
		}
		asked++
		return errNoAck // and measures for ever
	})
	_, err := readOnce(t, kind(t, "sht3x"), Wiring{Address: 0x44, I2C: bus})
	if !errors.Is(err, errBusy) || asked != 5 {
		t.Errorf("got %v after asking %d times, want %v after 5", err, asked, errBusy)
	}
}

func TestSHT4x(t *testing.T) {
	k := kind(t, "sht4x")
	w := Wiring{Address: 0x44}
	reset := []i2ctest.IO{{Addr: 0x44, W: []byte{0x94}}}
	measured := func(answer ...byte) []i2ctest.IO {
		return []i2ctest.IO{{Addr: 0x44, W: []byte{0xFD}}, {Addr: 0x44, R: answer}}
	}
	for _, c := range []struct {
		name   string
		answer []byte
		want   []float64
	}{
		{"a room", []byte{0x66, 0x66, 0x93, 0x72, 0xB0, crc8(0xFF, 0x72, 0xB0)}, []float64{25, 50}},
		{"below zero", []byte{0x2B, 0x33, crc8(0xFF, 0x2B, 0x33), 0x80, 0x00, 0xA2}, []float64{-15.469, 56.501}},
		{"drier than dry", []byte{0x66, 0x66, 0x93, 0, 0, 0x81}, []float64{25, 0}},
		{"wetter than wet", []byte{0x66, 0x66, 0x93, 0xFF, 0xFF, 0xAC}, []float64{25, 100}},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantReading(t, k, w, recorded(reset, measured(c.answer...)), 0.001, c.want...)
		})
	}
	wantError(t, k, w, recorded(reset, measured(0x66, 0x66, 0x94, 0x80, 0x00, 0xA2)), errCRC)
	wantError(t, k, w, recorded(reset, measured(0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF)), errCRC)
	wantErrorWhereverItBreaks(t, k, w, 0, reset, measured(0x66, 0x66, 0x93, 0x80, 0x00, 0xA2))
}

func TestSensirionAllocatesNothing(t *testing.T) {
	for _, name := range []string{"sht3x", "sht4x"} {
		bus := chipFunc(func(addr uint16, w, r []byte) error {
			copy(r, []byte{0x66, 0x66, 0x93, 0x66, 0x66, 0x93})
			return nil
		})
		wantNoAllocation(t, kind(t, name), Wiring{I2C: bus, Address: 0x44})
	}
}

func TestSensirionIdentity(t *testing.T) {
	status := sht3xOpened(0x44)[2:]
	serial := []byte{0x0F, 0xBA, crc8(0xFF, 0x0F, 0xBA), 0x7C, 0x4F, crc8(0xFF, 0x7C, 0x4F)}
	bad := append([]byte(nil), serial...)
	bad[5]++
	ask3 := []i2ctest.IO{{Addr: 0x44, W: []byte{0x36, 0x82}}, {Addr: 0x44, R: serial}}
	ask4 := func(r []byte) []i2ctest.IO { return []i2ctest.IO{{Addr: 0x44, W: []byte{0x89}}, {Addr: 0x44, R: r}} }
	for _, c := range []struct {
		name, kind string
		bus        *i2ctest.Playback
		want       bool
	}{
		{"SHT3x", "sht3x", recorded(status, ask3), true},
		{"SHT3x, wrong CRC", "sht3x", recorded(status, []i2ctest.IO{ask3[0], {Addr: 0x44, R: bad}}), false},
		{"not an SHT3x", "sht3x", recorded([]i2ctest.IO{status[0], {Addr: 0x44, R: []byte{0, 0, 0}}}), false},
		{"SHT4x", "sht4x", recorded(ask4(serial)), true},
		{"SHT4x at the second try", "sht4x", recorded(ask4(bad), ask4(serial)), true},
		{"SHT4x, wrong CRC", "sht4x", recorded(ask4(bad), ask4(bad)), false},
		{"nobody", "sht4x", recorded(), false},
	} {
		if got := kind(t, c.kind).Identify(c.bus, 0x44); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
		if err := c.bus.Close(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func FuzzWords(f *testing.F) {
	f.Add([]byte{98, 60, 181, 109, 223, 190})
	f.Add([]byte{0, 0, 0x81, 0, 0, 0x81})
	f.Fuzz(func(t *testing.T, b []byte) {
		var st, srh uint16
		if len(b) < 6 || words(b[:6], &st, &srh) != nil {
			return
		}
		for _, convert := range []func(_, _ uint16) (float64, float64){convertSHT3x, convertSHT4x} {
			if c, rh := convert(st, srh); c < -45 || c > 130 || clip(rh) < 0 || clip(rh) > 100 {
				t.Errorf("%x: got %v °C, %v %%", b, c, rh)
			}
		}
	})
}
