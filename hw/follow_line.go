package hw

import (
	"reflect"

	"tidegate/hw/internal/line"
)

// Follow makes h go on where old stops, before old is stopped and h runs. What
// has the same configuration in both stays as it is, with its line open: a
// relay does not fall, its times go on, and no pulse is missed; sensors
// likewise.
func (h *Hardware) Follow(old *Hardware) {
	h.followSensors(old)
	for _, p := range h.parts {
		for _, was := range old.parts {
			switch p := p.(type) {
			case *actuator:
				if was, ok := was.(*actuator); ok && p.ActuatorConfig == was.ActuatorConfig {
					p.from, p.commands = make(chan estate, 1), was.commands
					was.heir = p.from
				}
			case *input:
				if was, ok := was.(*input); ok && reflect.DeepEqual(p.InputConfig, was.InputConfig) {
					p.from = make(chan *line.Input, 1)
					was.heir = p.from
					was.stays.Store(true)
				}
			case *meter:
				if was, ok := was.(*meter); ok && reflect.DeepEqual(p.InputConfig, was.InputConfig) {
					p.from = make(chan reckoning, 1)
					was.heir = p.from
					was.stays.Store(true)
				}
			}
		}
	}
}
