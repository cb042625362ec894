package power

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"
)

// Disk is a medium with a volatile write cache, as cards and drives have. Its
// methods may be called while a Server serves it.
type Disk struct {
	size int64

	mu      sync.Mutex
	chance  *rand.Rand
	current blocks   // what is read
	durable blocks   // what a cut leaves for certain
	pending []change // what current has and durable has not, oldest first
	bad     []region // where reads fail
	off     bool
	left    int64         // requests until the power goes; 0: it stays
	gone    chan struct{} // closed when it went, nil without OffAfter
	lie     bool
	delay   time.Duration // of a FLUSH, at the most
	stats   Stats
}

// Stats counts what reached the disk since New.
type Stats struct {
	Writes, Written int64 // requests that had an effect, and their bytes
	Flushes, Forced int64 // FLUSH requests; writes with FUA
	Trims           int64
	Dropped, Kept   int64 // sectors of unflushed writes, in cuts
	Refused         int64 // requests answered with EIO
}

// change is a write that is not durable yet.
type change struct {
	at   int64
	data []byte
}

// region is a piece of the disk, in bytes.
type region struct{ at, size int64 }

func (r region) meets(at, size int64) bool { return at < r.at+r.size && r.at < at+size }

// sector is what a disk writes whole or not at all, in bytes.
const sector = 512

// Mode says what a power cut does to writes that were not flushed.
type Mode int

// The modes. In all of them what was flushed stays.
const (
	Drop Mode = iota // none survives
	Tear             // some of their sectors survive
	Some             // some survive whole, also later ones without earlier ones
)

func (m Mode) String() string { return [...]string{"drop", "tear", "some"}[m] }

// New returns an empty disk of size bytes, a multiple of 4096. The seed
// decides what power cuts leave.
func New(size int64, seed uint64) *Disk {
	return &Disk{size: size, chance: rand.New(rand.NewPCG(seed, 0)), current: blocks{}, durable: blocks{}}
}

// Load makes a file the durable content of the disk, from its first byte on.
func (d *Disk) Load(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	buffer := make([]byte, blockSize)
	for at := int64(0); ; at += blockSize {
		n, err := io.ReadFull(f, buffer)
		if n > 0 && (!zero(buffer[:n]) || d.current[at/blockSize] != nil || d.durable[at/blockSize] != nil) {
			d.current.write(at, buffer[:n])
			d.durable.write(at, buffer[:n])
		}
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// Save writes into a new file what a cut leaves for certain.
func (d *Disk) Save(file string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	for number, b := range d.durable {
		if _, err := f.WriteAt(b[:], number*blockSize); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(f.Truncate(d.size), f.Close())
}

// Stats returns the counts.
func (d *Disk) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stats
}

// SetFlushDelay makes FLUSH take time, up to so much, as flash does.
func (d *Disk) SetFlushDelay(delay time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.delay = delay
}

// SetLie makes the disk acknowledge FLUSH and FUA and keep nothing, as bad
// cards do.
func (d *Disk) SetLie(lie bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lie = lie
}

// Break makes reads of a region fail from now on, until Heal.
func (d *Disk) Break(at, size int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bad = append(d.bad, region{at, size})
}

// Heal makes all regions readable again.
func (d *Disk) Heal() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bad = nil
}

// Off takes the power away: until Cut every request that would change the disk
// fails, so that no promise can rest on one.
func (d *Disk) Off() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off = true
}

// OffAfter takes the power away at the nth write or FLUSH from now on, which
// fails; of a write some may survive. The channel is closed when it happens.
func (d *Disk) OffAfter(n int64) <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left, d.gone = n, make(chan struct{})
	return d.gone
}

// powered says, for each request that changes something, whether there is power
// for it; mu is held.
func (d *Disk) powered() bool {
	if d.left > 0 && !d.off {
		if d.left--; d.left == 0 {
			d.off = true
			close(d.gone)
		}
	}
	if d.off {
		d.stats.Refused++
	}
	return !d.off
}

// Cut decides what of the unflushed survived, which is durable from then on.
// Requests keep failing until On.
func (d *Disk) Cut(m Mode) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off, d.left = true, 0
	// Many cuts find nearly all or nearly nothing written.
	odds := []float64{0.1, 0.5, 0.9}[d.chance.IntN(3)]
	survives := func() bool { return m != Drop && d.chance.Float64() < odds }
	for _, c := range d.pending {
		whole := survives()
		for part := range slices.Chunk(c.data, sector) {
			if m == Tear && survives() || m == Some && whole {
				d.durable.write(c.at, part)
				d.stats.Kept++
			} else {
				d.stats.Dropped++
			}
			c.at += int64(len(part))
		}
	}
	for _, c := range d.pending {
		d.durable.read(c.at, c.data)
		d.current.write(c.at, c.data)
	}
	d.pending = nil
}

// On brings the power back.
func (d *Disk) On() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off = false
}

// errMedium is EIO of a request.
var errMedium = errors.New("input/output error")

func (d *Disk) read(at int64, b []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if slices.ContainsFunc(d.bad, func(r region) bool { return r.meets(at, int64(len(b))) }) {
		d.stats.Refused++
		return errMedium
	}
	d.current.read(at, b)
	return nil
}

// write takes b over. force is FUA.
func (d *Disk) write(at int64, b []byte, force bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	last := !d.off
	powered := d.powered()
	if powered || last {
		d.current.write(at, b)
		d.pending = append(d.pending, change{at, b})
	}
	if !powered {
		return errMedium
	}
	d.stats.Writes++
	d.stats.Written += int64(len(b))
	if force {
		d.stats.Forced++
		d.settle(region{at, int64(len(b))})
	}
	return nil
}

func (d *Disk) trim(at, size int64) error {
	d.mu.Lock()
	d.stats.Trims++
	d.mu.Unlock()
	return d.write(at, make([]byte, size), false)
}

func (d *Disk) flush() error {
	d.mu.Lock()
	delay := d.delay
	d.mu.Unlock()
	if delay > 0 {
		time.Sleep(rand.N(delay))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.powered() {
		return errMedium
	}
	d.stats.Flushes++
	d.settle(region{0, d.size})
	return nil
}

// settle makes durable what touches a region. It keeps the order of writes to
// one place, so writes that overlap go along.
func (d *Disk) settle(r region) {
	if d.lie {
		return
	}
	d.pending = slices.DeleteFunc(d.pending, func(c change) bool {
		touched := r.meets(c.at, int64(len(c.data)))
		if touched {
			d.durable.write(c.at, c.data)
		}
		return touched
	})
}
