package provision

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBlink(t *testing.T) {
	for name, c := range map[string]struct {
		led, triggers string
		code          int
		want          map[string]string
	}{
		"pattern":     {"ACT", "none timer [mmc0] pattern", 3, map[string]string{"trigger": "pattern", "pattern": pattern(3), "repeat": "-1"}},
		"older name":  {"led0", "none [mmc0] pattern", 2, map[string]string{"pattern": pattern(2)}},
		"only timer":  {"ACT", "none timer [mmc0]", 5, map[string]string{"trigger": "timer", "delay_on": "100", "delay_off": "100"}},
		"well again":  {"ACT", "none [pattern] mmc0", 0, map[string]string{"trigger": usual}},
		"always well": {"ACT", "none pattern [heartbeat]", 0, map[string]string{"trigger": "none pattern [heartbeat]"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "class/leds", c.led)
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "trigger"), []byte(c.triggers), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := blink(filepath.Join(dir, "../../.."), c.code); err != nil {
				t.Fatal(err)
			}
			for file, want := range c.want {
				if got := string(readFile(filepath.Join(dir, file))); got != want {
					t.Errorf("%s: got %q, want %q", file, got, want)
				}
			}
		})
	}
	if err := blink(t.TempDir(), 2); err != nil {
		t.Errorf("without a LED: %v", err)
	}
}

// README.txt on the boot partition explains every code.
func TestCodesAreExplained(t *testing.T) {
	readme := string(readFile("boot/README.txt"))
	for _, c := range Codes {
		if want := "  " + string(rune('0'+c.Blinks)) + " times   "; !strings.Contains(readme, want) {
			t.Errorf("README.txt lacks %q", want)
		}
		if got := strings.Count(pattern(c.Blinks), "255 250"); got != c.Blinks {
			t.Errorf("code %d blinks %d times", c.Blinks, got)
		}
	}
}

// Every line of what the image shows of the Wi-Fi is a comment.
func TestExampleAsksForNothing(t *testing.T) {
	if w, found := parseWifi(string(example)); w.asked || len(found) > 0 {
		t.Errorf("got %+v, %v", w, found)
	}
	uncommented := strings.NewReplacer("#country", "country", "#ssid", "ssid", "#password", "password").Replace(string(example))
	if w, found := parseWifi(uncommented); w.SSID != "My Network" || len(found) > 0 {
		t.Errorf("uncommented: got %+v, %v", w, found)
	}
}
