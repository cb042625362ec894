package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a scan says to paste is a configuration that can be used.
func TestScannedLinesAreGood(t *testing.T) {
	texts, err := filepath.Glob("../../hw/internal/bus/testdata/*.txt")
	if err != nil || len(texts) < 3 {
		t.Fatalf("got %v, %v, want the texts of several scans", texts, err)
	}
	pasted := 0
	for _, file := range texts {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, lines, found := strings.Cut(string(text), "# For the configuration")
		if !found {
			continue
		}
		lines, _, _ = strings.Cut(lines, "\nhidden: ") // which is the test's own
		pasted += strings.Count(lines, "[[hw.sensor]]")
		whole := filepath.Join(t.TempDir(), "tidegate.toml")
		configure(t, whole, sample+"\n#"+lines)
		var out, problems bytes.Buffer
		if code := check(environment{out: &out, err: &problems}, []string{whole}); code != exitOK {
			t.Errorf("%s: got\n%s\nfor\n%s", file, &problems, lines)
		}
	}
	if pasted < 5 {
		t.Errorf("got %d sensors in all texts, want more", pasted)
	}
}

func TestScanCommand(t *testing.T) {
	for _, c := range []struct {
		args     []string
		code     int // -1: 0 or 1, as this machine has it
		out, err string
	}{
		{nil, -1, "sensor", ""},
		{[]string{"i2c-9999"}, 1, "overlay for i2c9999", "could not be looked at"},
		{[]string{"i2c_nowhere"}, 1, "no such alias", "could not be looked at"},
		{[]string{"spi0.0"}, 2, "", "not an I2C bus"},
		{[]string{"-colour"}, 2, "", "-colour"},
	} {
		var out, errs bytes.Buffer
		code := dispatch(environment{out: &out, err: &errs}, append([]string{"hw", "scan"}, c.args...))
		if code != c.code && (c.code >= 0 || code > 1) || !strings.Contains(out.String(), c.out) || !strings.Contains(errs.String(), c.err) {
			t.Errorf("%v: got %d, %q, %q, want %d, %q, %q", c.args, code, &out, &errs, c.code, c.out, c.err)
		}
	}
	var out, errs bytes.Buffer
	var found struct{ I2C, SPI, Missing []any }
	dispatch(environment{out: &out, err: &errs}, []string{"hw", "scan", "-json"})
	if err := json.Unmarshal(out.Bytes(), &found); err != nil || found.I2C == nil || found.Missing == nil {
		t.Errorf("got %q, %v", &out, err)
	}
}
