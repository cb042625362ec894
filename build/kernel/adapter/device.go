package adapter

import "encoding/binary"

// Standard requests (USB 2.0, 9.4) and those of i2c-tiny-usb.
const (
	getDescriptor, setConfiguration = 6, 9

	tinyEcho, tinyFunctions, tinyDelay, tinyStatus, tinyMessage = 0, 1, 2, 3, 4

	functions              = 0x0eff0001 // I2C messages, and SMBus made of them (linux/i2c.h)
	addressAck, addressNak = 1, 2
	flagRead               = 1 // I2C_M_RD
)

var (
	deviceDescriptor = []byte{18, 1, 0x10, 0x01, 0, 0, 0, 64, 0x03, 0x04, 0x31, 0xc6, 0x05, 0x02, 0, 0, 0, 1} // 0403:c631
	configDescriptor = []byte{
		9, 2, 18, 0, 1, 1, 0, 0x80, 50, // one interface
		9, 4, 0, 0, 0, 0xff, 0, 0, 0, // without endpoints of its own
	}
)

// transfer carries out one request on the control pipe.
func (a *Adapter) transfer(r request) (status int32, in []byte) {
	kind, req := r.setup[0], r.setup[1]
	value, index := binary.LittleEndian.Uint16(r.setup[2:]), binary.LittleEndian.Uint16(r.setup[4:])
	const kindMask, vendor = 0x60, 0x40
	if kind&kindMask == vendor {
		in = a.tiny(req, value, index, r)
	} else {
		switch {
		case req == setConfiguration:
			return 0, nil
		case req == getDescriptor && value>>8 == 1:
			in = deviceDescriptor
		case req == getDescriptor && value>>8 == 2:
			in = configDescriptor
		}
	}
	if r.in && in == nil {
		return pipe, nil
	}
	return 0, in[:min(len(in), r.length)]
}

// tiny is the adapter itself: value has the flags of a message, index the
// address.
func (a *Adapter) tiny(req byte, value, index uint16, r request) []byte {
	switch {
	case req&^3 == tinyMessage && value&flagRead != 0: // its lower bits are begin and end
		p := make([]byte, r.length)
		if a.acked = a.bus.Read(index, p); !a.acked {
			for i := range p {
				p[i] = 0xff // nobody pulls the wire down
			}
		}
		return p
	case req&^3 == tinyMessage:
		a.acked = a.bus.Write(index, r.out)
	case req == tinyEcho:
		return binary.LittleEndian.AppendUint16(nil, value)
	case req == tinyFunctions:
		return binary.LittleEndian.AppendUint32(nil, functions)
	case req == tinyStatus && a.acked:
		return []byte{addressAck}
	case req == tinyStatus:
		return []byte{addressNak}
	case req == tinyDelay:
	}
	return nil
}
