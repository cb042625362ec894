package chip

import (
	"time"

	"periph.io/x/conn/v3/physic"
	"periph.io/x/devices/v3/aht20"
)

func aht20Kind() Kind {
	return Kind{
		Name: "aht20", Title: "Aosong AHT20, AHT21, AHT25", Bus: I2C, Addresses: []uint16{0x38},
		Quantities: []Quantity{temperature(0.01, -40, 85), humidity(0.024)},
		Every:      2 * time.Second, // below that it warms itself (5.3)
		Takes:      250 * time.Millisecond,
		Pins:       "SDA SCL 3V3 GND", Datasheet: "Aosong AHT20, version 1.1",
		Open: openAHT20,
	}
}

// aht20Chip measures when it is read. periph's driver checks the checksum,
// bounds its waiting, and tells a chip that lost its calibration.
type aht20Chip struct {
	*aht20.Dev
	bus *tap
	env physic.Env
}

func openAHT20(w Wiring) (Sensor, error) {
	bus := &tap{Bus: w.I2C}
	dev, err := aht20.NewI2C(bus, nil)
	if err != nil {
		return nil, bus.cause(err)
	}
	return &aht20Chip{Dev: dev, bus: bus}, nil
}

func (s *aht20Chip) Read(out []float64) error {
	if err := s.Sense(&s.env); err != nil {
		return s.bus.cause(err)
	}
	out[0], out[1] = s.env.Temperature.Celsius(), percent(s.env.Humidity)
	return nil
}

func percent(h physic.RelativeHumidity) float64 { return float64(h) / float64(physic.PercentRH) }
