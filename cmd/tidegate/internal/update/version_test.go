package update

import "testing"

func TestNewer(t *testing.T) {
	for _, c := range []struct {
		a, b   string
		is, ok bool
	}{
		{"v1.0.1", "v1.0.0", true, true},
		{"v1.10.0", "v1.9.0", true, true},
		{"v1.0", "v1.0.0", false, true},
		{"1.0.0-3-gabcdef0", "v1.0.0", true, true},
		{"v1.0.0-3-gabcdef0", "v1.0.0-12-g0123456-dirty", false, true},
		{"v1.0.0", "v1.0.1", false, true},
		{"development", "v1.0.0", false, false},
		{"v1.0.0", "0d3beca", false, false},
		{"v9999999999999999999.0.0", "v1.0.0", false, false},
	} {
		if is, ok := newer(c.a, c.b); ok != c.ok || ok && is != c.is {
			t.Errorf("%s after %s: got %v, %v, want %v, %v", c.a, c.b, is, ok, c.is, c.ok)
		}
	}
}
