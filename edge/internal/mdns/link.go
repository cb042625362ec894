package mdns

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// link is a network interface that is served.
type link struct {
	index      int
	name       string
	addrs      []netip.Addr // without zone, sorted
	has4, has6 bool
}

// links returns the interfaces to serve: up, with addresses, able to multicast,
// and neither the machine's own loop nor a port of a bridge.
func links() (map[int]*link, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	found := map[int]*link{}
	for _, i := range all {
		const not = net.FlagLoopback | net.FlagPointToPoint
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagMulticast == 0 || i.Flags&not != 0 {
			continue
		}
		if _, err := os.Lstat(filepath.Join("/sys/class/net", i.Name, "master")); err == nil {
			continue
		}
		l := &link{index: i.Index, name: i.Name}
		addrs, _ := i.Addrs() // none when it has just gone
		early := tentative()  // after them: one that comes in between is not taken for good
		for _, a := range addrs {
			l.add(a, early)
		}
		if len(l.addrs) > 0 {
			slices.SortFunc(l.addrs, netip.Addr.Compare)
			found[i.Index] = l
		}
	}
	return found, nil
}

func (l *link) add(a net.Addr, early map[netip.Addr]bool) {
	ipnet, ok := a.(*net.IPNet)
	if !ok {
		return
	}
	ip, ok := netip.AddrFromSlice(ipnet.IP)
	if ip = ip.Unmap(); !ok || early[ip.WithZone(l.name)] {
		return
	}
	l.has4 = l.has4 || ip.Is4()
	l.has6 = l.has6 || ip.Is6()
	l.addrs = append(l.addrs, ip.WithZone(""))
}

// tentative returns the IPv6 addresses, with their interface, that the kernel still
// looks for elsewhere, a second or two after the link is up (RFC 4862, 5.4), or has
// found there. Nothing can be sent from them: probes would be lost, and a name that
// another machine has be taken. The kernel tells of the address again when it is
// good.
func tentative() map[netip.Addr]bool {
	text, _ := os.ReadFile("/proc/net/if_inet6") // none without IPv6
	found := map[netip.Addr]bool{}
	for line := range strings.Lines(string(text)) {
		var digits, name string
		var index, prefix, scope, flags int
		if _, err := fmt.Sscanf(line, "%s %x %x %x %x %s", &digits, &index, &prefix, &scope, &flags, &name); err != nil {
			continue
		}
		if addr, err := hex.DecodeString(digits); err == nil && flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0 {
			ip, _ := netip.AddrFromSlice(addr)
			found[ip.WithZone(name)] = true
		}
	}
	return found
}

// watchLinks calls changed when an interface or an address comes or goes, until
// the file is closed.
func watchLinks(changed func()) (*os.File, func(), error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), "netlink")
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR}); err != nil {
		f.Close()
		return nil, nil, os.NewSyscallError("bind", err)
	}
	return f, func() {
		buf := make([]byte, 16<<10)
		for {
			if _, err := f.Read(buf); err != nil {
				if pathErr, ok := err.(*os.PathError); !ok || pathErr.Err != unix.ENOBUFS {
					return
				}
			}
			changed()
		}
	}, nil
}
