package chip

import "cmp"

// shuntOf is the resistor in ohm that a chip measures a current with.
func shuntOf(s Setup) float64 { return cmp.Or(s.Shunt, 0.1) }

func checkShunt(s Setup) *SetupError {
	if ohm := shuntOf(s); !(ohm >= 1e-5 && ohm <= 10) {
		return &SetupError{"shunt", "from 0.00001 to 10 Ω"}
	}
	return nil
}

// shuntSteps are the resolutions of voltage, current and power with a chip that
// tells so many volt over the shunt apart; of the power about those at 10 V.
func shuntSteps(volt, overShunt float64) func(Setup) []float64 {
	return func(s Setup) []float64 {
		ampere := overShunt / shuntOf(s)
		return []float64{volt, ampere, 10 * ampere}
	}
}
