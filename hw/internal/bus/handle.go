package bus

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/i2c"
)

// handle is an opened I2C bus, with a second hold on its device file for what
// periph has not.
//
// The kernel carries out each transfer whole, but a reading is several: a
// command, a wait, an answer. If another process asked the same chip something
// in the wait, the answer would be another one, with a right checksum perhaps.
// So a reading holds a shared lock of the device file [flock(2)], and a scan an
// exclusive one while it asks.
type handle struct {
	i2c.BusCloser
	f *os.File
}

func (h *handle) Close() error { return errors.Join(h.BusCloser.Close(), h.f.Close()) }

// Lock waits for a scan's question to end. Where locks cannot be had it does
// nothing.
func (h *handle) Lock() {
	for h.flock(unix.LOCK_SH) == unix.EINTR {
	}
}

func (h *handle) Unlock() { _ = h.flock(unix.LOCK_UN) }

// tryAlone takes the lock that nobody else may have, if nobody has it.
func (h *handle) tryAlone() bool { return h.flock(unix.LOCK_EX|unix.LOCK_NB) != unix.EWOULDBLOCK }

func (h *handle) flock(how int) error { return unix.Flock(int(h.f.Fd()), how) }
