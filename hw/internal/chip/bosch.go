package chip

import (
	"fmt"
	"math"
	"time"

	"periph.io/x/conn/v3/i2c"
)

// Bosch's BME280 (BST-BME280-DS001), BMP280 (BST-BMP280-DS001) and BMP180
// (BST-BMP180-DS000). The driver is ours: periph's takes the signed 12-bit
// humidity coefficients H4 and H5 as unsigned, divides by zero on some
// disturbed temperatures of a BMP180, asks for ever while a BMx280 says that
// it measures, and publishes 0x80000, which stands for no measurement, as a
// reading.

// The chips by register 0xD0.
const (
	isBMP180 = 0x55
	isBMP280 = 0x58
	isBME280 = 0x60
)

var boschNames = map[byte]string{isBMP180: "BMP180", isBMP280: "BMP280", isBME280: "BME280", isBME680: "BME680"}

func bme280Kind() Kind {
	return Kind{
		Name: "bme280", Title: "Bosch BME280", Bus: I2C, Addresses: []uint16{0x76, 0x77},
		Quantities: []Quantity{temperature(0.01, -40, 85), humidity(0.01), pressure(0.01, 300, 1100)},
		Every:      time.Second, Takes: 50 * time.Millisecond,
		Pins: "SDA SCL 3V3 GND; SDO to 3V3 for 0x77", Datasheet: "BST-BME280-DS001-23",
		Identify: boschIs(isBME280), Open: func(w Wiring) (Sensor, error) { return openBMx280(w, isBME280) },
	}
}

func bmp280Kind() Kind {
	return Kind{
		Name: "bmp280", Title: "Bosch BMP280", Bus: I2C, Addresses: []uint16{0x76, 0x77},
		Quantities: []Quantity{temperature(0.01, -40, 85), pressure(0.01, 300, 1100)},
		Every:      time.Second, Takes: 50 * time.Millisecond,
		Pins: "SDA SCL 3V3 GND; SDO to 3V3 for 0x77", Datasheet: "BST-BMP280-DS001-26",
		Identify: boschIs(isBMP280), Open: func(w Wiring) (Sensor, error) { return openBMx280(w, isBMP280) },
	}
}

func boschIs(id byte) func(i2c.Bus, uint16) bool {
	return func(bus i2c.Bus, addr uint16) bool { return holds(bus, addr, 0xD0, 0xFF, uint16(id)) }
}

// expect fails unless the chip is the one configured. Boards sold as BME280
// often carry a BMP280: then the error says so.
func (p *port) expect(id byte) error {
	r, err := p.read(1, 0xD0)
	if err != nil {
		return fmt.Errorf("read the chip's identity: %w", err)
	}
	if r[0] == id {
		return nil
	}
	if name, ok := boschNames[r[0]]; ok {
		return fmt.Errorf("%w: a %s, not a %s", errKind, name, boschNames[id])
	}
	return fmt.Errorf("%w: its identity is 0x%02x, a %s has 0x%02x", errKind, r[0], boschNames[id], id)
}

// How a BMx280 measures: each quantity four times, so 30 ms at most
// (BME280, p. 51; BMP280, p. 18).
const (
	bmxHumidity = 3            // ctrl_hum: four times
	bmxSleep    = 3<<5 | 3<<2  // ctrl_meas: temperature and pressure four times
	bmxForced   = bmxSleep | 1 // one measurement, then sleep
	bmxWait     = 30 * time.Millisecond
)

// bmx280 measures when it is read and sleeps between.
type bmx280 struct {
	port
	humid bool
	cal   calibration280
}

func openBMx280(w Wiring, id byte) (*bmx280, error) {
	s := &bmx280{port: port{bus: w.I2C, addr: w.Address}, humid: id == isBME280}
	if err := s.expect(id); err != nil {
		return nil, err
	}
	if err := s.write(0xE0, 0xB6); err != nil {
		return nil, fmt.Errorf("reset: %w", err)
	}
	time.Sleep(2 * time.Millisecond)
	if err := s.idle(0x01); err != nil { // its coefficients are being copied from NVM
		return nil, err
	}
	if err := s.readCalibration(); err != nil {
		return nil, fmt.Errorf("read calibration: %w", err)
	}
	return s, s.configure()
}

// configure sets the filter off and the oversampling; ctrl_hum counts from the
// next write of ctrl_meas (BME280, p. 28).
func (s *bmx280) configure() error {
	if err := s.write(0xF5, 0); err != nil {
		return err
	}
	if s.humid {
		if err := s.write(0xF2, bmxHumidity); err != nil {
			return err
		}
	}
	return s.write(0xF4, bmxSleep)
}

func (s *bmx280) readCalibration() error {
	r, err := s.read(26, 0x88)
	if err != nil {
		return err
	}
	s.cal.airFrom(r)
	if s.humid {
		if r, err = s.read(7, 0xE1); err != nil {
			return err
		}
		s.cal.humidityFrom(r)
	}
	if s.cal.t1 == 0 || s.cal.t1 == 0xFFFF || s.cal.p1 == 0 || s.cal.p1 == 0xFFFF {
		return errNoData
	}
	return nil
}

