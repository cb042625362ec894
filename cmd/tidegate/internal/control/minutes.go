package control

import (
	"math"
	"strconv"
	"time"
)

const (
	step       = time.Minute
	mostPoints = 24 * 60 // a day
)

// series has a number for each of the last minutes, NaN for none.
type series struct {
	v   []float32 // a ring
	end int       // where the next one goes, once it is full
}

func (s *series) push(x float64) {
	if len(s.v) < mostPoints {
		s.v = append(s.v, float32(x))
		return
	}
	s.v[s.end] = float32(x)
	s.end = (s.end + 1) % mostPoints
}

// ago returns the number of n minutes ago, 1 for the last one; NaN for none.
func (s *series) ago(n int) float64 {
	if n < 1 || n > len(s.v) {
		return math.NaN()
	}
	return float64(s.v[(s.end+len(s.v)-n)%len(s.v)])
}

func (s *series) empty() bool {
	for _, x := range s.v {
		if x == x {
			return false
		}
	}
	return true
}

// Points are numbers of one minute each, the oldest first. NaN is null.
type Points []float32

// MarshalJSON writes four digits of each.
func (p Points) MarshalJSON() ([]byte, error) {
	b := make([]byte, 0, 8*len(p)+2)
	b = append(b, '[')
	for i, x := range p {
		if i > 0 {
			b = append(b, ',')
		}
		if x != x || math.IsInf(float64(x), 0) {
			b = append(b, "null"...)
			continue
		}
		b = strconv.AppendFloat(b, float64(x), 'g', 6, 32)
	}
	return append(b, ']'), nil
}

// points are the last n, with null for those from before the series began.
func (s *series) points(n int) Points {
	p := make(Points, 0, n)
	for i := n; i > 0; i-- {
		p = append(p, float32(s.ago(i)))
	}
	return p
}

// mean adds up the samples of a minute.
type mean struct {
	sum      float64
	n        int
	min, max float64
}

func (m *mean) add(x float64) {
	if m.n == 0 {
		m.min, m.max = x, x
	}
	m.sum, m.min, m.max = m.sum+x, min(m.min, x), max(m.max, x)
	m.n++
}

// take returns the mean, NaN for none, and begins anew.
func (m *mean) take() float64 {
	n, sum := m.n, m.sum
	*m = mean{}
	if n == 0 {
		return math.NaN()
	}
	return sum / float64(n)
}
