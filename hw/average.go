package hw

import (
	"math"
	"slices"
)

// Average is what becomes of the samples of an interval.
type Average string

const (
	NoAverage Average = "none"   // the last one
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
	average Average
	samples [][]float64
}

// newWindow has room for n samples of each quantity, without an average for
// the last one.
func newWindow(a Average, quantities, n int) *window {
	w := &window{average: a, samples: make([][]float64, quantities)}
	if a == NoAverage {
		n = 1
	}
	for i := range w.samples {
		w.samples[i] = make([]float64, 0, n)
	}
	return w
}

// add takes one sample of each quantity; NaN is none. The schedule does not let
// more come than there is room for.
func (w *window) add(values []float64) {
	for i, v := range values {
		s := w.samples[i]
		if w.average == NoAverage {
			s = s[:0]
		}
		if !math.IsNaN(v) && len(s) < cap(s) {
			w.samples[i] = append(s, v)
		}
	}
}

// end fills out with the averages and begins a new interval.
func (w *window) end(out []float64) {
	for i, s := range w.samples {
		out[i] = w.average.of(s)
		w.samples[i] = s[:0]
	}
}

func (w *window) clear() {
	for i, s := range w.samples {
		w.samples[i] = s[:0]
	}
}
