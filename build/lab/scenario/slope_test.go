package scenario

import (
	"math"
	"testing"
)

func TestSlope(t *testing.T) {
	tests := []struct {
		name   string
		x, y   []float64
		b, err float64
	}{
		{"a line", []float64{1, 2, 3, 4}, []float64{3, 5, 7, 9}, 2, 0},
		{"flat", []float64{1, 2, 3}, []float64{5, 5, 5}, 0, 0},
		// By hand: Sxx is 5, Sxy 1, the squared rests together 0.8.
		{"with noise", []float64{0, 1, 2, 3}, []float64{0, 1, 0, 1}, 0.2, math.Sqrt(0.8 / 2 / 5)},
		{"too few", []float64{1, 2}, []float64{1, 9}, 0, math.Inf(1)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b, err := slope(test.x, test.y)
			if math.Abs(b-test.b) > 1e-9 || err != test.err && math.Abs(err-test.err) > 1e-9 {
				t.Errorf("got %v ± %v, want %v ± %v", b, err, test.b, test.err)
			}
		})
	}
}
