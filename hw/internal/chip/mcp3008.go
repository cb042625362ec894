package chip

import (
	"errors"
	"fmt"
	"math/bits"
	"time"

	"periph.io/x/conn/v3/physic"
	"periph.io/x/conn/v3/spi"
)

var (
	errAbsent = errors.New("nothing answers: check the wires and the supply")
	errCopies = errors.New("the value and its repetition differ: noise on the wires, or nothing answers")
)

// mcp3008 is one input of a Microchip MCP3008, a converter of 10 bits with
// eight inputs (datasheet DS21295D). Each is a sensor of its own.
type mcp3008 struct {
	conn      spi.Conn
	reference float64 // volt at VREF
	w, r      [5]byte
}

func mcp3008Input() Kind {
	return Kind{
		Name: "mcp3008", Title: "Microchip MCP3008 (one input)", Bus: SPI,
		Quantities: []Quantity{voltage(0.003, 0, 5.5)},
		Keys:       []string{"channel", "reference"},
		Every:      time.Millisecond,
		Takes:      5 * time.Millisecond,
		Pins:       "SCLK MOSI MISO CE0; VDD and VREF to 3V3, AGND and DGND to GND (with VDD at 5V it would harm the Pi)",
		Datasheet:  "Microchip DS21295D",
		Open:       openMCP3008,
	}
}

func openMCP3008(w Wiring) (Sensor, error) {
	input, err := mcp3008Channel(w.Channel)
	if err != nil {
		return nil, err
	}
	reference := w.Reference
	switch {
	case reference == 0:
		reference = 3.3
	case !(reference >= 0.25 && reference <= 5.5): // p. 3: up to VDD
		return nil, fmt.Errorf("a reference of %v V is outside of the chip's 0.25 to 5.5 V", reference)
	}
	// At 2.7 V it is rated for 1.35 MHz (p. 4).
	conn, err := w.SPI.Connect(physic.MegaHertz, spi.Mode0, 8)
	if err != nil {
		return nil, err
	}
	// A start bit, the input, then clocks for the answer (figure 6-1). Two
	// bytes more than that are for the repetition.
	return &mcp3008{conn: conn, reference: reference, w: [5]byte{1, input << 4}}, nil
}

// mcp3008Channel returns the four bits that choose an input (table 5-2): "0"
// to "7", or "0-1" for what is between two neighbours; "" is "0".
func mcp3008Channel(s string) (byte, error) {
	digit := func(i int) byte { return s[i] - '0' }
	switch {
	case s == "":
		return 8, nil
	case len(s) == 1 && digit(0) <= 7:
		return 8 | digit(0), nil
	case len(s) == 3 && s[1] == '-' && digit(0) <= 7 && digit(2) == digit(0)^1:
		return digit(0), nil
	}
	return 0, fmt.Errorf(`there is no channel %q: it is "0" to "7", or two neighbours such as "0-1", "1-0", "2-3"`, s)
}

func (d *mcp3008) Read(out []float64) error {
	if err := d.conn.Tx(d.w[:], d.r[:]); err != nil {
		return err
	}
	code, err := codeMCP3008(d.r)
	out[0] = d.reference * float64(code) / 1024 // p. 15: VIN × 1024 / VREF
	return err
}

func (d *mcp3008) Halt() error { return nil } // not selected is switched off

// codeMCP3008 takes an answer apart: a null bit, ten bits from the highest,
// and the same from the second lowest up, followed by zeros (figure 5-2). The
// repetition is all there is against noise: the chip has no checksum. A MISO
// that is low for ever reads as 0 V all the same.
func codeMCP3008(r [5]byte) (uint16, error) {
	if r[1]&4 != 0 {
		return 0, errAbsent
	}
	code := uint16(r[1]&3)<<8 | uint16(r[2])
	if bits.Reverse8(r[3]) != byte(code>>1) || r[4] != byte(code>>9)<<7 {
		return 0, errCopies
	}
	return code, nil
}
