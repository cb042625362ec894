package hw

import (
	"errors"
	"io"
	"strings"
	"sync"

	"tidegate/hw/internal/bus"
	"tidegate/hw/internal/chip"
	"tidegate/hw/internal/line"
)

// opener opens what a sensor is wired to; the closer, which may be nil, ends
// it. Each sensor has handles of its own, so that a call that is stuck in one
// holds no lock of another.
type opener func(c SensorConfig, k chip.Kind) (chip.Wiring, io.Closer, error)

// kernelBuses opens those of this machine; folder is where the gateway keeps
// its state.
func kernelBuses(folder string) opener {
	return func(c SensorConfig, k chip.Kind) (chip.Wiring, io.Closer, error) {
		w, wire, err := openWiring(c, k)
		if k.Bus == chip.Board {
			w.Root, w.Folder = "/", folder
		}
		return w, wire, err
	}
}

func openWiring(c SensorConfig, k chip.Kind) (chip.Wiring, io.Closer, error) {
	w := c.wiring(k)
	name, err := bus.Name(k.Bus, c.Bus)
	if err != nil {
		return w, nil, err
	}
	switch k.Bus {
	case chip.I2C:
		b, err := bus.I2C(name)
		if err != nil {
			return w, nil, err
		}
		w.I2C = b
		return w, b, nil
	case chip.SPI:
		p, err := bus.SPI(name)
		if err != nil {
			return w, nil, err
		}
		w.SPI = p
		return w, p, nil
	case chip.OneWire:
		w.Root, err = bus.OneWire()
	case chip.Lines:
		both, err := openLines(c)
		if err != nil {
			return w, nil, err
		}
		w.Clock, w.Data = both.clock, both.data
		return w, both, nil
	}
	return w, nil, err
}

// hold keeps a scan away from a bus where one may come, until release.
func hold(wire io.Closer) {
	if l, ok := wire.(sync.Locker); ok {
		l.Lock()
	}
}

func release(wire io.Closer) {
	if l, ok := wire.(sync.Locker); ok {
		l.Unlock()
	}
}

// pair are the lines of a chip that is clocked by hand.
type pair struct{ clock, data *line.Line }

func openLines(c SensorConfig) (pair, error) {
	clock, err := line.Chips{}.Open(c.Clock, line.Setup{Output: true})
	if err != nil {
		return pair{}, err
	}
	data, err := line.Chips{}.Open(c.Data, line.Setup{Pull: line.PullUp})
	if err != nil {
		return pair{}, errors.Join(err, clock.Close())
	}
	return pair{clock, data}, nil
}

func (p pair) Close() error { return errors.Join(p.clock.Close(), p.data.Close()) }

// wiring is what the configuration says of the chip's.
func (c SensorConfig) wiring(k chip.Kind) chip.Wiring {
	return chip.Wiring{
		Address: c.address(k), Device: c.Device,
		Setup: c.setup(),
	}
}

func (c SensorConfig) setup() chip.Setup {
	return chip.Setup{Channel: c.Channel, Gain: c.Gain, Shunt: c.Shunt, Reference: c.Reference, Altitude: c.Altitude}
}

// busName is the name of the wires that c shares with others, which one
// goroutine reads: of SPI without the chip select. Chips that are clocked by
// hand share nothing.
func (c SensorConfig) busName(k chip.Kind) string {
	name, err := bus.Name(k.Bus, c.Bus)
	switch {
	case err != nil:
		return c.Bus
	case k.Bus == chip.SPI:
		name, _, _ = strings.Cut(name, ".")
	case k.Bus == chip.Lines:
		name += " " + c.Data
	}
	return name
}
