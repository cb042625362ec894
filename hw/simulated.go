package hw

import (
	"math"
	"time"

	"periph.io/x/conn/v3/physic"
)

const simulatedKind = "simulated"

// simulated is a sensor without hardware.
type simulated struct {
	c     SensorConfig
	unit  *unit
	start time.Time
}

func newSimulated(c SensorConfig) *simulated {
	return &simulated{c: c, unit: units[c.Unit], start: time.Now()}
}

func (s *simulated) Sense(env *physic.Env) error {
	s.unit.write(env, s.c.Wave.At(time.Since(s.start), s.c.Period.Std(), s.c.Low, s.c.High))
	return nil
}

func (s *simulated) Halt() error { return nil }

// unit moves a number between a payload and the field of physic.Env that has
// this quantity.
type unit struct {
	read  func(*physic.Env) float64
	write func(*physic.Env, float64)
}

var units = map[string]*unit{
	"°C": {
		read: func(e *physic.Env) float64 { return e.Temperature.Celsius() },
		write: func(e *physic.Env, v float64) {
			e.Temperature = physic.ZeroCelsius + physic.Temperature(math.Round(v*float64(physic.Celsius)))
		},
	},
	"%": {
		read: func(e *physic.Env) float64 { return float64(e.Humidity) / float64(physic.PercentRH) },
		write: func(e *physic.Env, v float64) {
			e.Humidity = physic.RelativeHumidity(math.Round(v * float64(physic.PercentRH)))
		},
	},
	"hPa": {
		read: func(e *physic.Env) float64 { return float64(e.Pressure) / float64(100*physic.Pascal) },
		write: func(e *physic.Env, v float64) {
			e.Pressure = physic.Pressure(math.Round(v * float64(100*physic.Pascal)))
		},
	},
}
