package chip

import (
	"encoding/binary"
	"fmt"
	"time"
)

func bmp180Kind() Kind {
	return Kind{
		Name: "bmp180", Title: "Bosch BMP180", Bus: I2C, Addresses: []uint16{0x77},
		Quantities: []Quantity{temperature(0.1, -40, 85), pressure(0.01, 300, 1100)},
		Every:      time.Second, Takes: 50 * time.Millisecond,
		Pins: "SDA SCL 3V3 GND", Datasheet: "BST-BMP180-DS000-12",
		Identify: boschIs(isBMP180), Open: func(w Wiring) (Sensor, error) { return openBMP180(w) },
	}
}

const bmp180Oversampling = 3 // eight samples, 25.5 ms (p. 12)

// bmp180Chip measures temperature, then pressure, when it is read.
type bmp180Chip struct {
	port
	cal calibration180
}

func openBMP180(w Wiring) (*bmp180Chip, error) {
	s := &bmp180Chip{port: port{bus: w.I2C, addr: w.Address}}
	if err := s.expect(isBMP180); err != nil {
		return nil, err
	}
	r, err := s.read(22, 0xAA)
	if err != nil {
		return nil, fmt.Errorf("read calibration: %w", err)
	}
	if !s.cal.from(r) {
		return nil, fmt.Errorf("read calibration: %w", errNoData)
	}
	return s, nil
}

func (s *bmp180Chip) Read(out []float64) error {
	r, err := s.convert(0x2E, 5*time.Millisecond, 2)
	if err != nil {
		return err
	}
	rawT := int64(r[0])<<8 | int64(r[1])
	if r, err = s.convert(0x34|bmp180Oversampling<<6, 26*time.Millisecond, 3); err != nil {
		return err
	}
	rawP := (int64(r[0])<<16 | int64(r[1])<<8 | int64(r[2])) >> (8 - bmp180Oversampling)
	deci, pascal, ok := s.cal.compensate(rawT, rawP, bmp180Oversampling)
	if !ok {
		return errNoData
	}
	out[0], out[1] = float64(deci)/10, float64(pascal)/100
	return nil
}

// convert starts a conversion, waits for its longest time (p. 21) and reads n
// bytes of its result.
func (s *bmp180Chip) convert(what byte, takes time.Duration, n int) ([]byte, error) {
	if err := s.write(0xF4, what); err != nil {
		return nil, err
	}
	time.Sleep(takes)
	r, err := s.read(1, 0xF4)
	if err != nil {
		return nil, err
	}
	if r[0]&0x20 != 0 {
		return nil, errBusy
	}
	return s.read(n, 0xF6)
}

// Halt has nothing to do: the chip sleeps between conversions.
func (s *bmp180Chip) Halt() error { return nil }

// calibration180 holds the coefficients of one chip (p. 13), wide enough for
// the arithmetic.
type calibration180 struct {
	ac1, ac2, ac3, ac4, ac5, ac6, b1, b2, mb, mc, md int64
}

// from takes registers 0xAA to 0xBF, and says whether each can be one: 0 and
// 0xFFFF cannot.
func (c *calibration180) from(r []byte) bool {
	for i, v := range []*int64{&c.ac1, &c.ac2, &c.ac3, &c.ac4, &c.ac5, &c.ac6, &c.b1, &c.b2, &c.mb, &c.mc, &c.md} {
		u := binary.BigEndian.Uint16(r[2*i:])
		if u == 0 || u == 0xFFFF {
			return false
		}
		*v = int64(int16(u))
		if i >= 3 && i <= 5 { // ac4, ac5 and ac6 are unsigned
			*v = int64(u)
		}
	}
	return true
}

// compensate returns tenths of °C and Pa (p. 15). It is not ok where the
// formula divides by zero, which no undisturbed conversion leads to.
func (c *calibration180) compensate(rawT, rawP int64, oversampling uint) (deci, pascal int64, ok bool) {
	x1 := (rawT - c.ac6) * c.ac5 >> 15
	if x1+c.md == 0 {
		return 0, 0, false
	}
	b5 := x1 + c.mc<<11/(x1+c.md)

	b6 := b5 - 4000
	x3 := (c.b2*(b6*b6>>12))>>11 + c.ac2*b6>>11
	b3 := ((c.ac1*4+x3)<<oversampling + 2) / 4
	x3 = (c.ac3*b6>>13 + (c.b1*(b6*b6>>12))>>16 + 2) >> 2
	b4 := c.ac4 * (x3 + 32768) >> 15
	if b4 == 0 {
		return 0, 0, false
	}
	p := (rawP - b3) * (50000 >> oversampling) * 2 / b4
	x1 = (p >> 8) * (p >> 8) * 3038 >> 16
	x2 := -7357 * p >> 16
	return (b5 + 8) >> 4, p + (x1+x2+3791)>>4, true
}
