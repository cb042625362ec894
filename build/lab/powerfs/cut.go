package powerfs

import (
	"maps"
	"slices"
)

// Mode says what a power cut does to what was not synced.
type Mode int

const (
	Drop    Mode = iota // nothing of it survives
	Tear                // some of its 512-byte sectors survive, and the first so many name changes
	Reorder             // some writes and name changes survive, whole, made in any order
)

func (m Mode) String() string { return [...]string{"drop", "tear", "reorder"}[m] }

// Modes returns all modes, for tests that try each.
func Modes() []Mode { return []Mode{Drop, Tear, Reorder} }

// sector is what a disk writes whole or not at all.
const sector = 512

// Off cuts the power: until Cut nothing that would change the disk has an
// effect; it returns EIO.
func (d *Disk) Off() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off = true
}

// Cut settles a power cut: it decides what of the unsynced survived, which is
// durable from then on, and switches the power on. Injected faults end. The
// disk must not be mounted.
func (d *Disk) Cut(m Mode) {
	d.mu.Lock()
	defer d.mu.Unlock()
	// Many cuts find nearly all or nearly nothing written.
	odds := []float64{0.1, 0.5, 0.9}[d.chance.IntN(3)]
	survives := func() bool { return d.chance.Float64() < odds }
	for _, id := range slices.Sorted(maps.Keys(d.nodes)) { // the same seed, the same cut
		n := d.nodes[id]
		for _, c := range d.survivors(m, n.pending, survives) {
			n.durable = c.apply(n.durable)
		}
		n.pending = nil
		n.data = slices.Clone(n.durable)
	}
	switch m {
	case Tear:
		for _, v := range d.moves[:d.chance.IntN(len(d.moves)+1)] {
			v.keep()
		}
	case Reorder:
		for _, v := range d.moves {
			if survives() {
				v.keep()
			}
		}
	}
	d.moves = nil
	d.restart()
	d.off = false
	d.faults = nil
}

// survivors chooses among the unsynced changes of a file.
func (d *Disk) survivors(m Mode, pending []change, survives func() bool) []change {
	var left []change
	switch m {
	case Tear:
		for _, c := range pending {
			left = append(left, tear(c, survives)...)
		}
	case Reorder:
		for _, c := range pending {
			if survives() {
				left = append(left, c)
			}
		}
		d.chance.Shuffle(len(left), func(i, j int) { left[i], left[j] = left[j], left[i] })
	}
	return left
}

// tear breaks a write at the sector boundaries of the file and returns the
// pieces that survive.
func tear(c change, survives func() bool) []change {
	if c.data == nil {
		if survives() {
			return []change{c}
		}
		return nil
	}
	var left []change
	for at, rest := c.at, c.data; len(rest) > 0; {
		n := min(int64(len(rest)), sector-at%sector)
		if survives() {
			left = append(left, change{at, rest[:n]})
		}
		at, rest = at+n, rest[n:]
	}
	return left
}

// restart makes the durable names current and forgets what has none.
func (d *Disk) restart() {
	for _, n := range d.nodes {
		n.opens = 0
		if n.dir() {
			n.names = maps.Clone(n.kept)
		}
	}
	d.reap()
}
