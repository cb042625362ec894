package line

import (
	"fmt"
	"strconv"
	"strings"
)

// header has the 40 pins of the Raspberry Pi's header, the same since the
// model B+ [Raspberry Pi documentation, GPIO and the 40-pin header]: a GPIO
// number, or what else is there. The first 26 are those of the older models of
// revision 2.
var header = [41]string{
	1: "3.3 V", 2: "5 V",
	3: "2", 4: "5 V",
	5: "3", 6: "ground",
	7: "4", 8: "14",
	9: "ground", 10: "15",
	11: "17", 12: "18",
	13: "27", 14: "ground",
	15: "22", 16: "23",
	17: "3.3 V", 18: "24",
	19: "10", 20: "ground",
	21: "9", 22: "25",
	23: "11", 24: "8",
	25: "ground", 26: "7",
	27: "0", 28: "1",
	29: "5", 30: "ground",
	31: "6", 32: "12",
	33: "13", 34: "ground",
	35: "19", 36: "16",
	37: "26", 38: "20",
	39: "ground", 40: "21",
}

// name is a line as people write it, taken apart.
type name struct {
	chip   string // of "gpiochip0:17"; "" when only the line is named
	offset int    // on chip; or the number of a GPIO of the header, or -1
	line   string // as the kernel names it
}

// headerLines is how many lines of the Pi's own chip are on the header, GPIO0
// to GPIO27.
const headerLines = 28

// parse reads "GPIO17", "gpiochip0:17", "P1_11" or any other name that a kernel
// gives a line.
func parse(s string) (name, error) {
	if chip, number, ok := strings.Cut(s, ":"); ok {
		offset, err := strconv.ParseUint(number, 10, 16)
		if err != nil || chip == "" {
			return name{}, fmt.Errorf("line %q: after the chip and the colon comes a number, as in gpiochip0:17", s)
		}
		return name{chip: chip, offset: int(offset)}, nil
	}
	if pin, ok := strings.CutPrefix(s, "P1_"); ok {
		n, err := strconv.Atoi(pin)
		if err != nil || n < 1 || n >= len(header) {
			return name{}, fmt.Errorf("line %q: the header has the pins P1_1 to P1_40", s)
		}
		gpio, err := strconv.Atoi(header[n])
		if err != nil {
			return name{}, fmt.Errorf("line %q: this pin of the header is %s", s, header[n])
		}
		return name{line: "GPIO" + header[n], offset: gpio}, nil
	}
	if s == "" || len(s) >= nameSize || strings.ContainsAny(s, " \t\n/") {
		return name{}, fmt.Errorf("line %q: a line is written GPIO17, gpiochip0:17 or P1_11", s)
	}
	n := name{line: s, offset: -1}
	if number, ok := strings.CutPrefix(s, "GPIO"); ok {
		if gpio, err := strconv.Atoi(number); err == nil && gpio >= 0 && gpio < headerLines {
			n.offset = gpio
		}
	}
	return n, nil
}

// CheckName says what is wrong with the name of a line, without looking for it.
func CheckName(s string) error {
	_, err := parse(s)
	return err
}

// Canonical gives names that surely mean one line one form: pin 11 of the
// header is GPIO17. A name that is not valid stays as it is.
func Canonical(s string) string {
	n, err := parse(s)
	if err != nil || n.chip != "" {
		return s
	}
	return n.line
}
