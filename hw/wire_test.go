package hw

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/physic"

	"tidegate/hw/internal/bus"
	"tidegate/hw/internal/chip"
	"tidegate/internal/conf"
)

// wires are I2C buses with the registers of real chips behind them, so that
// the drivers of the table run as they do on a Pi.
type wires struct {
	mu    sync.Mutex
	buses map[string]map[uint16]*registers
	gone  error         // of all of them
	stuck chan struct{} // transfers wait until it is closed
}

// registers are those of a chip that reads and writes at a pointer. Writing to
// them is kept out of the pages that hold an identity or a result.
type registers struct {
	mem   [512 + 32]byte
	words bool // a register has two bytes
}

func (w *wires) opener(c SensorConfig, k chip.Kind) (chip.Wiring, io.Closer, error) {
	name := c.busName(k)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone != nil {
		return chip.Wiring{}, nil, &bus.Error{Bus: name, Hint: "switch it on", Err: w.gone}
	}
	out := c.wiring(k)
	out.I2C = wire{w, name}
	return out, nil, nil
}

// wire is one opened bus.
type wire struct {
	*wires
	name string
}

func (b wire) String() string                  { return b.name }
func (b wire) SetSpeed(physic.Frequency) error { return nil }

func (b wire) Tx(addr uint16, w, r []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if stuck := b.stuck; stuck != nil {
		b.mu.Unlock()
		<-stuck
		b.mu.Lock()
	}
	if b.gone != nil {
		return b.gone
	}
	c := b.buses[b.name][addr]
	if c == nil || len(w) == 0 {
		return syscall.EREMOTEIO // no acknowledge, as the kernel says it
	}
	at := int(w[0])
	if c.words {
		at *= 2
	}
	if len(w) > 1 && w[0] != 0xE0 {
		copy(c.mem[at:], w[1:])
	}
	copy(r, c.mem[at:])
	return nil
}

// bme280 has the coefficients of the BMP280's datasheet, p. 23, whose example
// gives 25.08 °C and 1006.53 hPa, and humidity coefficients of a real chip.
func bme280() *registers {
	c := &registers{}
	c.mem[0xD0] = 0x60
	for i, v := range []int{27504, 26435, -1000, 36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000} {
		binary.LittleEndian.PutUint16(c.mem[0x88+2*i:], uint16(v))
	}
	c.mem[0xA1] = 75
	copy(c.mem[0xE1:], []byte{0x63, 0x01, 0, 0x15, 0x24, 0x03, 30})
	copy(c.mem[0xF7:], []byte{0x65, 0x5a, 0xc0, 0x7e, 0xed, 0x00, 0x6d, 0x60})
	return c
}

// mcp9808 is at 25.25 °C (DS25095A, p. 24).
func mcp9808() *registers {
	c := &registers{words: true}
	binary.BigEndian.PutUint16(c.mem[2*5:], 0x0194)
	binary.BigEndian.PutUint16(c.mem[2*6:], 0x0054)
	binary.BigEndian.PutUint16(c.mem[2*7:], 0x0400)
	return c
}

// twenty sensors on two buses, read every second.
func twenty() (*wires, []SensorConfig) {
	w := &wires{buses: map[string]map[uint16]*registers{}}
	var all []SensorConfig
	add := func(kind, bus string, addr uint16, chip *registers) {
		if w.buses[bus] == nil {
			w.buses[bus] = map[uint16]*registers{}
		}
		w.buses[bus][addr] = chip
		all = append(all, SensorConfig{
			Kind: kind, Name: strings.Join([]string{kind, bus, show(address(addr))}, "-"),
			Bus: bus, Address: int(addr), Every: conf.Duration(time.Second),
		})
	}
	for _, bus := range []string{"i2c-1", "i2c-3"} {
		for addr := range uint16(2) {
			add("bme280", bus, 0x76+addr, bme280())
		}
		for addr := range uint16(8) {
			add("mcp9808", bus, 0x18+addr, mcp9808())
		}
	}
	return w, all
}

