package chip

import (
	"encoding/binary"
	"errors"
	"testing"
	"testing/synctest"

	"periph.io/x/devices/v3/bmxx80"
)

// bmp180Model has the coefficients of the datasheet (p. 15).
func bmp180Model(ut, up int) *registers {
	m := new(registers)
	m.mem[0xD0] = isBMP180
	for i, v := range []int{408, -72, -14383, 32741, 32757, 23153, 6190, 4, -32768, -8711, 2868} {
		binary.BigEndian.PutUint16(m.mem[0xAA+2*i:], uint16(v))
	}
	m.wrote = func(register, value byte) {
		if register != 0xF4 {
			return
		}
		m.mem[0xF4] = 0
		if value == 0x2E {
			copy(m.mem[0xF6:], []byte{byte(ut >> 8), byte(ut)})
		} else {
			up := up << (8 - value>>6)
			copy(m.mem[0xF6:], []byte{byte(up >> 16), byte(up >> 8), byte(up)})
		}
	}
	return m
}

// The worked example of the datasheet, p. 15: 15.0 °C and 69964 Pa, without
// oversampling; with it the raw pressure is eight times that.
func TestBMP180Datasheet(t *testing.T) {
	var c calibration180
	m := bmp180Model(27898, 23843)
	c.from(m.mem[0xAA:0xC0])
	if deci, pascal, ok := c.compensate(27898, 23843, 0); deci != 150 || pascal != 69964 || !ok {
		t.Errorf("got %d, %d, want 150, 69964", deci, pascal)
	}
	synctest.Test(t, func(t *testing.T) {
		m := bmp180Model(27898, 23843*8)
		got := reading(t, "bmp180", opened(t, "bmp180", &jack{addr: 0x77, model: m.tx}, Setup{}))
		near(t, "temperature", got[0], 15, 1e-9)
		near(t, "pressure", got[1], 699.64, 0.05)
	})
}

func TestBMP180Cold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := bmp180Model(25000, 23843*8)
		got := reading(t, "bmp180", opened(t, "bmp180", &jack{addr: 0x77, model: m.tx}, Setup{}))
		near(t, "temperature", got[0], -12.1, 1e-9)
	})
}

// A disturbed reading by which periph's formula divides by zero.
func TestBMP180Faults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := bmp180Model(20285, 23843*8)
		bus := &jack{addr: 0x77, model: m.tx}
		s := opened(t, "bmp180", bus, Setup{})
		if err := s.Read(make([]float64, 2)); !errors.Is(err, errNoData) {
			t.Errorf("disturbed: got %v, want %v", err, errNoData)
		}
		theirs, err := bmxx80.NewI2C(bus, 0x77, &bmxx80.DefaultOpts)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if recover() == nil {
				t.Error("periph's driver no longer panics: use it again?")
			}
		}()
		_ = theirs.Sense(nil)
	})
	synctest.Test(t, func(t *testing.T) {
		m := bmp180Model(27898, 23843*8)
		s := opened(t, "bmp180", &jack{addr: 0x77, model: m.tx}, Setup{})
		m.wrote = nil // the conversion never ends
		if err := s.Read(make([]float64, 2)); !errors.Is(err, errBusy) {
			t.Errorf("converting for ever: got %v, want %v", err, errBusy)
		}
		clear(m.mem[0xAA:0xAC])
		if _, err := bmp180Kind().Open(Wiring{I2C: &jack{addr: 0x77, model: m.tx}, Address: 0x77}); !errors.Is(err, errNoData) {
			t.Errorf("no calibration: got %v, want %v", err, errNoData)
		}
	})
}

func TestBMP180Survives(t *testing.T) {
	survives(t, "bmp180", &jack{addr: 0x77, model: bmp180Model(27898, 23843*8).tx}, Setup{}, 0)
}
