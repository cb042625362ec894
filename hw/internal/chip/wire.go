package chip

import (
	"errors"
	"time"

	"periph.io/x/conn/v3/i2c"
)

var (
	errCRC  = errors.New("wrong checksum: noise on the wires, or another chip at this address")
	errBusy = errors.New("the chip stays busy")
)

// port is a chip at its address with room for what goes over the wire, so
// that a reading allocates nothing.
type port struct {
	bus  i2c.Bus
	addr uint16
	w    [8]byte
	r    [32]byte
}

func (p *port) write(b ...byte) error {
	return p.bus.Tx(p.addr, p.w[:copy(p.w[:], b)], nil)
}

// read writes b and reads n bytes after a repeated start. They are good until
// the next call.
func (p *port) read(n int, b ...byte) ([]byte, error) {
	r := p.r[:n]
	return r, p.bus.Tx(p.addr, p.w[:copy(p.w[:], b)], r)
}

// ask writes b, gives the chip its time, and reads n bytes: for chips that do
// not answer after a repeated start.
func (p *port) ask(n int, takes time.Duration, b ...byte) ([]byte, error) {
	if err := p.write(b...); err != nil {
		return nil, err
	}
	time.Sleep(takes)
	r := p.r[:n]
	return r, p.bus.Tx(p.addr, nil, r)
}

// words checks the checksum after each pair of bytes (Sensirion, TI HDC302x)
// and returns the pairs as numbers.
func words(b []byte, out ...*uint16) error {
	for i, v := range out {
		three := b[3*i : 3*i+3]
		if crc31(three[:2]) != three[2] {
			return errCRC
		}
		*v = uint16(three[0])<<8 | uint16(three[1])
	}
	return nil
}

// crc31 is the checksum of polynomial 0x31 beginning with 0xFF; of 0xBE 0xEF
// it is 0x92 (SHT4x datasheet, p. 11; SGP30 datasheet, p. 9).
func crc31(b []byte) byte { return crc8(0xFF, b...) }
