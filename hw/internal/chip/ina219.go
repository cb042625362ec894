package chip

import (
	"math"
	"time"

	"periph.io/x/conn/v3/physic"
	"periph.io/x/devices/v3/ina219"
)

func ina219Kind() Kind {
	addresses := make([]uint16, 16)
	for i := range addresses {
		addresses[i] = 0x40 + uint16(i) // table 1
	}
	return Kind{
		Name: "ina219", Title: "TI INA219", Bus: I2C, Addresses: addresses,
		Quantities: []Quantity{voltage(0.004, 0, 32), current(0.0001, -32000, 32000), power(0.001, -1024000, 1024000)},
		Keys:       []string{"shunt"},
		Every:      ina219Conversion, Takes: 20 * time.Millisecond,
		Pins: "SDA SCL 3V3 GND; shunt (boards have 0.1 Ω, the default) between VIN+ and VIN-", Datasheet: "TI SBOS448G",
		Steps: shuntSteps(0.004, 10e-6), Check: checkShunt, Open: openINA219,
	}
}

// The configuration (8.6.2.1): 32 V, 320 mV over the shunt, the average of 128
// conversions of each; and powered down.
const (
	ina219Config     = 0x3FFF
	ina219Sleep      = ina219Config &^ 7
	ina219Conversion = 140 * time.Millisecond // two of 68.1 ms
)

// ina219Chip measures all the time. Current and power are computed from the
// voltage over the shunt and not taken from the chip, which reckons them with
// a calibration that it loses with its power: then they are 0, and no error.
// periph's driver sets a range of 16 V, beyond which 16 V is what is read.
type ina219Chip struct {
	port
	dev   *ina219.Dev
	bus   *tap
	shunt float64 // ohm
}

func openINA219(w Wiring) (Sensor, error) {
	if err := checkShunt(w.Setup); err != nil {
		return nil, err
	}
	ohm := shuntOf(w.Setup)
	bus := &tap{Bus: w.I2C}
	dev, err := ina219.New(bus, &ina219.Opts{
		Address:       int(w.Address),
		SenseResistor: physic.ElectricResistance(math.Round(ohm * float64(physic.Ohm))),
		MaxCurrent:    physic.ElectricCurrent(0.32 / ohm * float64(physic.Ampere)), // whatever the shunt's input can measure
	})
	if err != nil {
		return nil, bus.cause(err)
	}
	s := &ina219Chip{port: port{bus: bus, addr: w.Address}, dev: dev, bus: bus, shunt: ohm}
	if err := s.write(0, ina219Config>>8, ina219Config&0xFF); err != nil {
		return nil, err
	}
	time.Sleep(ina219Conversion)
	return s, nil
}

func (s *ina219Chip) Read(out []float64) error {
	m, err := s.dev.Sense()
	if err != nil {
		return s.bus.cause(err)
	}
	if m.Shunt >= 320*physic.MilliVolt || m.Shunt <= -320*physic.MilliVolt {
		return errBeyond
	}
	out[0] = float64(m.Voltage) / float64(physic.Volt)
	out[1] = float64(m.Shunt) / float64(physic.Volt) / s.shunt
	out[2] = out[0] * out[1]
	return nil
}

func (s *ina219Chip) Halt() error { return s.write(0, ina219Sleep>>8, ina219Sleep&0xFF) }
