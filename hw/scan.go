package hw

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"tidegate/hw/internal/bus"
)

// ErrHidden is that a scan could not look at something that is there.
var ErrHidden = errors.New("could not be looked at")

// Scan prints the buses of this machine, the chips that answer on them, and
// the lines of the configuration for each, as text or as one JSON object. With
// names of I2C buses it looks at these only, and at those too that a scan leaves
// alone otherwise.
//
// It disturbs nothing and may run beside the gateway; hw/internal/bus says how.
// It returns ErrHidden when something is there that it could not look at, and
// prints what it could.
func Scan(out io.Writer, asJSON bool, only ...string) error {
	return scan(out, asJSON, bus.Machine{Only: only})
}

func scan(out io.Writer, asJSON bool, m bus.Machine) error {
	found, err := m.Scan()
	if err != nil {
		return err
	}
	if asJSON {
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		err = enc.Encode(found)
	} else {
		err = found.Write(out)
	}
	if n := found.Hidden(); err == nil && n > 0 {
		return fmt.Errorf("%d %w; to look as the gateway does: sudo -u tidegate tidegate hw scan", n, ErrHidden)
	}
	return err
}
