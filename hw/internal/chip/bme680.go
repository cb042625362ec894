package chip

import (
	"fmt"
	"math"
	"time"
)

// isBME680 is the identity of a BME680, and of a BME688, which differs in its
// gas sensor only.
const isBME680 = 0x61

// bme680Kind is the Bosch BME680 (BST-BME680-DS001, revision 1.9). Its gas
// sensor stays off: it heats the chip to 320 °C for a resistance that means
// something only to the maker's own closed library, and what people see of it
// is a temperature that is too high by a degree or more.
func bme680Kind() Kind {
	return Kind{
		Name: "bme680", Title: "Bosch BME680, BME688", Bus: I2C, Addresses: []uint16{0x76, 0x77},
		Quantities: []Quantity{temperature(0.01, -40, 85), humidity(0.01), pressure(0.01, 300, 1100)},
		Every:      time.Second, Takes: 60 * time.Millisecond,
		Pins: "SDA SCL 3V3 GND; SDO to 3V3 for 0x77", Datasheet: "BST-BME680-DS001, revision 1.9",
		Identify: boschIs(isBME680), Open: openBME680,
	}
}

// How it measures (5.3.1): humidity twice, temperature eight times, pressure
// four times. The maker's driver counts 1.963 ms for each of them and 5 ms
// besides, so 33 ms.
const (
	bme680Humidity = 2           // ctrl_hum
	bme680Sleep    = 4<<5 | 3<<2 // ctrl_meas
	bme680Forced   = bme680Sleep | 1
	bme680Takes    = 33 * time.Millisecond
)

// bme680 measures when it is read and sleeps between.
type bme680 struct {
	port
	cal calibration680
}

func openBME680(w Wiring) (Sensor, error) {
	d := &bme680{port: port{bus: w.I2C, addr: w.Address}}
	if err := d.expect(isBME680); err != nil {
		return nil, err
	}
	// The reset also switches off gas sensor and filter (5.3.1.2, 5.3.2, 5.3.4).
	if err := d.write(0xE0, 0xB6); err != nil {
		return nil, fmt.Errorf("reset: %w", err)
	}
	time.Sleep(10 * time.Millisecond)
	if err := d.calibrate(); err != nil {
		return nil, fmt.Errorf("read calibration: %w", err)
	}
	// ctrl_hum counts from the next write of ctrl_meas (5.3.1.1).
	if err := d.write(0x72, bme680Humidity); err != nil {
		return nil, err
	}
	return d, d.Halt()
}

func (d *bme680) calibrate() error {
	r, err := d.read(23, 0x8A)
	if err != nil {
		return err
	}
	d.cal.airFrom(r)
	if r, err = d.read(10, 0xE1); err != nil {
		return err
	}
	d.cal.humidityFrom(r)
	if c := d.cal; c.t1 == 0 || c.t1 == 0xFFFF || c.p1 == 0 || c.p1 == 0xFFFF {
		return errNoData
	}
	return nil
}

func (d *bme680) Read(out []float64) error {
	r, err := d.read(1, 0x74)
	if err != nil {
		return err
	}
	if r[0] != bme680Sleep {
		return errReset // or another chip was plugged in, with its own calibration
	}
	if err := d.write(0x74, bme680Forced); err != nil {
		return err
	}
	time.Sleep(bme680Takes)
	if r, err = d.fresh(); err != nil {
		return err
	}
	return d.cal.compensate(r, out)
}

func (d *bme680) Halt() error { return d.write(0x74, bme680Sleep) }

