package hw

import (
	"errors"
	"time"

	"tidegate/hw/internal/line"
)

// CheckLine says whether the name of a GPIO line is well formed: "GPIO17",
// "P1_11" or "gpiochip0:17".
func CheckLine(name string) error { return line.CheckName(name) }

// heldEvery is how often a held line is read.
const heldEvery = 20 * time.Millisecond

// LineHeld says whether a line is connected to ground for the whole of d. It
// returns at once when it is not. The chip's resistor pulls it up meanwhile.
func LineHeld(name string, d time.Duration) (held bool, err error) {
	l, err := line.Chips{}.Open(name, line.Setup{ActiveLow: true, Pull: line.PullUp})
	if err != nil {
		return false, err
	}
	time.Sleep(heldEvery) // the resistor charges the wire
	held, err = stays(l.Value, d)
	return held, errors.Join(err, l.Close())
}

func stays(value func() (bool, error), d time.Duration) (bool, error) {
	for end := time.Now().Add(d); ; time.Sleep(heldEvery) {
		active, err := value()
		if err != nil || !active {
			return false, err
		}
		if !time.Now().Before(end) {
			return true, nil
		}
	}
}
