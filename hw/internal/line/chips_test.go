package line

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestNamesOfLines(t *testing.T) {
	for _, c := range []struct {
		in   string
		want name
		err  string
	}{
		{"GPIO17", name{line: "GPIO17", offset: 17}, ""},
		{"P1_11", name{line: "GPIO17", offset: 17}, ""},
		{"P1_40", name{line: "GPIO21", offset: 21}, ""},
		{"GPIO45", name{line: "GPIO45", offset: -1}, ""}, // not on the header: by name only
		{"PC_LED", name{line: "PC_LED", offset: -1}, ""},
		{"gpiochip0:17", name{chip: "gpiochip0", offset: 17}, ""},
		{"pinctrl-rp1:4", name{chip: "pinctrl-rp1", offset: 4}, ""},
		{"P1_1", name{}, "this pin of the header is 3.3 V"},
		{"P1_9", name{}, "this pin of the header is ground"},
		{"P1_41", name{}, "P1_1 to P1_40"},
		{"P1_x", name{}, "P1_1 to P1_40"},
		{"gpiochip0:x", name{}, "a number"},
		{":3", name{}, "a number"},
		{"", name{}, "is written GPIO17"},
		{"/dev/gpiochip0", name{}, "is written GPIO17"},
		{strings.Repeat("x", 32), name{}, "is written GPIO17"},
	} {
		got, err := parse(c.in)
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q: got %+v, %v, want %+v, %q", c.in, got, err, c.want, c.err)
		}
	}
	for in, want := range map[string]string{"P1_11": "GPIO17", "GPIO17": "GPIO17", "gpiochip0:17": "gpiochip0:17", "P1_1": "P1_1"} {
		if got := Canonical(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

// Every GPIO number of the header is on exactly one pin.
func TestHeaderHasEveryNumberOnce(t *testing.T) {
	pins := map[string]int{}
	for _, what := range header[1:] {
		pins[what]++
	}
	numbers := 0
	for what, n := range pins {
		if what[0] >= '0' && what[0] <= '9' && !strings.HasSuffix(what, "V") {
			numbers++
			if n != 1 {
				t.Errorf("GPIO%s is on %d pins", what, n)
			}
		}
	}
	if numbers != headerLines || pins["ground"] != 8 || pins["5 V"] != 2 || pins["3.3 V"] != 2 {
		t.Errorf("got %d GPIO, %v, want 28 and 8 ground, 2 of each supply", numbers, pins)
	}
}

func TestLinesAreFoundAmongChips(t *testing.T) {
	soc := Chip{Path: "/dev/gpiochip0", Name: "gpiochip0", Label: "pinctrl-bcm2711", Lines: 58}
	expander := Chip{Path: "/dev/gpiochip1", Name: "gpiochip1", Label: "raspberrypi-exp-gpio", Lines: 8}
	sim := Chip{Path: "/dev/gpiochip2", Name: "gpiochip2", Label: "gpio-sim.0:node0", Lines: 4}
	other := Chip{Path: "/dev/gpiochip3", Name: "gpiochip3", Label: "mcp23017", Lines: 16}
	lines := map[string][]LineInfo{
		"gpiochip0": {{Offset: 2, Name: "SDA1"}, {Offset: 17, Name: "GPIO17"}, {Offset: 42, Name: "LED"}},
		"gpiochip1": {{Offset: 2, Name: "LED"}, {Offset: 3, Name: "BT_ON"}},
		"gpiochip2": {{Offset: 1, Name: "door"}, {Offset: 2, Name: "twice"}},
		"gpiochip3": {{Offset: 5, Name: "twice"}},
	}
	info := func(c Chip) ([]LineInfo, error) { return lines[c.Name], nil }
	all := []Chip{soc, expander, sim, other}
	for _, c := range []struct {
		in    string
		chips []Chip
		want  place
		err   string
	}{
		{"GPIO17", all, place{soc, 17}, ""},
		{"P1_11", all, place{soc, 17}, ""},
		{"GPIO2", all, place{soc, 2}, ""}, // named SDA1 by this kernel
		{"GPIO2", []Chip{sim}, place{}, "no chip has a line of this name; there are gpiochip2 (gpio-sim.0:node0, 4 lines)"},
		{"door", all, place{sim, 1}, ""},
		{"LED", all, place{soc, 42}, ""}, // the header's own chip before others
		{"twice", all, place{}, "write gpiochip2:2 or gpiochip3:5"},
		{"nothing", all, place{}, "no chip has a line of this name"},
		{"gpiochip1:7", all, place{expander, 7}, ""},
		{"gpiochip1:8", all, place{}, "has the lines 0 to 7"},
		{"mcp23017:15", all, place{other, 15}, ""},
		{"gpiochip9:0", []Chip{sim}, place{}, "there is no chip gpiochip9, only gpiochip2"},
	} {
		n, err := parse(c.in)
		if err != nil {
			t.Fatal(err)
		}
		got, err := n.among(c.chips, info)
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: got %v, %v, want %v, %q", c.in, got, err, c.want, c.err)
		}
	}
	gone := errors.New("vanished")
	if _, err := (name{line: "x", offset: -1}).among(all, func(Chip) ([]LineInfo, error) { return nil, gone }); !errors.Is(err, gone) {
		t.Errorf("a chip that vanishes: got %v", err)
	}
}

func TestWhatIsMissingIsSaid(t *testing.T) {
	dev := t.TempDir()
	_, err := Chips{dev}.Open("GPIO17", Setup{})
	if err == nil || !strings.Contains(err.Error(), "no GPIO chip in "+dev) {
		t.Errorf("no chip: got %v", err)
	}
	if _, err := (Chips{dev}).Open("P1_2", Setup{}); err == nil || !strings.Contains(err.Error(), "5 V") {
		t.Errorf("a pin of the supply: got %v", err)
	}
	// Not a GPIO chip, and the same to somebody who may not open it.
	path := filepath.Join(dev, "gpiochip0")
	if err := os.WriteFile(path, nil, 0o660); err != nil {
		t.Fatal(err)
	}
	if _, err := (Chips{dev}).Open("gpiochip0:1", Setup{}); !errors.Is(err, unix.ENOTTY) || !strings.Contains(err.Error(), "ask GPIO chip "+path) {
		t.Errorf("a file: got %v", err)
	}
	if err := os.Chown(path, -1, os.Getgid()); err != nil {
		t.Fatal(err)
	}
	if got := mayOpen(path); os.Getgid() != 0 && !strings.Contains(got, "to the group") || os.Getgid() == 0 && !strings.Contains(got, "udev rule") {
		t.Errorf("advice: got %q", got)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dev, "gone"), path); err != nil {
		t.Fatal(err)
	}
	if _, err := (Chips{dev}).Open("gpiochip0:1", Setup{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a chip that vanished: got %v", err)
	}
}
