package hw

import (
	"math"
	"time"

	"tidegate/hw/internal/chip"
)

const simulatedKind = "simulated"

// simulatedUnits are the units that a simulated sensor may have.
var simulatedUnits = []string{"°C", "%", "hPa"}

// simulated is a sensor without hardware.
type simulated struct {
	c     SensorConfig
	start time.Time
}

// simulatedAs is the kind of a simulated sensor with its defaults filled in.
func simulatedAs(c SensorConfig) chip.Kind {
	class := map[string]string{"°C": "temperature", "%": "humidity", "hPa": "pressure"}[c.Unit]
	return chip.Kind{
		Name: simulatedKind, Title: "a stated waveform", Bus: simulatedKind,
		Quantities: []chip.Quantity{{Name: "value", Unit: c.Unit, Class: class, Low: math.Inf(-1), High: math.Inf(1)}},
		Open: func(chip.Wiring) (chip.Sensor, error) {
			return &simulated{c: c, start: time.Now()}, nil
		},
	}
}

func (s *simulated) Read(out []float64) error {
	out[0] = s.c.Wave.At(time.Since(s.start), s.c.Period.Std(), s.c.Low, s.c.High)
	return nil
}

func (s *simulated) Halt() error { return nil }
