package scenario

import "math"

// slope fits a line through the points by least squares and returns how steep
// it is, and the standard error of that.
func slope(x, y []float64) (b, err float64) {
	n := float64(len(x))
	if n < 3 {
		return 0, math.Inf(1)
	}
	var mx, my float64
	for i := range x {
		mx += x[i] / n
		my += y[i] / n
	}
	var sxx, sxy float64
	for i := range x {
		sxx += (x[i] - mx) * (x[i] - mx)
		sxy += (x[i] - mx) * (y[i] - my)
	}
	b = sxy / sxx
	var rest float64
	for i := range x {
		d := y[i] - my - b*(x[i]-mx)
		rest += d * d
	}
	return b, math.Sqrt(rest / (n - 2) / sxx)
}
