// Package adapter is an I2C adapter on USB that exists only as a program: it
// speaks USB/IP to the kernel's virtual host controller (vhci-hcd), and the
// kernel's driver of a real adapter (i2c-tiny-usb) finds it there. So
// /dev/i2c-N behaves as on a Pi, with every kind of message, which i2c-stub
// cannot: that knows SMBus calls only, and drivers of chips send messages.
//
//	program ---ioctl---> /dev/i2c-N -> i2c-tiny-usb -> usbcore -> vhci-hcd
//	                                                                 | socket
//	sim.Bus <-------------------- Serve <----------------------------+
//
// USB/IP: Documentation/usb/usbip_protocol.rst. The adapter: a control request
// per I2C message, then one for whether it was acknowledged.
package adapter

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"tidegate/build/kernel/sim"
)

// USB/IP: commands and the length of every header.
const (
	cmdSubmit, cmdUnlink, retSubmit, retUnlink = 1, 2, 3, 4
	headerLen                                  = 48
	pipe, connReset                            = -32, -104 // Linux's EPIPE and ECONNRESET, negative
)

// Adapter serves one bus.
type Adapter struct {
	bus  *sim.Bus
	conn io.ReadWriteCloser

	mu      sync.Mutex          // guards what follows, and writing to conn
	waiting map[uint32]struct{} // requests that are neither answered nor taken back

	acked bool // the last message was; only the worker's
}

// request is one transfer that the kernel asks for.
type request struct {
	seq    uint32
	in     bool
	length int
	setup  [8]byte
	out    []byte
}

// New is an adapter for the bus; conn leads to vhci-hcd.
func New(bus *sim.Bus, conn io.ReadWriteCloser) *Adapter {
	return &Adapter{bus: bus, conn: conn, waiting: map[uint32]struct{}{}}
}

// Serve answers the kernel until conn is closed. Transfers are carried out one
// after the other, as on a bus; one that hangs can be taken back meanwhile.
func (a *Adapter) Serve() error {
	queue := make(chan request, 64)
	var wg sync.WaitGroup
	wg.Go(func() {
		for r := range queue {
			status, in := a.transfer(r)
			a.answer(r, status, in)
		}
	})
	err := a.receive(queue)
	close(queue)
	wg.Wait()
	if err == io.EOF {
		return nil
	}
	return err
}

func (a *Adapter) receive(queue chan<- request) error {
	for in := bufio.NewReader(a.conn); ; {
		var h [headerLen]byte
		if _, err := io.ReadFull(in, h[:]); err != nil {
			return err
		}
		seq := binary.BigEndian.Uint32(h[4:])
		switch cmd := binary.BigEndian.Uint32(h[0:]); cmd {
		case cmdSubmit:
			r := request{seq: seq, in: binary.BigEndian.Uint32(h[12:]) == 1,
				length: int(binary.BigEndian.Uint32(h[24:])), setup: [8]byte(h[40:])}
			if r.length < 0 || r.length > 1<<16 {
				return fmt.Errorf("a transfer of %d bytes", r.length)
			}
			if !r.in {
				r.out = make([]byte, r.length)
				if _, err := io.ReadFull(in, r.out); err != nil {
					return err
				}
			}
			a.mu.Lock()
			a.waiting[seq] = struct{}{}
			a.mu.Unlock()
			queue <- r
		case cmdUnlink:
			if err := a.takeBack(seq, binary.BigEndian.Uint32(h[20:])); err != nil {
				return err
			}
		default:
			return fmt.Errorf("unknown command %d of USB/IP", cmd)
		}
	}
}

// takeBack forgets a request that the kernel gave up.
func (a *Adapter) takeBack(seq, victim uint32) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	status := int32(0) // answered already
	if _, ok := a.waiting[victim]; ok {
		delete(a.waiting, victim)
		status = connReset
	}
	_, err := a.conn.Write(header(retUnlink, seq, status, 0))
	return err
}

func (a *Adapter) answer(r request, status int32, in []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.waiting[r.seq]; !ok {
		return
	}
	delete(a.waiting, r.seq)
	done := len(in)
	if !r.in && status == 0 {
		done = r.length
	}
	// A broken connection shows in receive.
	a.conn.Write(append(header(retSubmit, r.seq, status, done), in...))
}

func header(cmd, seq uint32, status int32, length int) []byte {
	h := make([]byte, headerLen)
	binary.BigEndian.PutUint32(h[0:], cmd)
	binary.BigEndian.PutUint32(h[4:], seq)
	binary.BigEndian.PutUint32(h[20:], uint32(status))
	binary.BigEndian.PutUint32(h[24:], uint32(length))
	return h
}
