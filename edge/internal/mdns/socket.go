package mdns

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

const port = 5353

var (
	group4 = netip.MustParseAddrPort("224.0.0.251:5353")
	group6 = netip.MustParseAddrPort("[ff02::fb]:5353")
)

// packet is one that came in.
type packet struct {
	link int // index of the interface
	from netip.AddrPort
	data []byte
}

// sockets are one for IPv4, and for IPv6 one on each link: the group's address has
// the link in it.
type sockets struct {
	take func(packet)
	v4   *ipv4.PacketConn
	v6   map[int]*ipv6.PacketConn // of the goroutine that joins and leaves
	wait sync.WaitGroup
}

// open returns sockets that hand what they hear to take, from several goroutines.
func open(take func(packet)) (*sockets, error) {
	s := &sockets{take: take, v6: map[int]*ipv6.PacketConn{}}
	c, err := bindGroup(unix.AF_INET, &unix.SockaddrInet4{Port: port, Addr: group4.Addr().As4()})
	if err == nil {
		s.v4 = ipv4.NewPacketConn(c)
		err = errors.Join(s.v4.SetControlMessage(ipv4.FlagInterface, true), s.v4.SetMulticastTTL(255), s.v4.SetTTL(255), s.v4.SetMulticastLoopback(true))
	}
	if err != nil {
		if c != nil {
			c.Close()
		}
		return nil, fmt.Errorf("share port %d with the system's mDNS: %w", port, err)
	}
	s.wait.Go(s.read4)
	return s, nil
}

// bindGroup binds to the group itself: package net would bind to every address,
// and take from other programs what is sent to this machine alone.
func bindGroup(family int, at unix.Sockaddr) (net.PacketConn, error) {
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), "mdns")
	defer f.Close() // FilePacketConn has its own
	// ADDR, which resolved sets, and not only PORT, which wants one user.
	if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err == nil && family == unix.AF_INET6 {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}
	if err != nil {
		return nil, os.NewSyscallError("setsockopt", err)
	}
	if err := unix.Bind(fd, at); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	return net.FilePacketConn(f)
}

// close ends the goroutines too.
func (s *sockets) close() {
	s.v4.Close()
	for _, c := range s.v6 {
		c.Close()
	}
	s.wait.Wait()
}

// maxPacket is the largest one that may come [RFC 6762, 17].
const maxPacket = 9000

func (s *sockets) read4() {
	buf := make([]byte, maxPacket)
	for {
		n, cm, from, err := s.v4.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil && cm != nil {
			s.hear(buf[:n], cm.IfIndex, from)
		}
	}
}

func (s *sockets) read6(c *ipv6.PacketConn, link int) {
	buf := make([]byte, maxPacket)
	for {
		n, _, from, err := c.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			s.hear(buf[:n], link, from)
		}
	}
}

func (s *sockets) hear(data []byte, link int, from net.Addr) {
	if udp, ok := from.(*net.UDPAddr); ok {
		s.take(packet{link, udp.AddrPort(), bytes.Clone(data)})
	}
}

// join begins to hear a link, or its second family.
func (s *sockets) join(l *link) error {
	i := &net.Interface{Index: l.index, Name: l.name}
	var err4, err6 error
	if l.has4 {
		err4 = s.v4.JoinGroup(i, &net.UDPAddr{IP: group4.Addr().AsSlice()})
		if errors.Is(err4, unix.EADDRINUSE) {
			err4 = nil // joined before
		}
	}
	if l.has6 && s.v6[l.index] == nil {
		err6 = s.join6(i)
	}
	return errors.Join(err4, err6)
}

func (s *sockets) join6(i *net.Interface) error {
	pc, err := bindGroup(unix.AF_INET6, &unix.SockaddrInet6{Port: port, Addr: group6.Addr().As16(), ZoneId: uint32(i.Index)})
	if err != nil {
		return err
	}
	c := ipv6.NewPacketConn(pc)
	err = errors.Join(c.JoinGroup(i, &net.UDPAddr{IP: group6.Addr().AsSlice()}), c.SetMulticastInterface(i),
		c.SetMulticastHopLimit(255), c.SetHopLimit(255), c.SetMulticastLoopback(true))
	if err != nil {
		pc.Close()
		return err
	}
	s.v6[i.Index] = c
	s.wait.Go(func() { s.read6(c, i.Index) })
	return nil
}

// leave ends what join began; the kernel itself leaves the IPv4 group of an
// interface that is gone.
func (s *sockets) leave(l *link) {
	if l.has4 {
		s.v4.LeaveGroup(&net.Interface{Index: l.index, Name: l.name}, &net.UDPAddr{IP: group4.Addr().AsSlice()})
	}
	if c := s.v6[l.index]; c != nil {
		c.Close()
		delete(s.v6, l.index)
	}
}

// multicast sends to everybody on a link. What cannot be sent now is asked for
// again, or the link goes.
func (s *sockets) multicast(l *link, data []byte) {
	if l.has4 {
		s.v4.WriteTo(data, &ipv4.ControlMessage{IfIndex: l.index}, net.UDPAddrFromAddrPort(group4))
	}
	if c := s.v6[l.index]; c != nil && l.has6 {
		c.WriteTo(data, nil, net.UDPAddrFromAddrPort(group6))
	}
}

// unicast sends to one.
func (s *sockets) unicast(l *link, to netip.AddrPort, data []byte) {
	if to.Addr().Unmap().Is4() {
		s.v4.WriteTo(data, &ipv4.ControlMessage{IfIndex: l.index}, net.UDPAddrFromAddrPort(to))
	} else if c := s.v6[l.index]; c != nil {
		c.WriteTo(data, nil, net.UDPAddrFromAddrPort(to))
	}
}
