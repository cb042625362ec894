// Package sim has the chips of the guest's I2C bus: what they answer, from
// their datasheets and from what real ones were seen to answer. They know
// nothing of the gateway's drivers.
//
// Caveats: conversions take no time, and nothing is worn, warm or noisy.
package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Chip is one I2C device. Each method is one message on the bus, after the
// address; false: not acknowledged. A chip is called by one goroutine at a
// time.
type Chip interface {
	Write(p []byte) bool
	Read(p []byte) bool
}

// Bus is what the wires of one I2C bus connect.
type Bus struct {
	mu    sync.Mutex // guards what follows, and the chips
	chips map[uint16]Chip
	holds map[uint16]time.Duration
}

// NewBus has no chips on it.
func NewBus() *Bus { return &Bus{chips: map[uint16]Chip{}, holds: map[uint16]time.Duration{}} }

// Plug puts a chip of that kind at an address.
func (b *Bus) Plug(addr uint16, kind string) error {
	make, ok := kinds[kind]
	if !ok {
		return fmt.Errorf("no chip %q; there are %s", kind, strings.Join(slices.Sorted(maps.Keys(kinds)), ", "))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.chips[addr] = make()
	return nil
}

// Unplug takes the chip at addr away.
func (b *Bus) Unplug(addr uint16) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.chips, addr)
}

// Hold lets the chip at addr hold the clock down that long at every message:
// what a chip that hangs does.
func (b *Bus) Hold(addr uint16, d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.holds[addr] = d
}

// Write sends one message to a chip and says whether it was acknowledged.
func (b *Bus) Write(addr uint16, p []byte) bool {
	return b.at(addr, func(c Chip) bool { return c.Write(p) })
}

// Read is Write the other way round.
func (b *Bus) Read(addr uint16, p []byte) bool {
	return b.at(addr, func(c Chip) bool { return c.Read(p) })
}

func (b *Bus) at(addr uint16, message func(Chip) bool) bool {
	b.mu.Lock()
	hold := b.holds[addr]
	b.mu.Unlock()
	time.Sleep(hold)
	b.mu.Lock()
	defer b.mu.Unlock()
	c, ok := b.chips[addr]
	return ok && message(c)
}

// kinds makes chips as they are after power-up.
var kinds = map[string]func() Chip{
	"bme280":  func() Chip { return newBME280() },
	"mcp9808": func() Chip { return newMCP9808() },
	"tmp102":  func() Chip { return newTMP102() },
	"bh1750":  func() Chip { return &bh1750{} },
	"sht31":   func() Chip { return &sht31{} },
	"ds2482":  func() Chip { return newDS2482(newDS18B20(0x0316a2791bff, -8.5*16)) }, // -8.5 °C
}
