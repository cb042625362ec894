package doctor

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// socket is a TCP socket that listens.
type socket struct {
	at    netip.AddrPort
	inode string
}

func ports(m *machine, _ context.Context) {
	open := m.listening()
	for _, l := range m.Listeners {
		host, text, err := net.SplitHostPort(l.Bind)
		port, perr := strconv.ParseUint(text, 10, 16)
		if err != nil || perr != nil || port == 0 || strings.HasPrefix(l.Bind, "unix:") {
			continue
		}
		m.port(l, host, uint16(port), open)
	}
}

func (m *machine) port(l Listener, host string, port uint16, open []socket) {
	var holders []socket
	for _, s := range open {
		if s.at.Port() == port && overlap(host, s.at.Addr()) {
			holders = append(holders, s)
		}
	}
	if len(holders) == 0 {
		if m.Running {
			m.say(Attention, "ports", "if the configuration was changed: systemctl reload tidegate; else look at its log: journalctl -u tidegate", "the gateway runs, and nobody listens on %s (%s)", l.Bind, l.Key)
		} else {
			m.say(OK, "ports", "", "%s (%s) is free", l.Bind, l.Key)
		}
		return
	}
	name, pid := m.owner(holders[0].inode)
	switch {
	case name == "":
		m.say(Info, "ports", "use sudo to see who", "a program listens on %s (%s)", l.Bind, l.Key)
	case name == "tidegate", pid == strconv.Itoa(m.PID):
		m.say(OK, "ports", "", "%s (%s) is the gateway's", l.Bind, l.Key)
	default:
		m.say(Trouble, "ports", fmt.Sprintf("stop that one (systemctl disable --now %s), or give %s another port", name, l.Key), "port %d (%s) is taken by another program: %s, process %s", port, l.Key, name, pid)
	}
}

// overlap says whether two sockets on one port are in each other's way.
func overlap(host string, at netip.Addr) bool {
	addr, err := netip.ParseAddr(host)
	return host == "" || err != nil || addr.IsUnspecified() || at.IsUnspecified() || addr.Unmap() == at.Unmap()
}

// listening reads the kernel's tables [proc_pid_net(5): tcp].
func (m *machine) listening() (all []socket) {
	for _, table := range []string{"proc/net/tcp", "proc/net/tcp6"} {
		for line := range strings.Lines(m.read(table)) {
			f := strings.Fields(line)
			if len(f) < 10 || f[3] != "0A" {
				continue
			}
			if at, ok := kernelAddr(f[1]); ok {
				all = append(all, socket{at, f[9]})
			}
		}
	}
	return all
}

// kernelAddr reads "0100007F:1F90": each four bytes in the order of the machine,
// which is little-endian wherever this program runs.
func kernelAddr(s string) (netip.AddrPort, bool) {
	text, port, _ := strings.Cut(s, ":")
	b, err := hex.DecodeString(text)
	n, perr := strconv.ParseUint(port, 16, 16)
	if err != nil || perr != nil || len(b)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(b); i += 4 {
		slices.Reverse(b[i : i+4])
	}
	a, ok := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), ok
}

// owner returns the program that has a socket; "" when this user may not see it.
func (m *machine) owner(inode string) (name, pid string) {
	want := "socket:[" + inode + "]"
	for _, fd := range m.glob("proc/[0-9]*/fd/*") {
		if to, err := os.Readlink(m.path(fd)); err == nil && to == want {
			dir := filepath.Dir(filepath.Dir(fd))
			return m.read(filepath.Join(dir, "comm")), filepath.Base(dir)
		}
	}
	return "", ""
}
