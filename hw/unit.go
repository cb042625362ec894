package hw

import "strings"

// A unitChange turns a value of one unit into another: to = from*scale + offset.
// The units are spelt as in Home Assistant.
type unitChange struct {
	from, to      string
	scale, offset float64
}

var unitChanges = []unitChange{
	{"°C", "°F", 1.8, 32},
	{"°C", "K", 1, 273.15},
	{"hPa", "Pa", 100, 0},
	{"hPa", "kPa", 0.1, 0},
	{"hPa", "mbar", 1, 0},
	{"hPa", "bar", 0.001, 0},
	{"hPa", "mmHg", 1 / 1.33322387415, 0},  // NIST SP 811, appendix B.8: conventional millimetre of mercury
	{"hPa", "inHg", 1 / 33.86388666667, 0}, // inch of mercury at 0 °C, 25.4 of them
	{"hPa", "psi", 1 / 68.94757293, 0},
	{"V", "mV", 1000, 0},
	{"A", "mA", 1000, 0},
	{"W", "mW", 1000, 0},
	{"W", "kW", 0.001, 0},
	{"kg", "g", 1000, 0},
	{"kg", "lb", 1 / 0.45359237, 0},
	{"kg", "oz", 1 / 0.028349523125, 0},
	{"counts", "kg", 1, 0}, // of a load cell: its owner's calibration makes them a weight
	{"counts", "g", 1, 0},
}

// conversion returns how to turn one unit into another; "" stands for no
// change.
func conversion(from, to string) (scale, offset float64, ok bool) {
	if to == "" || to == from {
		return 1, 0, true
	}
	for _, u := range unitChanges {
		if u.from == from && u.to == to {
			return u.scale, u.offset, true
		}
	}
	return 0, 0, false
}

// unitRule names the units that one can be turned into.
func unitRule(from string) string {
	all := []string{`"` + from + `"`}
	for _, u := range unitChanges {
		if u.from == from {
			all = append(all, `"`+u.to+`"`)
		}
	}
	if len(all) == 1 {
		return all[0]
	}
	return "one of " + strings.Join(all, ", ")
}
