package hw

import (
	"math"
	"slices"
)

// Average is what becomes of the samples of an interval.
type Average string

const (
	NoAverage Average = "none"   // every reading counts by itself
	Mean      Average = "mean"   // the sum by the number
	Median    Average = "median" // the one in the middle; a single wrong one does not show
)

func (a Average) known() bool { return a == NoAverage || a == Mean || a == Median }

// of returns the average of samples, whose order it may change; NaN of none.
func (a Average) of(samples []float64) float64 {
	n := len(samples)
	switch {
	case n == 0:
		return math.NaN()
	case a == Median:
		slices.Sort(samples)
		return (samples[(n-1)/2] + samples[n/2]) / 2
	case a == Mean:
		sum := 0.0
		for _, v := range samples {
			sum += v
		}
		return sum / float64(n)
	}
	return samples[n-1]
}

// window holds the samples of one interval, by quantity.
type window struct {
	samples [][]float64
}

// newWindow has room for n samples of each quantity.
func newWindow(quantities, n int) *window {
	w := &window{samples: make([][]float64, quantities)}
	for i := range w.samples {
		w.samples[i] = make([]float64, 0, n)
	}
	return w
}

// add takes one sample of each quantity; NaN is none. Beyond its room the
// oldest would have to go, which the schedule does not let happen.
func (w *window) add(values []float64) {
	for i, v := range values {
		if s := w.samples[i]; !math.IsNaN(v) && len(s) < cap(s) {
			w.samples[i] = append(s, v)
		}
	}
}

// end fills out with the averages and begins a new interval.
func (w *window) end(a Average, out []float64) {
	for i, s := range w.samples {
		out[i] = a.of(s)
		w.samples[i] = s[:0]
	}
}

func (w *window) clear() {
	for i, s := range w.samples {
		w.samples[i] = s[:0]
	}
}
