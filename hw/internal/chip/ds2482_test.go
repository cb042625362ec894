package chip

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/onewire"
	"periph.io/x/conn/v3/onewire/onewiretest"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/devices/v3/ds18b20"
)

// bridge is a DS2482-100 (19-4930) with thermometers on its wire.
type bridge struct {
	devices []onewire.Address
	pads    map[onewire.Address][]byte // nine bytes, after a conversion
	short   bool
	busy    bool // for ever

	status, data, config byte
	sent                 []byte // since the last reset of the wire
	bits                 int    // of a search
	left                 []onewire.Address
	reads                int
	converted            int
}

func (b *bridge) tx(w, r []byte) error {
	time.Sleep(100 * time.Microsecond) // the bytes on the I2C bus
	out := b.status
	if len(w) > 0 {
		switch w[0] {
		case 0xF0:
			b.status, out = 0x18, 0x18
		case 0xE1:
			switch w[1] {
			case 0xF0:
			case 0xE1:
				out = b.data
			default:
				return errGone // no such register in a DS2482-100
			}
		case 0xD2:
			b.config, out = w[1]&0x0F, w[1]&0x0F
		case 0xB4:
			b.reset()
		case 0xA5:
			b.sent = append(b.sent, w[1])
			b.command()
		case 0x96:
			b.data = b.answer()
		case 0x78:
			b.triplet(w[1] >> 7)
		}
	}
	if len(r) > 0 {
		if b.busy {
			out |= 1
		}
		r[0] = out
	}
	return nil
}

func (b *bridge) reset() {
	b.status, b.sent, b.reads, b.bits, b.left = 0x18, b.sent[:0], 0, 0, b.devices
	if len(b.devices) > 0 {
		b.status |= 2
	}
	if b.short {
		b.status |= 4
	}
}

func (b *bridge) command() {
	if len(b.sent) == 10 && b.sent[9] == 0x44 {
		b.converted++
	}
}

func (b *bridge) answer() byte {
	if len(b.sent) != 10 || b.sent[0] != 0x55 || b.sent[9] != 0xBE {
		return 0xFF
	}
	var a onewire.Address
	for i := range 8 {
		a |= onewire.Address(b.sent[1+i]) << (8 * i)
	}
	pad, ok := b.pads[a]
	if !ok || b.reads >= len(pad) {
		return 0xFF
	}
	b.reads++
	return pad[b.reads-1]
}

func (b *bridge) triplet(direction byte) {
	var zeros, ones []onewire.Address
	for _, a := range b.left {
		if a>>b.bits&1 == 0 {
			zeros = append(zeros, a)
		} else {
			ones = append(ones, a)
		}
	}
	b.bits++
	b.status = 0x18
	if len(zeros) == 0 {
		b.status |= 0x20
		direction = 1
	}
	if len(ones) == 0 {
		b.status |= 0x40
		direction = min(direction, 1)
		if len(zeros) > 0 {
			direction = 0
		}
	}
	b.left = zeros
	if direction == 1 {
		b.status |= 0x80
		b.left = ones
	}
}

func scratchpad(b ...byte) []byte { return append(b, onewire.CalcCRC(b)) }

func address(t *testing.T, device string) onewire.Address {
	t.Helper()
	a, err := oneWireAddress(device)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newBridge(t *testing.T, pad []byte, devices ...string) *bridge {
	b := &bridge{pads: map[onewire.Address][]byte{}}
	for _, d := range devices {
		a := address(t, d)
		b.devices = append(b.devices, a)
		b.pads[a] = pad
	}
	return b
}

// Table 1 of the DS18B20's datasheet, p. 5, and an address whose checksum is
// known.
func TestDS2482(t *testing.T) {
	if got, want := address(t, "28-000001318252"), onewire.Address(0x7a00000131825228); got != want {
		t.Errorf("address %#x, want %#x", got, want)
	}
	for raw, want := range map[uint16]float64{
		0x07D0: 125, 0x0191: 25.0625, 0x00A2: 10.125, 0x0008: 0.5, 0x0000: 0, 0xFFF8: -0.5, 0xFF5E: -10.125, 0xFE6F: -25.0625, 0xFC90: -55,
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBridge(t, scratchpad(byte(raw), byte(raw>>8), 0x4B, 0x46, 0x7F, 0xFF, 0x0C, 0x10), "28-0316a2791bff")
			near(t, "temperature", reading(t, "ds2482", opened(t, "ds2482", &jack{addr: 0x1B, model: b.tx}, Setup{}))[0], want, 0)
		})
	}
	b := newBridge(t, scratchpad(0x91, 0x01, 0x4B, 0x46, 0x7F, 0xFF, 0x0F, 0x10), "28-0316a2791bff")
	survives(t, "ds2482", &jack{addr: 0x18, model: b.tx}, Setup{}, 80)
}

