package powerfs

import "syscall"

// Op is a set of operations.
type Op uint8

const (
	Write    Op = 1 << iota // write
	Truncate                // truncate, shorter or longer
	Sync                    // fsync and fdatasync, of files and directories
	Names                   // create, mkdir, rename, unlink, rmdir
	Read                    // read; pages that are mapped and cached stay readable
)

// Fault makes operations fail.
type Fault struct {
	Ops   Op
	Err   syscall.Errno // EIO, ENOSPC
	After int64         // so many bytes may still be written before it strikes
	Times int           // strikes before it heals itself; 0: until Heal or Cut
}

// Inject adds a fault to those already there.
func (d *Disk) Inject(f Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = append(d.faults, &f)
}

// Heal ends all injected faults.
func (d *Disk) Heal() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = nil
}

// allow says whether an operation that writes n bytes may go on.
func (d *Disk) allow(op Op, n int64) syscall.Errno {
	if d.off && op != Read {
		d.stats.Failed++
		return syscall.EIO
	}
	for i, f := range d.faults {
		if op == Write && n <= f.After {
			f.After -= n
			continue
		}
		if op == Write {
			f.After = 0
		}
		if f.After > 0 || f.Ops&op == 0 {
			continue
		}
		if f.Times--; f.Times == 0 {
			d.faults = append(d.faults[:i:i], d.faults[i+1:]...)
		}
		d.stats.Failed++
		return f.Err
	}
	return 0
}
