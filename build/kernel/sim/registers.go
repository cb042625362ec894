package sim

// bme280 answers as one chip did whose answers were recorded in periph's tests
// of its driver (bmxx80): 23.72 °C, 65.31 %, 1009.43 hPa.
type bme280 struct {
	reg [256]byte
	at  byte
}

// Registers of the BME280 (BST-BME280-DS001-23, table 18).
const (
	bmeID       = 0xd0
	bmeReset    = 0xe0
	bmeCtrlMeas = 0xf4
	bmeData     = 0xf7
)

func newBME280() *bme280 {
	c := &bme280{}
	c.reset()
	return c
}

func (c *bme280) reset() {
	c.reg, c.at = [256]byte{bmeID: 0x60}, 0
	copy(c.reg[0x88:], []byte{
		0x10, 0x6e, 0x6c, 0x66, 0x32, 0x00, // T1 to T3
		0x5d, 0x95, 0xb8, 0xd5, 0xd0, 0x0b, 0x77, 0x1e, 0x9d, 0xff, 0xf9, 0xff, 0xac, 0x26, 0x0a, 0xd8, 0xbd, 0x10, // P1 to P9
		0x00, 0x4b, // H1
	})
	copy(c.reg[0xe1:], []byte{0x6e, 0x01, 0x00, 0x13, 0x05, 0x00, 0x1e}) // H2 to H6
	copy(c.reg[bmeData:], []byte{0x80, 0, 0, 0x80, 0, 0, 0x80, 0})       // nothing measured yet (5.4.7)
}

// Write takes a register, or pairs of register and value (6.2.1).
func (c *bme280) Write(p []byte) bool {
	if len(p) == 0 {
		return true
	}
	c.at = p[0]
	for ; len(p) >= 2; p = p[2:] {
		c.set(p[0], p[1])
	}
	return true
}

func (c *bme280) set(reg, value byte) {
	switch {
	case reg == bmeReset && value == 0xb6:
		c.reset()
	case reg == bmeCtrlMeas:
		if value&3 != 0 {
			copy(c.reg[bmeData:], []byte{0x4a, 0x52, 0xc0, 0x80, 0x96, 0xc0, 0x7a, 0x76})
		}
		if value&3 != 3 {
			value &^= 3 // forced mode ends in sleep mode (3.3.3)
		}
		c.reg[reg] = value
	case reg >= 0xf2 && reg <= 0xf5:
		c.reg[reg] = value
	}
}

// Read goes on from register to register.
func (c *bme280) Read(p []byte) bool {
	for i := range p {
		p[i] = c.reg[c.at]
		c.at++
	}
	return true
}

// words is a chip of 16-bit registers, big end first, behind a pointer.
type words struct {
	reg      map[byte]uint16
	writable map[byte]bool
	at       byte
}

// newMCP9808 measures 25.25 °C (DS25095A, registers 5-1 to 5-7).
func newMCP9808() *words {
	return &words{
		reg:      map[byte]uint16{0x05: 0xc194, 0x06: 0x0054, 0x07: 0x0400, 0x08: 0x0300},
		writable: map[byte]bool{0x01: true, 0x02: true, 0x03: true, 0x04: true},
	}
}

// newTMP102 measures -25 °C (SBOS397, tables 6 to 11).
func newTMP102() *words {
	return &words{
		reg:      map[byte]uint16{0x00: 0xe700, 0x01: 0x60a0, 0x02: 0x4b00, 0x03: 0x5000},
		writable: map[byte]bool{0x01: true, 0x02: true, 0x03: true},
	}
}

func (c *words) Write(p []byte) bool {
	if len(p) > 0 {
		c.at = p[0]
	}
	if len(p) == 3 && c.writable[c.at] {
		c.reg[c.at] = uint16(p[1])<<8 | uint16(p[2])
	}
	return true
}

func (c *words) Read(p []byte) bool {
	for i := range p {
		p[i] = byte(c.reg[c.at] >> (8 * (1 - i%2)))
	}
	return true
}

// bh1750 measures 28067 lx, the example of the datasheet (ROHM 09046EBT01,
// page 7).
type bh1750 struct{ measured bool }

func (c *bh1750) Write(p []byte) bool {
	if len(p) != 1 {
		return len(p) == 0 // its address alone
	}
	switch p[0] &^ 3 {
	case 0x10, 0x20: // measure: continuously, once
		c.measured = true
	}
	return true
}

func (c *bh1750) Read(p []byte) bool {
	clear(p)
	if c.measured {
		copy(p, []byte{0x83, 0x90})
	}
	return true
}

// sht31 measures 25.00 °C and 50.00 % (Sensirion SHT3x-DIS, version 7,
// chapters 4.3 to 4.13).
type sht31 struct{ answer []byte }

func (c *sht31) Write(p []byte) bool {
	if len(p) < 2 {
		return len(p) == 0
	}
	c.answer = nil
	switch uint16(p[0])<<8 | uint16(p[1]) {
	case 0x2400, 0x240b, 0x2416, 0x2c06, 0x2c0d, 0x2c10:
		c.answer = append(sensirion(0x6666), sensirion(0x8000)...)
	case 0xf32d: // status
		c.answer = sensirion(0x8010)
	case 0x3682: // serial number
		c.answer = append(sensirion(0x0a1b), sensirion(0x2c3d)...)
	}
	return true
}

func (c *sht31) Read(p []byte) bool {
	if c.answer == nil {
		return false
	}
	for i := range p {
		p[i] = 0xff
	}
	copy(p, c.answer)
	return true
}

// sensirion is a word with its checksum: CRC-8, polynomial 0x31, from 0xff
// (chapter 4.12).
func sensirion(w uint16) []byte {
	p := []byte{byte(w >> 8), byte(w)}
	crc := byte(0xff)
	for _, b := range p {
		crc ^= b
		for range 8 {
			if crc&0x80 != 0 {
				crc = crc<<1 ^ 0x31
			} else {
				crc <<= 1
			}
		}
	}
	return append(p, crc)
}