func (w *wires) hardware(t testing.TB, opt Options, all ...SensorConfig) *Hardware {
	t.Helper()
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	h, err := build(Config{Sensor: all}, opt, chip.Find, w.opener)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// The whole way from the registers of chips to messages, while one is pulled
// and plugged, another is exchanged, and the bus vanishes and hangs.
func TestRealChipsThroughTheGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, all := twenty()
		var got submitted
		h := w.hardware(t, Options{Submit: got.take, Clock: func() (time.Time, bool) { return time.Time{}, false }}, all...)
		house := &house{Hardware: h}
		states := func() map[State]int {
			n := map[State]int{}
			for _, s := range h.Stats().Sensor {
				n[s.State]++
			}
			return n
		}
		expect := func(what string, offline int, cause string) {
			t.Helper()
			n := 0
			for _, s := range h.Stats().Sensor {
				if s.State == Offline && strings.Contains(s.Cause, cause) {
					n++
				}
			}
			if n != offline || states()[Online] != len(all)-offline {
				t.Errorf("%s: got %v, %d with %q, want %d offline", what, states(), n, cause, offline)
			}
		}
		change := func(f func()) {
			w.mu.Lock()
			defer w.mu.Unlock()
			f()
		}
		stuck := make(chan struct{})
		pulled := w.buses["i2c-1"][0x76]
		house.runFor(t, 20*time.Minute,
			after(30500*time.Millisecond, func() {
				expect("at first", 0, "")
				change(func() { delete(w.buses["i2c-1"], 0x76) })
			}),
			after(30*time.Second, func() {
				expect("pulled", 1, "remote I/O error")
				change(func() { w.buses["i2c-1"][0x76] = pulled })
			}),
			after(61*time.Second, func() {
				expect("plugged", 0, "")
				change(func() { w.buses["i2c-1"][0x76] = mcp9808() })
			}),
			after(30*time.Second, func() {
				expect("exchanged", 1, "another kind of chip answers")
				change(func() { w.buses["i2c-1"][0x76] = bme280() })
			}),
			after(61*time.Second, func() {
				expect("exchanged back", 0, "")
				change(func() { w.buses["i2c-3"][0x1a].mem[10] = 0x0c }) // 192 °C and more
			}),
			after(30*time.Second, func() {
				expect("out of range", 1, "outside -40 to 125")
				change(func() { w.buses["i2c-3"][0x1a] = mcp9808() })
			}),
			after(61*time.Second, func() {
				expect("back in range", 0, "")
				change(func() { w.gone = errors.New("no such device") })
			}),
			after(60*time.Second, func() {
				expect("the bus vanished", 20, "no such device")
				change(func() { w.gone = nil })
			}),
			after(70*time.Second, func() {
				expect("the bus is back", 0, "")
				change(func() { w.stuck = stuck })
			}),
			after(90*time.Second, func() {
				expect("the bus hangs", 20, "does not return from the bus")
				change(func() { w.stuck = nil })
				close(stuck)
			}),
			after(90*time.Second, func() { expect("the bus goes on", 0, "") }),
		)
		first := got.on("sensors/bme280-i2c-1-0x76")
		if want := `{"temperature":25.08,"humidity":`; len(first) == 0 || !strings.HasPrefix(string(first[0].Payload), want) || !strings.HasSuffix(string(first[0].Payload), `,"pressure":1006.53}`) {
			t.Errorf("got %s", first[0].Payload)
		}
		if want := `{"temperature":25.25}`; string(got.on("sensors/mcp9808-i2c-3-0x1f")[0].Payload) != want {
			t.Errorf("got %s, want %s", got.on("sensors/mcp9808-i2c-3-0x1f")[0].Payload, want)
		}
		var words []string
		for _, m := range got.on("sensors/bme280-i2c-1-0x76/availability") {
			words = append(words, string(m.Payload))
		}
		if want := strings.Fields("online offline online offline online offline online offline online offline"); !slices.Equal(words, want) {
			t.Errorf("availability: got %v, want %v", words, want)
		}
	})
}

// A stop takes its few seconds, however many sensors a bus holds up.
func TestStopWhileTheBusHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, all := twenty()
		var got submitted
		h := w.hardware(t, Options{Submit: got.take}, all...)
		stuck := make(chan struct{})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- h.Run(ctx) }()
		time.Sleep(30500 * time.Millisecond)
		w.mu.Lock()
		w.stuck = stuck
		w.mu.Unlock()
		stop()
		begin := time.Now()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("took %v, want 5 s at most", took)
		}
		for _, c := range all {
			if m := got.on("sensors/" + c.Name + "/availability"); len(m) == 0 || string(m[len(m)-1].Payload) != "offline" {
				t.Errorf("%s does not say that it is offline", c.Name)
			}
		}
		close(stuck)
	})
}
