package network

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
)

// Network is a set of hosts and the lanes between them.
type Network struct {
	Lab *Host // this program's own host

	readers sync.WaitGroup
	lanes   sync.WaitGroup

	mu    sync.RWMutex // guards what follows
	hosts []*Host      // in the order of their addresses
}

// Host is a place in the network: a namespace with one address.
type Host struct {
	Name string
	Addr netip.Addr

	ns    *os.File
	tun   *os.File
	lanes map[netip.Addr]*lane // to the others; guarded by Network.mu
}

// subnet is where the hosts' addresses are; the first is the lab's own.
var subnet = netip.MustParsePrefix("10.77.0.0/24")

// New makes a network with the lab's own host in it. The program must have
// been started by Enter.
func New() (*Network, error) {
	if !Inside() {
		return nil, errors.New("make a network: this program was not started by network.Enter, and the machine's own network is not touched")
	}
	ns, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	n := &Network{}
	n.Lab, err = n.add("lab", ns)
	return n, err
}

// Host adds a host.
func (n *Network) Host(name string) (*Host, error) {
	ns, err := newNamespace()
	if err != nil {
		return nil, fmt.Errorf("make host %s: %w", name, err)
	}
	return n.add(name, ns)
}

func (n *Network) add(name string, ns *os.File) (*Host, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	addr := subnet.Addr().Next()
	if len(n.hosts) > 0 {
		addr = n.hosts[len(n.hosts)-1].Addr.Next()
	}
	tun, err := openTUN(ns, netip.PrefixFrom(addr, subnet.Bits()))
	if err != nil {
		ns.Close()
		return nil, fmt.Errorf("make host %s: %w", name, err)
	}
	h := &Host{Name: name, Addr: addr, ns: ns, tun: tun, lanes: map[netip.Addr]*lane{}}
	for _, o := range n.hosts {
		n.lane(o, h)
		n.lane(h, o)
	}
	n.hosts = append(n.hosts, h)
	n.readers.Go(func() { n.read(h) })
	return h, nil
}

// lane is called with mu held.
func (n *Network) lane(from, to *Host) {
	l := newLane(to.tun)
	from.lanes[to.Addr] = l
	n.lanes.Go(l.run)
}

// Namespace is the host's network namespace, for proc.Command and In.
func (h *Host) Namespace() *os.File { return h.ns }

// At returns "address:port" on this host.
func (h *Host) At(port uint16) string { return netip.AddrPortFrom(h.Addr, port).String() }

// read hands each packet that the host sends to its lane.
func (n *Network) read(h *Host) {
	for buf := make([]byte, 1<<16); ; {
		size, err := h.tun.Read(buf)
		if err != nil {
			return // closed
		}
		if to, ok := destination(buf[:size]); ok {
			n.mu.RLock()
			l := h.lanes[to]
			n.mu.RUnlock()
			if l != nil {
				l.accept(buf[:size])
			}
		}
	}
}

// destination reads the address an IPv4 packet is for [RFC 791, 3.1]. Nothing
// else is carried.
func destination(packet []byte) (addr netip.Addr, ok bool) {
	if len(packet) < 20 || packet[0]>>4 != 4 {
		return addr, false
	}
	return netip.AddrFrom4([4]byte(packet[16:20])), true
}

// Way makes f the state of the lane from one host to the other.
func (n *Network) Way(from, to *Host, f Fault) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	from.lanes[to.Addr].set(f)
}

// Between makes f the state of both lanes between two hosts.
func (n *Network) Between(a, b *Host, f Fault) {
	n.Way(a, b, f)
	n.Way(b, a, f)
}

// Counts returns what the lane from one host to the other has done.
func (n *Network) Counts(from, to *Host) Counts {
	n.mu.RLock()
	defer n.mu.RUnlock()
	l := from.lanes[to.Addr]
	return Counts{l.passed.Load(), l.lost.Load()}
}

// Close takes all devices away and returns when nothing of the network runs
// any more.
func (n *Network) Close() error {
	var errs []error
	n.mu.Lock()
	hosts := n.hosts
	n.mu.Unlock()
	for _, h := range hosts {
		errs = append(errs, h.tun.Close())
	}
	n.readers.Wait()
	for _, h := range hosts {
		for _, l := range h.lanes {
			close(l.queue)
		}
	}
	n.lanes.Wait()
	for _, h := range hosts {
		errs = append(errs, h.ns.Close())
	}
	return errors.Join(errs...)
}
