package hw

import (
	"math"
	"slices"

	"tidegate/hw/internal/chip"
)

// measure is how one quantity of a sensor is published.
type measure struct {
	chip.Quantity         // as the chip gives it
	unit          string  // as published
	topic         string  // the same for all with JSON
	scale, offset float64 // published = value*scale + offset, conversion and calibration in one
	decimals      int     // digits after the point
	step          float64 // 10^decimals
	change        float64 // the dead band, as published; 0 for none
}

// measuresOf joins what a kind measures with what is configured of it.
func measuresOf(c SensorConfig, k chip.Kind) []measure {
	all := make([]measure, len(k.Quantities))
	var steps []float64
	if k.Steps != nil {
		steps = k.Steps(c.setup())
	}
	for i, q := range k.Quantities {
		if steps != nil {
			q.Resolution = steps[i]
		}
		var said QuantityConfig
		if at := slices.IndexFunc(c.Quantity, func(s QuantityConfig) bool { return s.Name == q.Name }); at >= 0 {
			said = c.Quantity[at]
		}
		all[i] = measureOf(c, q, said)
	}
	return all
}

func measureOf(c SensorConfig, q chip.Quantity, said QuantityConfig) measure {
	m := measure{Quantity: q, unit: q.Unit, topic: c.topicOf(q.Name), change: said.Change}
	if said.Unit != "" {
		m.unit = said.Unit
	}
	m.scale, m.offset, _ = conversion(q.Unit, said.Unit)
	if said.Scale != 0 {
		m.scale, m.offset = m.scale*said.Scale, m.offset*said.Scale
	}
	m.offset += said.Offset
	switch {
	case said.Decimals != nil:
		m.decimals = *said.Decimals
	case c.Decimals != nil:
		m.decimals = *c.Decimals
	default:
		m.decimals = decimalsOf(q.Resolution * math.Abs(m.scale))
	}
	m.step = math.Pow10(m.decimals)
	return m
}

// decimalsOf is how many digits after the point a resolution is worth: 0.01
// gives 2, 0.0625 gives 2, 5 gives 0.
func decimalsOf(resolution float64) int {
	if resolution <= 0 {
		return 3
	}
	return min(max(int(math.Ceil(-math.Log10(resolution)-1e-9)), 0), mostDecimals)
}

// published turns a value of the chip into the number that is published. Zero
// has no sign.
func (m *measure) published(raw float64) float64 {
	return math.Round((raw*m.scale+m.offset)*m.step)/m.step + 0
}

// moved says whether a dead band is left between two published numbers. A
// value that comes or goes has moved.
func (m *measure) moved(was, is float64) bool {
	if math.IsNaN(was) || math.IsNaN(is) {
		return math.IsNaN(was) != math.IsNaN(is)
	}
	return math.Abs(is-was) >= m.change*(1-1e-9)
}
