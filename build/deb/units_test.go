package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mostExposure is what `systemd-analyze security` may say of a unit, 0 to 10.
// What is not listed runs as root, and only for a moment.
var mostExposure = map[string]float64{"tidegate.service": 1.8}

// imageOnly are the units that the package leaves to the image: they know its
// partitions, its files for users and its slots.
var imageOnly = regexp.MustCompile(`^tidegate-`)

// notOfDebian are programs that units start and that no package in the root has.
var notOfDebian = []string{"/usr/bin/rauc"}

// Every unit in systemd/ is one that systemd understands, and the gateway can do
// little.
func testUnits(t *testing.T, r root, o order) {
	files, err := filepath.Glob(filepath.Join(o.source, "systemd/*.*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("units: %v", err)
	}
	var names []string
	for _, f := range files {
		if name := filepath.Base(f); slices.Contains([]string{".service", ".path", ".timer", ".socket", ".target", ".mount"}, filepath.Ext(name)) {
			names = append(names, name)
			copyIn(t, r, f, "/usr/lib/systemd/system/"+name)
			defer os.Remove(r.path("/usr/lib/systemd/system/" + name))
		}
	}
	for _, p := range append([]string{"/usr/bin/tidegate"}, notOfDebian...) {
		r.write(p, "#!/bin/sh\n")
		if err := os.Chmod(r.path(p), 0o755); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(r.path(p))
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			if out, err := r.try("systemd-analyze verify --man=no --recursive-errors=yes " + name); err != nil || out != "" {
				t.Errorf("%v: %s", err, out)
			}
			if packed := slices.Contains(units, name); packed == imageOnly.MatchString(name) {
				t.Errorf("it is neither in the package (units) nor left to the image (imageOnly), or both: packed %v", packed)
			}
			if most, ok := mostExposure[name]; ok {
				if got := exposure(t, r, name); got > most {
					t.Errorf("exposure: got %.1f, want at most %.1f", got, most)
				}
			}
		})
	}
	testOlderSystemd(t, o)
}

func copyIn(t *testing.T, r root, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	r.write(to, string(data))
}

var overall = regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`)

func exposure(t *testing.T, r root, name string) float64 {
	t.Helper()
	out := r.do("systemd-analyze security --offline=yes --no-pager " + name)
	m := overall.FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no exposure in %s", out)
	}
	f, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// The systemd of this machine, Debian 12 has 252, may not know all keys, but it
// knows the others.
func testOlderSystemd(t *testing.T, o order) {
	out, _ := run("systemd-analyze", "verify", "--man=no", filepath.Join(o.source, "systemd/tidegate.service"))
	for line := range strings.Lines(out) {
		if !strings.Contains(line, "Unknown key 'Restart") && !strings.Contains(line, "/usr/bin/tidegate is not executable") && !strings.Contains(line, "Unknown key name 'Restart") {
			t.Errorf("systemd of this machine: %s", line)
		}
	}
}