// A real 85 °C is read; the one of the power-up is not.
func TestDS2482At85(t *testing.T) {
	pad := func(raw int, six byte) []byte {
		return scratchpad(byte(raw), byte(raw>>8), 0x4B, 0x46, 0x7F, 0xFF, six, 0x10)
	}
	for _, c := range []struct {
		name      string
		before    []byte // a reading that goes before; or none
		pad       []byte
		want      error
		converted int
	}{
		{"measured", nil, pad(85*16, 0x10), nil, 1},
		{"powered up", nil, pad(85*16, 0x0C), errPowerUp, 2},
		{"an imitation, heated slowly", pad(84*16, 0x0C), pad(85*16, 0x0C), nil, 2},
		{"after 20 °C", pad(20*16, 0x10), pad(85*16, 0x0C), errPowerUp, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBridge(t, c.pad, "28-0316a2791bff")
				s := opened(t, "ds2482", &jack{addr: 0x18, model: b.tx}, Setup{})
				if c.before != nil {
					b.pads[b.devices[0]] = c.before
					reading(t, "ds2482", s)
					b.pads[b.devices[0]] = c.pad
				}
				out := []float64{0}
				if err := s.Read(out); !errors.Is(err, c.want) || err == nil && out[0] != 85 {
					t.Errorf("got %v, %v, want error %v", out, err, c.want)
				}
				if b.converted != c.converted {
					t.Errorf("converted %d times, want %d", b.converted, c.converted)
				}
			})
		})
	}
}

// What periph's driver makes of the power-up value: a reading.
func TestPeriphTakesPowerUpForAReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := address(t, "28-0316a2791bff")
		pad := scratchpad(0x50, 0x05, 0x4B, 0x46, 0x7F, 0xFF, 0x0C, 0x10)
		command := func(b ...byte) []byte {
			w := []byte{0x55}
			for i := range 8 {
				w = append(w, byte(a>>(8*i)))
			}
			return append(w, b...)
		}
		bus := &onewiretest.Playback{DontPanic: true, Ops: []onewiretest.IO{
			{W: command(0xBE), R: pad},
			{W: command(0x44), Pull: onewire.StrongPullup},
			{W: command(0xBE), R: pad},
		}}
		dev, err := ds18b20.New(bus, a, 12)
		if err != nil {
			t.Fatal(err)
		}
		var env physic.Env
		if err := dev.Sense(&env); err != nil || env.Temperature.Celsius() != 85 {
			t.Errorf("got %v, %v: periph's driver refuses it now; use it again?", env.Temperature, err)
		}
	})
}

func TestDS2482Faults(t *testing.T) {
	good := scratchpad(0x91, 0x01, 0x4B, 0x46, 0x7F, 0xFF, 0x0F, 0x10)
	wrong := append([]byte(nil), good...)
	wrong[0] ^= 1
	for _, c := range []struct {
		name   string
		change func(*bridge)
		want   error
		text   string
	}{
		{name: "noise", change: func(b *bridge) { b.pads[b.devices[0]] = wrong }, want: errCRC},
		{name: "held low", change: func(b *bridge) { b.pads[b.devices[0]] = make([]byte, 9) }, want: errHeldLow},
		{name: "this one is gone", change: func(b *bridge) { clear(b.pads) }, want: errVanished},
		{name: "all are gone", change: func(b *bridge) { b.devices = nil }, text: "no device present"},
		{name: "a short", change: func(b *bridge) { b.short = true }, text: "short"},
		{name: "busy for ever", change: func(b *bridge) { b.busy = true }, text: "timeout"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBridge(t, good, "28-0316a2791bff")
				s := opened(t, "ds2482", &jack{addr: 0x18, model: b.tx}, Setup{})
				c.change(b)
				start := time.Now()
				err := s.Read(make([]float64, 1))
				if c.want != nil && !errors.Is(err, c.want) || err == nil || !strings.Contains(err.Error(), c.text) {
					t.Errorf("got %v, want %v%s", err, c.want, c.text)
				}
				if took := time.Since(start); took > 2*time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

func TestDS2482Devices(t *testing.T) {
	good := scratchpad(0x91, 0x01, 0x4B, 0x46, 0x7F, 0xFF, 0x0F, 0x10)
	for _, c := range []struct {
		there  []string
		device string
		text   string
	}{
		{there: []string{"28-0316a2791bff", "28-0316a2791c00"}, device: "28-0316a2791c00"},
		{there: []string{"28-0316a2791bff", "28-0316a2791c00"}, text: "28-0316a2791c00"},
		{there: nil, text: "no"},
		{there: []string{"28-0316a2791bff"}, device: "28-0316a2791c00", text: errVanished.Error()},
		{there: []string{"28-0316a2791bff"}, device: "28-0316", text: "no thermometer"},
		{there: []string{"28-0316a2791bff"}, device: "01-0316a2791bff", text: "no thermometer"},
		{there: []string{"28-0316a2791bff"}, device: "28-0316a2791bfg", text: "no thermometer"},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBridge(t, good, c.there...)
			_, err := openDS2482(Wiring{I2C: &jack{addr: 0x18, model: b.tx}, Address: 0x18, Device: c.device})
			if c.text == "" && err != nil || c.text != "" && (err == nil || !strings.Contains(err.Error(), c.text)) {
				t.Errorf("%q of %q: got %v, want %q", c.device, c.there, err, c.text)
			}
		})
	}
}
