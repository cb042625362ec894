package sim

import "encoding/binary"

// ds18b20 is a thermometer on 1-Wire, powered by its own wire (datasheet
// 19-7487, revision 6).
type ds18b20 struct {
	rom        [8]byte
	scratchpad [9]byte
	step       func(high bool) bool // what the next slot does to the line; nil: nothing
}

// newDS18B20 has a serial number of 48 bits, and measures sixteenths of a
// degree.
func newDS18B20(serial uint64, temperature int16) *ds18b20 {
	d := &ds18b20{}
	binary.LittleEndian.PutUint64(d.rom[:], serial<<8|0x28)
	d.rom[7] = maxim(d.rom[:7])
	binary.LittleEndian.PutUint16(d.scratchpad[:], uint16(temperature))
	copy(d.scratchpad[2:], []byte{0x4b, 0x46, 0x7f, 0xff, 0x0c, 0x10})
	d.scratchpad[8] = maxim(d.scratchpad[:8])
	return d
}

func (d *ds18b20) reset() { d.step = d.take(1, d.romCommand) }

func (d *ds18b20) slot(high bool) bool {
	if d.step == nil {
		return true
	}
	return d.step(high)
}

// take collects n bytes, the lowest bit first, and hands them on.
func (d *ds18b20) take(n int, then func([]byte)) func(bool) bool {
	p, bits := make([]byte, n), 0
	return func(high bool) bool {
		if high {
			p[bits/8] |= 1 << (bits % 8)
		}
		if bits++; bits == 8*n {
			d.step = nil
			then(p)
		}
		return true
	}
}

// give sends bytes and then leaves the line alone, which reads as ones.
func (d *ds18b20) give(p []byte) func(bool) bool {
	bits := 0
	return func(bool) bool {
		if bits == 8*len(p) {
			return true
		}
		bit := p[bits/8]&(1<<(bits%8)) != 0
		bits++
		return bit
	}
}

func (d *ds18b20) romCommand(cmd []byte) {
	switch cmd[0] {
	case 0x33: // read ROM
		d.step = d.give(d.rom[:])
	case 0xcc: // skip ROM
		d.step = d.take(1, d.function)
	case 0x55: // match ROM
		d.step = d.take(8, func(rom []byte) {
			if [8]byte(rom) == d.rom {
				d.step = d.take(1, d.function)
			}
		})
	case 0xf0: // search ROM
		d.step = d.search()
	}
}

// search gives each bit and its complement, and leaves when the master goes
// the other way.
func (d *ds18b20) search() func(bool) bool {
	n := 0
	return func(high bool) bool {
		bit := d.rom[n/24]&(1<<(n/3%8)) != 0
		part := n % 3
		n++
		switch part {
		case 0:
			return bit
		case 1:
			return !bit
		}
		if high != bit || n == 3*64 {
			d.step = nil
		}
		return true
	}
}

func (d *ds18b20) function(cmd []byte) {
	switch cmd[0] {
	case 0xbe: // read scratchpad
		d.step = d.give(d.scratchpad[:])
	case 0x4e: // write scratchpad
		d.step = d.take(3, func(p []byte) {
			copy(d.scratchpad[2:5], p)
			d.scratchpad[8] = maxim(d.scratchpad[:8])
		})
	}
	// Convert, copy, recall and read power supply: done at once, and powered,
	// which all read as ones.
}

// maxim is the CRC of 1-Wire: polynomial X^8 + X^5 + X^4 + 1, from 0.
func maxim(p []byte) byte {
	crc := byte(0)
	for _, b := range p {
		crc ^= b
		for range 8 {
			if crc&1 != 0 {
				crc = crc>>1 ^ 0x8c
			} else {
				crc >>= 1
			}
		}
	}
	return crc
}
