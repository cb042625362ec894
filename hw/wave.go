package hw

import (
	"math"
	"time"
)

// Wave is the stated shape of a simulated reading over time. Every wave starts
// at its low value.
type Wave string

const (
	Constant Wave = "constant" // low, always
	Sine     Wave = "sine"     // low, high after half a period, low again
	Triangle Wave = "triangle" // the same in straight lines
	Square   Wave = "square"   // low for half a period, high for the other half
)

func (w Wave) known() bool {
	return w == Constant || w == Sine || w == Triangle || w == Square
}

// At returns the value of the wave between low and high when it has run for
// elapsed; period is the length of one wave and positive.
func (w Wave) At(elapsed, period time.Duration, low, high float64) float64 {
	phase := float64(elapsed%period) / float64(period)
	if phase < 0 {
		phase++
	}
	share := 0.0 // of the way from low to high
	switch w {
	case Sine:
		share = (1 - math.Cos(2*math.Pi*phase)) / 2
	case Triangle:
		share = 1 - math.Abs(2*phase-1)
	case Square:
		share = math.Floor(2 * phase)
	}
	return low + share*(high-low)
}
