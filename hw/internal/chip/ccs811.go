package chip

import (
	"fmt"
	"math"
	"time"

	"periph.io/x/conn/v3/i2c"
)

func ccs811Kind() Kind {
	return Kind{
		Name: "ccs811", Title: "ams CCS811", Bus: I2C, Addresses: []uint16{0x5A, 0x5B},
		Quantities: []Quantity{eco2(29206), tvoc(32768)},
		Every:      time.Second, Takes: 20 * time.Millisecond,
		Note: "Stretches the clock, which the controller of Pis before the Pi 5 gets wrong: dtparam=i2c_arm_baudrate=10000, or a bus of dtoverlay=i2c-gpio. Wants 48 hours when new and 20 minutes after each start; its baseline is not kept. A VOC sensor: its CO2 is a guess from them.",
		Pins: "SDA SCL 3V3 GND, WAKE to GND; ADDR to 3V3 for 0x5B", Datasheet: "ams CCS811, v1-06 (February 2019)",
		Identify: isCCS811, Open: openCCS811,
	}
}

// isCCS811 compares HW_ID.
func isCCS811(bus i2c.Bus, addr uint16) bool { return holds(bus, addr, 0x20, 0xFF, 0x81) }

// ccs811 measures every second by itself. The driver is ours: periph's neither
// waits between starting the firmware and setting the mode nor looks whether
// either has worked, and masks what is out of range into the range.
type ccs811 struct {
	port
	missed int // readings one after the other that found nothing
}

// Bits of STATUS (p. 18).
const (
	ccs811Error   = 0x01
	ccs811Ready   = 0x08
	ccs811Valid   = 0x10
	ccs811Running = 0x80
)

func openCCS811(w Wiring) (Sensor, error) {
	bus := &tap{Bus: w.I2C}
	if !isCCS811(bus, w.Address) {
		return nil, bus.cause(errKind)
	}
	s := &ccs811{port: port{bus: w.I2C, addr: w.Address}}
	if err := s.write(0xFF, 0x11, 0xE5, 0x72, 0x8A); err != nil {
		return nil, fmt.Errorf("reset: %w", err)
	}
	time.Sleep(20 * time.Millisecond) // 2 ms after a reset, 20 ms after power on
	if err := s.status(ccs811Valid, "no firmware in the chip"); err != nil {
		return nil, err
	}
	if err := s.write(0xF4); err != nil {
		return nil, fmt.Errorf("start the firmware: %w", err)
	}
	time.Sleep(2 * time.Millisecond)
	if err := s.status(ccs811Running, "the firmware does not start"); err != nil {
		return nil, err
	}
	return s, s.write(0x01, 0x10) // a measurement every second
}

func (s *ccs811) status(bit byte, without string) error {
	r, err := s.read(1, 0x00)
	if err != nil {
		return err
	}
	if r[0]&bit == 0 {
		return fmt.Errorf("%s (status 0x%02x)", without, r[0])
	}
	return nil
}

// Read has no values until the chip has a new measurement. Five times in a
// row is an error.
func (s *ccs811) Read(out []float64) error {
	r, err := s.read(5, 0x02)
	if err != nil {
		return err
	}
	switch status := r[4]; {
	case status&ccs811Error != 0:
		// Only this read clears the error; its copy after the result does not (p. 18).
		if r, err = s.read(1, 0xE0); err != nil {
			return err
		}
		return ccs811Cause(r[0])
	case status&ccs811Running == 0:
		return errReset
	case status&ccs811Ready == 0:
		if s.missed++; s.missed > 5 {
			return errNoData
		}
		out[0], out[1] = math.NaN(), math.NaN()
		return nil
	}
	s.missed = 0
	out[0], out[1] = float64(uint16(r[0])<<8|uint16(r[1])), float64(uint16(r[2])<<8|uint16(r[3]))
	if out[0] == 0 { // the first measurements after the start
		out[0], out[1] = math.NaN(), math.NaN()
	}
	return nil
}

// ccs811Cause says in words what ERROR_ID means.
func ccs811Cause(id byte) error {
	for bit, cause := range [...]string{
		"a write to a wrong register", "a read of a wrong register", "a wrong mode",
		"the sensor's resistance is beyond its range", "the heater's current is out of range", "the heater has no supply",
	} {
		if id&(1<<bit) != 0 {
			return fmt.Errorf("the chip reports an error: %s", cause)
		}
	}
	return fmt.Errorf("the chip reports error 0x%02x", id)
}

// Halt stops the heater.
func (s *ccs811) Halt() error { return s.write(0x01, 0x00) }