// idle waits until none of the status bits is set, 20 ms at most.
func (s *bmx280) idle(bits byte) error {
	for range 10 {
		r, err := s.read(1, 0xF3)
		if err != nil {
			return err
		}
		if r[0]&bits == 0 {
			return nil
		}
		time.Sleep(2 * time.Millisecond)
	}
	return errBusy
}

func (s *bmx280) Read(out []float64) error {
	r, err := s.read(1, 0xF4)
	if err != nil {
		return err
	}
	if r[0]&0xFC != bmxSleep {
		return errReset // another chip may have been plugged in, with its own calibration
	}
	if err := s.write(0xF4, bmxForced); err != nil {
		return err
	}
	time.Sleep(bmxWait)
	if err := s.idle(0x08); err != nil {
		return err
	}
	n := 6
	if s.humid {
		n = 8
	}
	if r, err = s.read(n, 0xF7); err != nil {
		return err
	}
	return s.compensate(r, out)
}

// compensate fills out from registers 0xF7 and on.
func (s *bmx280) compensate(r []byte, out []float64) error {
	const none = 0x80000 // what an output register holds that was not measured
	rawP := int32(r[0])<<12 | int32(r[1])<<4 | int32(r[2])>>4
	rawT := int32(r[3])<<12 | int32(r[4])<<4 | int32(r[5])>>4
	if rawP == none || rawT == none {
		return errNoData
	}
	celsius, fine := s.cal.temperature(rawT)
	out[0], out[len(out)-1] = celsius, s.cal.pressure(rawP, fine)/100
	if !s.humid {
		return nil
	}
	rawH := int32(r[6])<<8 | int32(r[7])
	if rawH == none>>4 {
		return errNoData
	}
	out[1] = s.cal.humidity(rawH, fine)
	return nil
}

func (s *bmx280) Halt() error { return s.write(0xF4, bmxSleep) }

// calibration280 holds the coefficients of one chip (BME280, p. 24).
type calibration280 struct {
	t1, p1                         uint16
	t2, t3                         int16
	p2, p3, p4, p5, p6, p7, p8, p9 int16
	h1, h3                         uint8
	h2, h4, h5                     int16
	h6                             int8
}

// airFrom takes registers 0x88 to 0xA1.
func (c *calibration280) airFrom(r []byte) {
	u := func(i int) uint16 { return uint16(r[i]) | uint16(r[i+1])<<8 }
	c.t1, c.t2, c.t3 = u(0), int16(u(2)), int16(u(4))
	c.p1, c.p2, c.p3 = u(6), int16(u(8)), int16(u(10))
	c.p4, c.p5, c.p6 = int16(u(12)), int16(u(14)), int16(u(16))
	c.p7, c.p8, c.p9 = int16(u(18)), int16(u(20)), int16(u(22))
	c.h1 = r[25]
}

// humidityFrom takes registers 0xE1 to 0xE7; h4 and h5 share 0xE5, each a
// signed number of 12 bits.
func (c *calibration280) humidityFrom(r []byte) {
	c.h2, c.h3 = int16(uint16(r[0])|uint16(r[1])<<8), r[2]
	c.h4 = int16(int8(r[3]))<<4 | int16(r[4]&0x0F)
	c.h5 = int16(int8(r[5]))<<4 | int16(r[4]>>4)
	c.h6 = int8(r[6])
}

// The formulas in floating point (BME280, p. 49; BMP280, p. 44).

// temperature returns °C, and the fine temperature that the other two need.
func (c *calibration280) temperature(raw int32) (celsius, fine float64) {
	x := float64(raw)/16384 - float64(c.t1)/1024
	y := float64(raw)/131072 - float64(c.t1)/8192
	fine = x*float64(c.t2) + y*y*float64(c.t3)
	return fine / 5120, fine
}

// pressure returns Pa, or NaN when the coefficients cannot be right.
func (c *calibration280) pressure(raw int32, fine float64) float64 {
	x := fine/2 - 64000
	y := x * x * float64(c.p6) / 32768
	y += x * float64(c.p5) * 2
	y = y/4 + float64(c.p4)*65536
	x = (float64(c.p3)*x*x/524288 + float64(c.p2)*x) / 524288
	x = (1 + x/32768) * float64(c.p1)
	if x == 0 {
		return math.NaN()
	}
	p := (1048576 - float64(raw) - y/4096) * 6250 / x
	x = float64(c.p9) * p * p / 2147483648
	y = p * float64(c.p8) / 32768
	return p + (x+y+float64(c.p7))/16
}

// humidity returns % from 0 to 100.
func (c *calibration280) humidity(raw int32, fine float64) float64 {
	x := fine - 76800
	h := float64(raw) - (float64(c.h4)*64 + float64(c.h5)/16384*x)
	h *= float64(c.h2) / 65536 * (1 + float64(c.h6)/67108864*x*(1+float64(c.h3)/67108864*x))
	h *= 1 - float64(c.h1)*h/524288
	return min(max(h, 0), 100)
}
