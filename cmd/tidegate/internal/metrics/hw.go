package metrics

import "tidegate/hw"

var states = []string{string(hw.Starting), string(hw.Online), string(hw.Offline)}

func (w *writer) hw(s hw.Stats) {
	gauge(w, "sensors", "Sensors that are configured.", s.Sensors)
	for _, x := range s.Sensor {
		info(w, "sensor_info", "What a sensor is, and on which bus.", "sensor", x.Name, "kind", x.Kind, "bus", x.Bus)
		oneOf(w, "sensor_state", "1 for the state that a sensor is in.", "state", string(x.State), states, "sensor", x.Name)
		counter(w, "sensor_readings_total", "Readings.", x.Readings, "sensor", x.Name)
		counter(w, "sensor_errors_total", "Readings that a sensor could not give.", x.Errors, "sensor", x.Name)
	}
	for _, x := range s.Input {
		w.line(x, "input")
	}
	for _, x := range s.Actuator {
		w.line(x, "actuator")
	}
}

func (w *writer) line(x hw.LineStats, role string) {
	labels := []string{"role", role, "name", x.Name}
	info(w, "line_info", "What an input or actuator is, and to which line it is wired.", append(labels[:4:4], "kind", x.Kind, "line", x.Line)...)
	oneOf(w, "line_state", "1 for the state that the line of an input or actuator is in.", "state", string(x.State), states, labels...)
	counter(w, "line_changes_total", "Changes of an input or actuator: of its state, clicks of a button, pulses of a meter.", x.Changes, labels...)
	counter(w, "line_late_pulses_total", "Pulses that came faster than they were read; they are counted.", x.Late, labels...)
	counter(w, "line_commands_total", "Commands.", x.Commands, labels...)
	counter(w, "line_refused_commands_total", "Commands that were refused.", x.Refused, labels...)
	counter(w, "line_errors_total", "Errors of the line, or of the file of a meter.", x.Errors, labels...)
}
