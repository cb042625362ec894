package chip

import (
	"testing"

	"periph.io/x/conn/v3/i2c/i2ctest"
)

var ina226Opened = []i2ctest.IO{
	{Addr: 0x40, W: []byte{0xFF}, R: []byte{0x22, 0x60}},
	{Addr: 0x40, W: []byte{0xFE}, R: []byte{0x54, 0x49}},
}

func ina226Measured(shunt, bus uint16) []i2ctest.IO {
	return []i2ctest.IO{
		{Addr: 0x40, W: []byte{0x00, 0x45, 0x23}},
		{Addr: 0x40, W: []byte{0x06}, R: []byte{0x00, 0x00}}, // still converting
		{Addr: 0x40, W: []byte{0x06}, R: []byte{0x00, 0x08}},
		{Addr: 0x40, W: []byte{0x01}, R: []byte{byte(shunt >> 8), byte(shunt)}},
		{Addr: 0x40, W: []byte{0x02}, R: []byte{byte(bus >> 8), byte(bus)}},
	}
}

func TestINA226(t *testing.T) {
	k := kind(t, "ina226")
	for _, c := range []struct {
		name       string
		ohm        float64
		shunt, bus uint16
		want       []float64
	}{
		// SBOS547, table 1: 20 mV over 2 mΩ and 11.98 V are 10 A and 119.8 W.
		{"the datasheet's example", 0.002, 0x1F40, 0x2570, []float64{11.98, 10, 119.8}},
		// p. 20: 0x8300 is -80 mV.
		{"charging", 0.01, 0x8300, 0x2570, []float64{11.98, -8, -95.84}},
		{"default shunt", 0, 0x7D00, 0x1000, []float64{5.12, 0.8, 4.096}},
		{"one step", 0, 1, 1, []float64{0.00125, 0.000025, 3.125e-8}},
		{"nothing", 0, 0, 0, []float64{0, 0, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantReading(t, k, Wiring{Address: 0x40, Setup: Setup{Shunt: c.ohm}},
				recorded(ina226Opened, ina226Measured(c.shunt, c.bus)), 1e-9, c.want...)
		})
	}
}

func TestINA226Errors(t *testing.T) {
	k, w := kind(t, "ina226"), Wiring{Address: 0x40}
	wantError(t, k, w, recorded(ina226Opened, ina226Measured(0x7FFF, 0)), errOverload)
	wantError(t, k, w, recorded(ina226Opened, ina226Measured(0x8000, 0)), errOverload)
	wantError(t, k, w, recorded(ina226Opened, ina226Measured(0, 0x8000)), errGarbled)
	stuck := ina226Measured(0, 0)[:2]
	for range 4 {
		stuck = append(stuck, stuck[1])
	}
	wantError(t, k, w, recorded(ina226Opened, stuck), errBusy)
	wantErrorWhereverItBreaks(t, k, w, 0, ina226Opened, ina226Measured(0, 0))
	for _, w.Shunt = range []float64{-1, 1e-9, 1e9} {
		if _, err := k.Open(w); err == nil {
			t.Errorf("took a shunt of %v", w.Shunt)
		}
	}
}

func TestINA226Identity(t *testing.T) {
	k := kind(t, "ina226")
	answer := func(register byte, r ...byte) i2ctest.IO {
		return i2ctest.IO{Addr: 0x40, W: []byte{register}, R: r}
	}
	for _, c := range []struct {
		name string
		bus  *i2ctest.Playback
		want bool
	}{
		{"INA226", recorded(ina226Opened), true},
		{"later revision", recorded([]i2ctest.IO{answer(0xFF, 0x22, 0x61), answer(0xFE, 0x54, 0x49)}), true},
		// An INA219 gives the register asked before, and hears no other command.
		{"INA219", recorded([]i2ctest.IO{answer(0xFF, 0x39, 0x9F)}), false},
		{"other maker", recorded([]i2ctest.IO{answer(0xFF, 0x22, 0x60), answer(0xFE, 0x00, 0x00)}), false},
		{"nobody", recorded(), false},
	} {
		if got := k.Identify(c.bus, 0x40); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
		if err := c.bus.Close(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.name == "INA219" {
			c.bus.Count = 0
			if _, err := k.Open(Wiring{I2C: c.bus, Address: 0x40}); err == nil {
				t.Error("opened an INA219 as an INA226")
			}
		}
	}
}

func TestINA226SleepsWhenHalted(t *testing.T) {
	bus := recorded(ina226Opened, []i2ctest.IO{{Addr: 0x40, W: []byte{0x00, 0x45, 0x20}}})
	s, err := kind(t, "ina226").Open(Wiring{I2C: bus, Address: 0x40})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Halt(); err != nil {
		t.Error(err)
	}
	if err := bus.Close(); err != nil {
		t.Error(err)
	}
}

func TestINA226AllocatesNothing(t *testing.T) {
	bus := chipFunc(func(addr uint16, w, r []byte) error {
		answer := map[byte][2]byte{0xFF: {0x22, 0x60}, 0xFE: {0x54, 0x49}, 6: {0, 8}}[w[0]]
		copy(r, answer[:])
		return nil
	})
	wantNoAllocation(t, kind(t, "ina226"), Wiring{I2C: bus, Address: 0x40})
}

func FuzzINA226(f *testing.F) {
	f.Add(uint16(0x2570), uint16(0x1F40))
	f.Add(uint16(0x8000), uint16(0x7FFF))
	f.Fuzz(func(t *testing.T, bus, shunt uint16) {
		v, a, err := convertINA226(bus, shunt, 0.1)
		if err == nil && (v < 0 || v > 40.96 || a < -0.8192 || a > 0.8192) {
			t.Errorf("%x, %x: got %v V, %v A", bus, shunt, v, a)
		}
	})
}
