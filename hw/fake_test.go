package hw

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"tidegate/hw/internal/bus"
	"tidegate/hw/internal/chip"
	"tidegate/internal/conf"
)

// board is a Pi whose chips a test pulls, breaks and plugs.
type board struct {
	mu    sync.Mutex
	chips map[uint16]*fakeChip
	gone  error // of the bus
	open  int   // handles
}

// fakeChip answers as it is told to.
type fakeChip struct {
	values func() []float64 // nil: 20, 21, ...
	fails  error            // of Read
	opens  error            // of Open
	hangs  chan struct{}    // Read returns when it is closed
	panics bool             // Read and Halt
	takes  time.Duration    // of Read
	opened int
	reads  []time.Time
	halted int
}

func (b *board) set(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
}

// reads is how often a chip was read, even if it still is.
func (b *board) reads(addr uint16) (n int) {
	b.set(func() { n = len(b.chips[addr].reads) })
	return n
}

var errNoAck = errors.New("i2c: no acknowledge")

// handle is one opened bus.
type handle struct{ b *board }

func (h handle) Close() error {
	h.b.set(func() { h.b.open-- })
	return nil
}

func (b *board) opener(c SensorConfig, k chip.Kind) (chip.Wiring, io.Closer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone != nil {
		return chip.Wiring{}, nil, &bus.Error{Bus: c.busName(k), Hint: "switch it on", Err: b.gone}
	}
	b.open++
	return c.wiring(k), handle{b}, nil
}

// opened is a fakeChip while it is open.
type opened struct {
	b *board
	c *fakeChip
}

func (o *opened) Read(out []float64) error {
	o.b.mu.Lock()
	c := *o.c
	o.c.reads = append(o.c.reads, time.Now())
	o.b.mu.Unlock()
	if c.hangs != nil {
		<-c.hangs
	}
	if c.takes > 0 {
		time.Sleep(c.takes)
	}
	switch {
	case c.panics:
		panic("index out of range")
	case c.fails != nil:
		return c.fails
	case c.values != nil:
		copy(out, c.values())
		return nil
	}
	for i := range out {
		out[i] = 20 + float64(i)
	}
	return nil
}

func (o *opened) Halt() error {
	o.b.mu.Lock()
	defer o.b.mu.Unlock()
	o.c.halted++
	if o.c.panics {
		panic("nil map")
	}
	return nil
}

// find is the table of kinds of a board.
func (b *board) find(name string) (chip.Kind, bool) {
	k := chip.Kind{
		Name: name, Title: "Test " + name, Bus: chip.I2C, Addresses: []uint16{0x76, 0x77, 0x10, 0x11, 0x12},
		Every: 20 * time.Millisecond, Takes: 10 * time.Millisecond,
		Quantities: []chip.Quantity{
			{Name: "temperature", Unit: "°C", Class: "temperature", Resolution: 0.01, Low: -40, High: 85},
			{Name: "humidity", Unit: "%", Class: "humidity", Resolution: 0.1, Low: 0, High: 100},
			{Name: "pressure", Unit: "hPa", Class: "pressure", Resolution: 0.05, Low: 300, High: 1100},
		},
	}
	switch name {
	case "thermo":
		k.Quantities = k.Quantities[:1]
	case "climate":
		k.Quantities = k.Quantities[:2]
	case "weather":
	case "slow":
		k.Every, k.Takes, k.Quantities = 5*time.Second, time.Second, k.Quantities[:1]
	case "gas":
		k.Discard, k.Every, k.Quantities = 3, time.Second, k.Quantities[:1]
	case "steady":
		k.Steady, k.Every, k.Quantities = true, time.Second, k.Quantities[:1]
	case "bridged":
		k.Keys, k.Quantities = []string{"device"}, k.Quantities[:1]
	case "meter":
		k.Keys, k.Quantities = []string{"channel", "gain", "shunt", "altitude"}, k.Quantities[:1]
	case "shop":
		k.Bus, k.Addresses, k.Quantities = chip.SPI, nil, k.Quantities[:1]
	case "string":
		k.Bus, k.Addresses, k.Quantities = chip.OneWire, nil, k.Quantities[:1]
	case "scale":
		k.Bus, k.Addresses, k.Quantities = chip.Lines, nil, k.Quantities[:1]
	default:
		return chip.Kind{}, false
	}
	k.Open = func(w chip.Wiring) (chip.Sensor, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		c := b.chips[w.Address]
		if c == nil {
			return nil, errNoAck
		}
		c.opened++
		return &opened{b: b, c: c}, c.opens
	}
	return k, true
}

// house is a Hardware on a board, and what it said.
type house struct {
	*Hardware
	board *board
	got   submitted
	log   lines
}

func newHouse(t *testing.T, b *board, opt Options, sensors ...SensorConfig) *house {
	t.Helper()
	h := &house{board: b}
	opt.Log, opt.Submit = slog.New(slog.NewTextHandler(&h.log, nil)), h.got.take
	if opt.Clock == nil {
		opt.Clock = func() (time.Time, bool) { return time.Time{}, false }
	}
	var err error
	if h.Hardware, err = build(Config{Sensor: sensors}, opt, b.find, b.opener); err != nil {
		t.Fatal(err)
	}
	return h
}

// state is that of the sensor with that place in the configuration.
func (h *house) state(i int) string {
	s := h.Stats().Sensor[i]
	return fmt.Sprint(s.State, " ", s.Cause)
}

// payloads are those of a topic.
func (h *house) payloads(topic string) (all []string) {
	for _, m := range h.got.on(topic) {
		all = append(all, string(m.Payload))
	}
	return all
}

// lines is a log that several goroutines write.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), part)
}

// each gives the values one after the other, and the last for ever.
func each(values ...float64) func() []float64 {
	n := -1
	return func() []float64 {
		n = min(n+1, len(values)-1)
		return values[n : n+1]
	}
}

func thermo(name string, address int, every time.Duration) SensorConfig {
	return SensorConfig{Kind: "thermo", Name: name, Address: address, Every: conf.Duration(every)}
}

var nan = math.NaN()
