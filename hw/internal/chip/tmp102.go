package chip

import (
	"time"

	"periph.io/x/conn/v3/physic"
	"periph.io/x/devices/v3/tmp102"
)

func tmp102Kind() Kind {
	return Kind{
		Name: "tmp102", Title: "Texas Instruments TMP102", Bus: I2C, Addresses: []uint16{0x48, 0x49, 0x4A, 0x4B},
		Quantities: []Quantity{temperature(0.0625, -40, 125)},
		Every:      250 * time.Millisecond, // it measures four times a second
		Takes:      20 * time.Millisecond,
		Pins:       "SDA SCL 3V3 GND; ADD0 to 3V3, SDA or SCL for 0x49, 0x4A, 0x4B", Datasheet: "TI SBOS397H",
		Open: openTMP102,
	}
}

// The configuration register: as after power-up, and shut down. 12
// bits, since periph's driver reads 13 as if they were 12.
const (
	tmp102Config   = 0x01
	tmp102Normal   = 0x60
	tmp102Shutdown = 0x61
	tmp102Low      = 0xA0 // four times a second, 12 bits
)

// tmp102Chip measures all the time. periph's driver drops the error of reading
// the configuration, and its Halt leaves the chip on.
type tmp102Chip struct {
	port
	dev *tmp102.Dev
	bus *tap
	env physic.Env
}

func openTMP102(w Wiring) (Sensor, error) {
	bus := &tap{Bus: w.I2C}
	s := &tmp102Chip{port: port{bus: bus, addr: w.Address}, bus: bus}
	if err := s.write(tmp102Config, tmp102Normal, tmp102Low); err != nil {
		return nil, err
	}
	dev, err := tmp102.NewI2C(bus, w.Address, nil)
	if err = bus.cause(err); err != nil {
		return nil, err
	}
	s.dev = dev
	time.Sleep(40 * time.Millisecond) // the first conversion takes 35 ms; until then it says 0 °C
	return s, nil
}

func (s *tmp102Chip) Read(out []float64) error {
	if err := s.dev.Sense(&s.env); err != nil {
		return s.bus.cause(err)
	}
	out[0] = s.env.Temperature.Celsius()
	return nil
}

func (s *tmp102Chip) Halt() error { return s.write(tmp102Config, tmp102Shutdown, tmp102Low) }
