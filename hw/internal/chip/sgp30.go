package chip

import (
	"fmt"
	"math"
	"time"
)

func sgp30Kind() Kind {
	return Kind{
		Name: "sgp30", Title: "Sensirion SGP30", Bus: I2C, Addresses: []uint16{0x58},
		Quantities: []Quantity{eco2(60000), tvoc(60000)},
		Every:      time.Second, Steady: true, Takes: 20 * time.Millisecond,
		Note: "Reads every second, whatever is published. Silent for 15 seconds, and learns its baseline anew in about 12 hours, after each start: the baseline is not kept. A VOC sensor: its CO2 is a guess from them.",
		Pins: "SDA SCL 3V3 GND (the bare chip: 1V8)", Datasheet: "Sensirion SGP30, version 1.0",
		Open: openSGP30, // no Identify: its question would turn a servo on a PCA9685 (register 0x20)
	}
}

// sgp30 measures when it is read, once a second. The driver is ours: periph's
// checks no checksum, sleeps for 20 seconds when it is opened, reads in a
// goroutine that keeps the bus busy behind its owner's back, and logs errors
// instead of returning them, so that the last good values stay for ever.
type sgp30 struct {
	port
	warming int // readings left that are 400 and 0 whatever the air
}

func openSGP30(w Wiring) (Sensor, error) {
	s := &sgp30{port: port{bus: w.I2C, addr: w.Address}, warming: 15}
	if err := s.identify(); err != nil {
		return nil, err
	}
	if err := s.write(0x20, 0x03); err != nil {
		return nil, fmt.Errorf("start measuring: %w", err)
	}
	time.Sleep(10 * time.Millisecond)
	return s, nil
}

// identify reads the feature set, whose first four bits are the product, with
// its checksum (p. 10).
func (s *sgp30) identify() error {
	r, err := s.ask(3, 10*time.Millisecond, 0x20, 0x2F)
	if err != nil {
		return err
	}
	var features uint16
	if err := words(r, &features); err != nil {
		return err
	}
	if features>>12 != 0 {
		return errKind
	}
	return nil
}

func (s *sgp30) Read(out []float64) error {
	r, err := s.ask(6, 12*time.Millisecond, 0x20, 0x08)
	if err != nil {
		return err
	}
	var co2, voc uint16
	if err := words(r, &co2, &voc); err != nil {
		return err
	}
	out[0], out[1] = float64(co2), float64(voc)
	if s.warming > 0 {
		s.warming--
		out[0], out[1] = math.NaN(), math.NaN()
	}
	return nil
}

// Halt has nothing to do: the one way to the chip's sleep is the general call,
// which resets other chips on the bus too.
func (s *sgp30) Halt() error { return nil }
