package chip

import (
	"errors"
	"fmt"
	"math"
	"time"

	"periph.io/x/conn/v3/i2c"
)

func scd4xKind() Kind {
	return Kind{
		Name: "scd4x", Title: "Sensirion SCD40, SCD41", Bus: I2C, Addresses: []uint16{0x62},
		Quantities: []Quantity{
			{Name: "co2", Unit: "ppm", Class: "carbon_dioxide", Resolution: 1, Low: 0, High: 40000},
			temperature(0.01, -10, 60), humidity(0.01),
		},
		Keys:  []string{"altitude"},
		Every: 5 * time.Second, Takes: 20 * time.Millisecond,
		Pins: "SDA SCL 3V3 GND", Datasheet: "Sensirion SCD4x, version 1.3",
		Identify: isSCD4x, Check: checkSCD4x, Open: openSCD4x,
	}
}

// isSCD4x asks whether data is ready, which the chip answers in every mode and
// which changes nothing: for the checksum of the answer (3.8.2).
func isSCD4x(bus i2c.Bus, addr uint16) bool {
	s := scd4x{port: port{bus: bus, addr: addr}}
	_, err := s.number(0xE4, 0xB8)
	return err == nil
}

// scd4x measures every five seconds by itself. The driver is ours: periph's
// blocks the bus for up to eleven seconds, measures its patience by the wall
// clock, which jumps on a Pi, drops the error of a bus, and does not wait
// between a command and its answer, as the chip wants (3.3).
type scd4x struct {
	port
	missed int // readings one after the other that found nothing
}

// checkSCD4x judges the altitude: the chip takes 0 to 3000 m (3.6.3), and below
// the sea is as at the sea.
func checkSCD4x(s Setup) *SetupError {
	if !(s.Altitude >= -500 && s.Altitude <= 3000) {
		return &SetupError{"altitude", "from -500 to 3000"}
	}
	return nil
}

func openSCD4x(w Wiring) (Sensor, error) {
	if err := checkSCD4x(w.Setup); err != nil {
		return nil, err
	}
	s := &scd4x{port: port{bus: w.I2C, addr: w.Address}}
	_ = s.write(0x36, 0xF6) // wake up; never acknowledged (3.10.4)
	time.Sleep(30 * time.Millisecond)
	_ = s.write(0x3F, 0x86) // stop; refused where it does not measure
	time.Sleep(500 * time.Millisecond)
	// Settings of an earlier run, such as an altitude, stay in its RAM until
	// it takes its own again (3.9.5).
	if err := s.write(0x36, 0x46); err != nil {
		return nil, fmt.Errorf("take its own settings: %w", err)
	}
	time.Sleep(30 * time.Millisecond)
	r, err := s.ask(9, time.Millisecond, 0x36, 0x82)
	if err != nil {
		return nil, err
	}
	var serial [3]uint16
	if err := words(r, &serial[0], &serial[1], &serial[2]); err != nil {
		return nil, fmt.Errorf("read the serial number: %w", err)
	}
	if w.Altitude > 0 {
		m := uint16(w.Altitude + 0.5)
		if err := s.write(0x24, 0x27, byte(m>>8), byte(m), crc8(0xFF, byte(m>>8), byte(m))); err != nil {
			return nil, fmt.Errorf("set the altitude: %w", err)
		}
		time.Sleep(time.Millisecond)
	}
	return s, s.write(0x21, 0xB1)
}

// number asks for one word.
func (s *scd4x) number(b ...byte) (uint16, error) {
	r, err := s.ask(3, time.Millisecond, b...)
	if err != nil {
		return 0, err
	}
	var v uint16
	return v, words(r, &v)
}

// Read has no values when the chip, which keeps its own time, is not ready
// yet. Three times in a row is an error.
func (s *scd4x) Read(out []float64) error {
	ready, err := s.number(0xE4, 0xB8)
	if err != nil {
		return err
	}
	if ready&0x07FF == 0 {
		if s.missed++; s.missed > 3 {
			return errNoData
		}
		out[0], out[1], out[2] = math.NaN(), math.NaN(), math.NaN()
		return nil
	}
	r, err := s.ask(9, time.Millisecond, 0xEC, 0x05)
	if err != nil {
		return err
	}
	var co2, t, h uint16
	if err := words(r, &co2, &t, &h); err != nil {
		return err
	}
	if co2 == 0 {
		return errors.New("the chip says that there is no CO2: it needs a stable supply of 200 mA")
	}
	s.missed = 0
	out[0], out[1], out[2] = float64(co2), float64(t)*175/65535-45, float64(h)*100/65535
	return nil
}

// Halt stops measuring, which takes 15 to 18 mA on average.
func (s *scd4x) Halt() error { return s.write(0x3F, 0x86) }
