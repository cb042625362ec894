package hw

import (
	"slices"

	"tidegate/hw/internal/chip"
)

// Buses returns which kinds of buses c needs the machine to have, in order:
// "1-wire", "gpio", "i2c", "spi".
func (c Config) Buses() []string {
	var all []string
	need := func(b chip.Bus) {
		if b != "" && b != chip.Board && !slices.Contains(all, string(b)) {
			all = append(all, string(b))
		}
	}
	for _, s := range c.Sensor {
		if k, known := chip.Find(s.Kind); known {
			need(k.Bus)
		}
	}
	lines := len(c.Input) > 0 || slices.ContainsFunc(c.Actuator, func(a ActuatorConfig) bool { return a.Line != "" })
	if lines {
		need(chip.Lines)
	}
	slices.Sort(all)
	return all
}