// fresh reads status and data of a measurement that has ended (5.3.3, 5.3.5).
func (d *bme680) fresh() ([]byte, error) {
	const newData, measuring = 1 << 7, 1 << 5
	for range 5 {
		r, err := d.read(10, 0x1D)
		if err != nil {
			return nil, err
		}
		if r[0]&(newData|measuring) == newData {
			return r, nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return nil, errBusy
}

// calibration680 holds the coefficients of one chip.
type calibration680 struct {
	t1, p1, h1, h2         uint16
	t2, p2, p4, p5, p8, p9 int16
	t3, p3, p6, p7         int8
	p10, h6                uint8
	h3, h4, h5, h7         int8
}

// airFrom takes registers 0x8A to 0xA0.
func (c *calibration680) airFrom(r []byte) {
	u := func(i int) uint16 { return uint16(r[i]) | uint16(r[i+1])<<8 }
	c.t2, c.t3 = int16(u(0)), int8(r[2])
	c.p1, c.p2, c.p3 = u(4), int16(u(6)), int8(r[8])
	c.p4, c.p5 = int16(u(10)), int16(u(12))
	c.p7, c.p6 = int8(r[14]), int8(r[15]) // in this order
	c.p8, c.p9, c.p10 = int16(u(18)), int16(u(20)), r[22]
}

// humidityFrom takes registers 0xE1 to 0xEA; h1 and h2 share 0xE2, and t1 is
// here as well.
func (c *calibration680) humidityFrom(r []byte) {
	c.h2 = uint16(r[0])<<4 | uint16(r[1])>>4
	c.h1 = uint16(r[2])<<4 | uint16(r[1]&0x0F)
	c.h3, c.h4, c.h5, c.h6, c.h7 = int8(r[3]), int8(r[4]), int8(r[5]), r[6], int8(r[7])
	c.t1 = uint16(r[8]) | uint16(r[9])<<8
}

// compensate fills out from registers 0x1D to 0x26.
func (c *calibration680) compensate(r []byte, out []float64) error {
	const none = 0x80000 // what an output register holds that was not measured
	rawP := int32(r[2])<<12 | int32(r[3])<<4 | int32(r[4])>>4
	rawT := int32(r[5])<<12 | int32(r[6])<<4 | int32(r[7])>>4
	rawH := int32(r[8])<<8 | int32(r[9])
	if rawP == none || rawT == none || rawH == none>>4 {
		return errNoData
	}
	fine := c.fine(rawT)
	out[0] = fine / 5120
	out[1] = c.humidity(rawH, out[0])
	out[2] = c.pressure(rawP, fine) / 100
	return nil
}

// The formulas in floating point (3.3).

// fine returns the temperature in 1/5120 °C, which the pressure needs.
func (c *calibration680) fine(raw int32) float64 {
	x := float64(raw)/16384 - float64(c.t1)/1024
	return x*float64(c.t2) + x*x/64*16*float64(c.t3)
}

// pressure returns Pa, or NaN when the coefficients cannot be right.
func (c *calibration680) pressure(raw int32, fine float64) float64 {
	x := fine/2 - 64000
	y := x * x * float64(c.p6) / 131072
	y = (y+x*float64(c.p5)*2)/4 + float64(c.p4)*65536
	z := (float64(c.p3)*x*x/16384 + float64(c.p2)*x) / 524288
	z = (1 + z/32768) * float64(c.p1)
	if z == 0 {
		return math.NaN()
	}
	p := (1048576 - float64(raw) - y/4096) * 6250 / z
	square := float64(c.p9) * p * p / (1 << 31)
	linear := p * float64(c.p8) / 32768
	cubic := p / 256 * p / 256 * p / 256 * float64(c.p10) / 131072
	return p + (square+linear+cubic+float64(c.p7)*128)/16
}

// humidity returns % from 0 to 100.
func (c *calibration680) humidity(raw int32, celsius float64) float64 {
	x := float64(raw) - (float64(c.h1)*16 + float64(c.h3)/2*celsius)
	x *= float64(c.h2) / 262144 * (1 + float64(c.h4)/16384*celsius + float64(c.h5)/1048576*celsius*celsius)
	return clip(x + (float64(c.h6)/16384+float64(c.h7)/2097152*celsius)*x*x)
}
