package bus

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/i2c"
)

// Wire is an I2C bus as a scan needs it.
type Wire interface {
	i2c.BusCloser
	// Quick says whether the adapter can send an address and nothing else.
	Quick() bool
	// Messages says whether the adapter can do more than SMBus's calls, which
	// drivers of sensors need.
	Messages() bool
	// Answers asks at an address in one of the two harmless ways. It returns
	// errInUse for an address that a driver of the kernel has, and is not asked.
	Answers(addr uint16, q question) (bool, error)
	// Alone keeps readings of the gateway away until Unlock; false when one
	// does not end.
	Alone() bool
	Unlock()
}

// question is how an address is asked.
type question byte

const (
	// quickWrite sends the address, to write, and stops. Write-only chips bear
	// it.
	quickWrite question = iota
	// readByte reads one byte.
	readByte
)

// ask is the rule of i2cdetect [i2c-tools, i2cdetect(8)]: 0x03 to 0x07 and
// 0x78 and on are reserved and not asked. A quick write to the EEPROMs of
// memory modules protects them for good (0x30 to 0x37), and damages what is in
// some other EEPROMs (0x50 to 0x5F); those are read. A read hangs some
// write-only chips (clock generators at 0x69); all others are written to.
//
// Where the adapter has no quick write (a Pi 5 under Debian's kernel) the
// others are read too, but for 0x69.
func ask(addr uint16, quick bool) (q question, ok bool) {
	switch {
	case addr >= 0x30 && addr <= 0x37, addr >= 0x50 && addr <= 0x5F:
		return readByte, true
	case quick:
		return quickWrite, true
	}
	return readByte, addr != 0x69
}

const firstAddress, lastAddress = 0x08, 0x77

var errInUse = errors.New("a driver of the kernel has this address")

// wire is a bus of the kernel.
type wire struct {
	*handle
	funcs uint64
}

// openWire opens a bus for a scan.
func openWire(name string) (Wire, error) {
	b, err := I2C(name)
	if err != nil {
		return nil, err
	}
	w := &wire{handle: b.(*handle)}
	if err := w.call(callFuncs, unsafe.Pointer(&w.funcs)); err != nil {
		return nil, errors.Join(fmt.Errorf("ask %s what it can: %w", name, err), w.Close())
	}
	return w, nil
}

// patience is how long a scan waits for a reading to end; that of a
// thermometer behind a bridge takes a second and a half.
const patience = 3 * time.Second

func (w *wire) Alone() bool {
	for end := time.Now().Add(patience); !w.tryAlone(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// The kernel's calls [Linux, include/uapi/linux/i2c-dev.h and i2c.h].
const (
	callSlave = 0x0703
	callFuncs = 0x0705
	callSMBus = 0x0720

	funcMessages = 1 << 0
	funcQuick    = 1 << 16
	smbusWrite   = 0
	smbusRead    = 1
	smbusQuick   = 0
	smbusOneByte = 1
)

type smbusCall struct {
	readWrite byte
	command   byte
	size      uint32
	data      *[34]byte
}

func (w *wire) Quick() bool    { return w.funcs&funcQuick != 0 }
func (w *wire) Messages() bool { return w.funcs&funcMessages != 0 }

func (w *wire) Answers(addr uint16, q question) (bool, error) {
	switch err := unix.IoctlSetInt(int(w.f.Fd()), callSlave, int(addr)); {
	case errors.Is(err, unix.EBUSY):
		return false, errInUse
	case err != nil:
		return false, err
	}
	c := smbusCall{readWrite: smbusWrite, size: smbusQuick}
	var data [34]byte
	if q == readByte {
		c = smbusCall{readWrite: smbusRead, size: smbusOneByte, data: &data}
	}
	switch err := w.call(callSMBus, unsafe.Pointer(&c)); {
	case err == nil:
		return true, nil
	case errors.Is(err, unix.ETIMEDOUT), errors.Is(err, unix.ESHUTDOWN), errors.Is(err, unix.EAGAIN):
		return false, err
	}
	return false, nil // drivers have several numbers for no acknowledge, ENODEV among them
}

func (w *wire) call(request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, w.f.Fd(), request, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}
