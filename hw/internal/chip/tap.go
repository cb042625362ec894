package chip

import (
	"errors"

	"periph.io/x/conn/v3/i2c"
)

var (
	errKind   = errors.New("another kind of chip answers")
	errReset  = errors.New("the chip has lost its settings: its power failed")
	errBeyond = errors.New("the input is beyond what the chip can measure")
	errNoData = errors.New("the chip has no measurement")
)

// tap is a bus under a driver of periph's. It keeps the error of the bus,
// which several of those drivers replace by a general one or drop.
type tap struct {
	i2c.Bus
	err error
}

func (t *tap) Tx(addr uint16, w, r []byte) error {
	err := t.Bus.Tx(addr, w, r)
	if err != nil {
		t.err = err
	}
	return err
}

// cause returns the error of the bus since the last call, or else err, which
// the driver made.
func (t *tap) cause(err error) error {
	if t.err != nil {
		err, t.err = t.err, nil
	}
	return err
}

// holds says whether the register of a chip holds a value of so many bytes,
// big-endian: the test of an identity.
func holds(bus i2c.Bus, addr uint16, register byte, mask, want uint16) bool {
	var r [2]byte
	n := 2
	if mask <= 0xFF {
		n = 1
	}
	if err := bus.Tx(addr, []byte{register}, r[:n]); err != nil {
		return false
	}
	got := uint16(r[0])
	if n == 2 {
		got = got<<8 | uint16(r[1])
	}
	return got&mask == want
}
