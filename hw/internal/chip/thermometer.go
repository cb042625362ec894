package chip

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

// converter is a thermometer on 1-Wire, whatever the wire hangs on. A
// measurement is doubtful when it may be the value of the power-up instead.
type converter interface {
	measure() (celsius float64, doubtful bool, err error)
}

// certain measures, and once more when the value is doubtful and far from the
// last one in °C (NaN: none yet).
func certain(c converter, last float64) (celsius float64, err error) {
	t, doubtful, err := c.measure()
	if err == nil && doubtful && !(math.Abs(last-powerUp) <= 5) {
		if t, doubtful, err = c.measure(); err == nil && doubtful {
			err = errPowerUp
		}
	}
	return t, err
}

// only is the thermometer that needs no name, because there is no other.
func only(names []string) (string, error) {
	switch len(names) {
	case 0:
		return "", errors.New("no thermometer is on the wire")
	case 1:
		return names[0], nil
	}
	return "", fmt.Errorf("say which: there are %s", strings.Join(names, ", "))
}
