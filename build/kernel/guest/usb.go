package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tidegate/build/kernel/adapter"
	"tidegate/build/kernel/sim"
)

// plugged is the I2C adapter; its chips stay on the bus while it is off.
type plugged struct {
	bus  *sim.Bus
	conn net.Conn   // nil: off
	done chan error // what Serve returned
}

const hostController = "/sys/devices/platform/vhci_hcd.0/"

// adapterVerb puts the adapter into the machine's virtual USB socket, or pulls
// it out.
func (g *guest) adapterVerb(words []string) (string, error) {
	switch words[0] {
	case "on":
		return g.plugged().on()
	case "off":
		return "", g.plugged().off()
	}
	return "", fmt.Errorf("on or off, not %q", words[0])
}

func (g *guest) plugged() *plugged {
	if g.adapter == nil {
		g.adapter = &plugged{bus: sim.NewBus()}
	}
	return g.adapter
}

// on returns the number of the bus: N of /dev/i2c-N.
func (p *plugged) on() (string, error) {
	if p.conn != nil {
		return "", errors.New("it is on")
	}
	for _, m := range []string{"vhci-hcd", "i2c-tiny-usb", "i2c-dev"} {
		if err := load(m); err != nil {
			return "", err
		}
	}
	before := buses()
	theirs, ours, err := socketPair()
	if err != nil {
		return "", err
	}
	defer theirs.Close() // the kernel keeps its own hold
	p.conn, p.done = ours, make(chan error, 1)
	go func() { p.done <- adapter.New(p.bus, ours).Serve() }()
	const port, device, fullSpeed = 0, 1, 2
	if err := write(hostController+"attach", fmt.Sprintf("%d %d %d %d", port, theirs.Fd(), device, fullSpeed)); err != nil {
		return "", errors.Join(err, p.off())
	}
	for range 3000 {
		for name := range buses() {
			if !before[name] {
				return strings.TrimPrefix(name, "/dev/i2c-"), nil
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	return "", errors.Join(errors.New("no new /dev/i2c-N after a minute"), p.off())
}

func (p *plugged) off() error {
	if p.conn == nil {
		return errors.New("it is off")
	}
	err := p.conn.Close() // the kernel sees it as unplugged
	p.conn = nil
	return errors.Join(err, ignoreClosed(<-p.done))
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func buses() map[string]bool {
	names, _ := filepath.Glob("/dev/i2c-*") // the pattern is right
	all := map[string]bool{}
	for _, n := range names {
		all[n] = true
	}
	return all
}

func socketPair() (*os.File, net.Conn, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	theirs, ours := os.NewFile(uintptr(fds[0]), "kernel"), os.NewFile(uintptr(fds[1]), "adapter")
	defer ours.Close() // FileConn duplicates it
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, nil, errors.Join(err, theirs.Close())
	}
	return theirs, conn, nil
}

func (g *guest) plug(words []string) (string, error) {
	addr, err := address(words[0])
	if err != nil {
		return "", err
	}
	return "", g.plugged().bus.Plug(addr, words[1])
}

func (g *guest) unplug(words []string) (string, error) {
	addr, err := address(words[0])
	if err != nil {
		return "", err
	}
	g.plugged().bus.Unplug(addr)
	return "", nil
}

func (g *guest) hold(words []string) (string, error) {
	addr, err := address(words[0])
	if err != nil {
		return "", err
	}
	d, err := time.ParseDuration(words[1])
	if err != nil {
		return "", err
	}
	g.plugged().bus.Hold(addr, d)
	return "", nil
}

func address(s string) (uint16, error) {
	a, err := strconv.ParseUint(s, 0, 7)
	return uint16(a), err
}
