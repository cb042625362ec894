package sim

import "slices"

// ds2482 is a DS2482-100, the bridge from I2C to 1-Wire (datasheet 19-4930,
// revision 12, "Function Commands").
type ds2482 struct {
	devices        []*ds18b20
	status, config byte
	data           byte // last byte read from 1-Wire
	pointer        byte // code of the register that Read gives
}

// Commands, codes of registers, and bits of the status.
const (
	cmdReset, cmdPointer, cmdConfig                                  = 0xf0, 0xe1, 0xd2
	cmdWireReset, cmdBit, cmdWriteByte, cmdReadByte, cmdTriplet      = 0xb4, 0x87, 0xa5, 0x96, 0x78
	regStatus, regData, regConfig                               byte = 0xf0, 0xe1, 0xc3
	stsPresence, stsLevel, stsReset, stsBit, stsSecond, stsDir       = 0x02, 0x08, 0x10, 0x20, 0x40, 0x80
)

func newDS2482(devices ...*ds18b20) *ds2482 {
	c := &ds2482{devices: devices}
	c.reset()
	return c
}

func (c *ds2482) reset() {
	c.status, c.config, c.pointer = stsReset|stsLevel, 0, regStatus
}

func (c *ds2482) Write(p []byte) bool {
	switch len(p) {
	case 0:
		return true
	case 1:
		return c.command(p[0])
	}
	return c.commandWith(p[0], p[1])
}

func (c *ds2482) command(cmd byte) bool {
	switch cmd {
	case cmdReset:
		c.reset()
	case cmdWireReset:
		c.status, c.pointer = c.status&^stsPresence, regStatus
		for _, d := range c.devices {
			d.reset()
			c.status |= stsPresence
		}
	case cmdReadByte:
		c.data, c.pointer = 0, regStatus
		for i := range 8 {
			if c.slot(true) {
				c.data |= 1 << i
			}
		}
	default:
		return false
	}
	return true
}

func (c *ds2482) commandWith(cmd, parameter byte) bool {
	c.pointer, c.status = regStatus, c.status&^(stsBit|stsSecond|stsDir)
	switch cmd {
	case cmdPointer:
		if !slices.Contains([]byte{regStatus, regData, regConfig}, parameter) {
			return false
		}
		c.pointer = parameter
	case cmdConfig:
		if parameter>>4 != ^parameter&0xf {
			return false // the upper half is the lower one's complement
		}
		c.config, c.pointer, c.status = parameter&0xf, regConfig, c.status&^stsReset
	case cmdBit:
		c.set(stsBit, c.slot(parameter&0x80 != 0))
	case cmdWriteByte:
		for i := range 8 {
			c.slot(parameter&(1<<i) != 0)
		}
	case cmdTriplet:
		c.triplet(parameter&0x80 != 0)
	default:
		return false // "channel select" is the DS2482-800's
	}
	return true
}

// triplet is one step of a search: the bit, its complement, and the way on.
func (c *ds2482) triplet(way bool) {
	bit, complement := c.slot(true), c.slot(true)
	switch {
	case bit && complement: // nobody
		way = true
	case bit != complement:
		way = bit
	}
	c.slot(way)
	c.set(stsBit, bit)
	c.set(stsSecond, complement)
	c.set(stsDir, way)
}

func (c *ds2482) set(bit byte, on bool) {
	if on {
		c.status |= bit
	}
}

// slot is one time slot: the line is high when the master and all devices
// leave it so.
func (c *ds2482) slot(high bool) bool {
	level := high
	for _, d := range c.devices {
		level = d.slot(high) && level
	}
	return level
}

func (c *ds2482) Read(p []byte) bool {
	for i := range p {
		switch c.pointer {
		case regStatus:
			p[i] = c.status
		case regData:
			p[i] = c.data
		case regConfig:
			p[i] = c.config
		}
	}
	return true
}
