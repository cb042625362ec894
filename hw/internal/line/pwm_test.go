package line

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sysfs makes a PWM chip of n channels whose channel 1 is exported.
func sysfs(t *testing.T, n, period, duty string) string {
	t.Helper()
	root := t.TempDir()
	for name, value := range map[string]string{
		"npwm": n, "export": "", "pwm1/period": period, "pwm1/duty_cycle": duty, "pwm1/enable": "0",
	} {
		path := filepath.Join(root, "pwmchip0", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(value+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestPWMGivesItsDuty(t *testing.T) {
	for _, c := range []struct {
		name         string
		period, duty string // found
		inverted     bool
		share        float64
		want         string
	}{
		{"exported by us before", "1000000", "999999", false, 0.25, "250000"},
		{"just exported", "0", "0", false, 1, "1000000"},
		{"of another period", "5000000", "4000000", false, 0, "0"},
		{"wired to the supply", "1000000", "0", true, 0.25, "750000"},
		{"beyond", "1000000", "0", false, 1.5, "1000000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := sysfs(t, "2", c.period, c.duty)
			w, err := PWMs{root}.Open("pwmchip0:1", 1000, c.share, c.inverted)
			if err != nil {
				t.Fatal(err)
			}
			at := func(name string) string {
				b, err := os.ReadFile(filepath.Join(root, "pwmchip0/pwm1", name))
				if err != nil {
					t.Fatal(err)
				}
				return strings.TrimSpace(string(b))
			}
			if at("period") != "1000000" || at("duty_cycle") != c.want || at("enable") != "1" {
				t.Errorf("got period %s, duty %s, enable %s, want duty %s", at("period"), at("duty_cycle"), at("enable"), c.want)
			}
			if err := w.Set(0.5); err != nil || at("duty_cycle") != "500000" {
				t.Errorf("half: got %s, %v", at("duty_cycle"), err)
			}
			if err := errors.Join(w.Check(), w.Close()); err != nil {
				t.Error(err)
			}
			if err := os.RemoveAll(filepath.Join(root, "pwmchip0/pwm1")); err != nil {
				t.Fatal(err)
			}
			if err := w.Check(); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a channel that vanished: got %v", err)
			}
		})
	}
}

func TestWhatAPWMChannelLacksIsSaid(t *testing.T) {
	full, none := sysfs(t, "2", "0", "0"), t.TempDir()
	for _, c := range []struct{ root, name, want string }{
		{none, "pwmchip0:0", "the kernel has no PWM: enable it with dtoverlay=pwm"},
		{full, "pwmchip2:0", "there is no such chip, only pwmchip0"},
		{full, "pwmchip0:2", "the chip has the channels 0 to 1"},
		{full, "pwmchip0:0", "no such file"}, // exported, and yet it does not come
		{full, "pwm0:0", "it is written pwmchip0:1"},
		{full, "pwmchip0", "it is written pwmchip0:1"},
		{full, "pwmchipx:1", "it is written pwmchip0:1"},
		{sysfs(t, "two", "0", "0"), "pwmchip0:1", "read the number of channels"},
		{sysfs(t, "2", "x", "0"), "pwmchip0:1", "invalid syntax"},
	} {
		_, err := PWMs{c.root}.Open(c.name, 1000, 0, false)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	if got := mayWrite(&fs.PathError{Op: "open", Path: "export", Err: fs.ErrPermission}); !errors.Is(got, fs.ErrPermission) || !strings.Contains(got.Error(), "gpio on Raspberry Pi OS") {
		t.Errorf("got %v", got)
	}
}
