package main

import (
	"os/exec"
	"testing"
)

// In the order in which such versions come.
func TestDebianVersion(t *testing.T) {
	last := ""
	for _, c := range []struct {
		describe string
		count    int
		want     string
	}{
		{"579bbb9", 9, "0.0.0+9.g579bbb9"},
		{"279bbb9", 10, "0.0.0+10.g279bbb9"},
		{"279bbb9-dirty", 10, "0.0.0+10.g279bbb9+dirty"},
		{"1234567", 11, "0.0.0+11.g1234567"},
		{"v0.9.0-rc1", 11, "0.9.0~rc1"},
		{"v0.9.0-rc1-3-gabcdef0", 14, "0.9.0~rc1+3.gabcdef0"},
		{"v0.9.0-rc2", 15, "0.9.0~rc2"},
		{"v0.9.0", 16, "0.9.0"},
		{"v0.9.0-dirty", 16, "0.9.0+0+dirty"},
		{"v0.9.0-9-gabc1234", 25, "0.9.0+9.gabc1234"},
		{"v0.9.0-10-g0bc1234", 26, "0.9.0+10.g0bc1234"},
		{"v0.9.1", 27, "0.9.1"},
		{"1.0.0-beta.2", 28, "1.0.0~beta.2"},
		{"1.0.0", 29, "1.0.0"},
	} {
		got, err := debianVersion(c.describe, c.count)
		if err != nil || got != c.want {
			t.Errorf("%s: got %q, %v, want %q", c.describe, got, err, c.want)
		}
		if err := exec.Command("dpkg", "--validate-version", got).Run(); err != nil {
			t.Errorf("dpkg does not take %q: %v", got, err)
		}
		if last != "" && exec.Command("dpkg", "--compare-versions", last, "lt", got).Run() != nil {
			t.Errorf("%s is not before %s", last, got)
		}
		last = got
	}
	for _, bad := range []string{"", "development", "579bbb9", "v", "vx.1", "v1.0 0", "v1.0_1", "-dirty"} {
		if got, err := debianVersion(bad, 0); err == nil {
			t.Errorf("%q: got %q, want an error", bad, got)
		}
	}
}
