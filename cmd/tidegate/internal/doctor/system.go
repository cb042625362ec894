package doctor

import (
	"context"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"
)

// wiring says for each bus its devices, and how it is switched on.
var wiring = map[string]struct{ devices, group, on string }{
	"i2c":    {"dev/i2c-*", "i2c", "dtparam=i2c_arm=on in /boot/firmware/config.txt, then restart; without it: modprobe i2c-dev"},
	"spi":    {"dev/spidev*", "spi", "dtparam=spi=on in /boot/firmware/config.txt, then restart"},
	"gpio":   {"dev/gpiochip*", "gpio", "this kernel has no GPIO driver for this machine"},
	"1-wire": {"sys/bus/w1/devices/w1_bus_master*", "", "dtoverlay=w1-gpio in /boot/firmware/config.txt, then restart"},
}

func buses(m *machine, _ context.Context) {
	who := m.user()
	for _, name := range m.Buses {
		w := wiring[name]
		all := m.glob(w.devices)
		if len(all) == 0 {
			m.say(Trouble, "buses", w.on, "%s is in the configuration, and this machine has none: no %s", name, "/"+w.devices)
			continue
		}
		closed := ""
		for _, device := range all {
			if info, err := os.Stat(m.path(device)); err == nil && who != nil && w.group != "" && !who.may(info, 6) {
				closed = device
			}
		}
		if closed != "" {
			m.say(Trouble, "buses", "usermod -aG "+w.group+" "+m.User+"; the rules in /lib/udev/rules.d/60-tidegate.rules give the devices to that group", "%s may not use %s", m.User, closed)
			continue
		}
		m.say(OK, "buses", "", "%s: %s", name, strings.Join(all, " "))
	}
}

func network(m *machine, ctx context.Context) {
	v4, v6 := m.defaultRoute4(), m.defaultRoute6()
	level := Info
	if m.Uplinks > 0 {
		level = Trouble
	}
	switch {
	case !v4 && !v6:
		m.say(level, "network", "look at the cable or the Wi-Fi: ip address; nmcli, or wifi.txt on the image", "this machine has no way out: no default route")
	case !v4:
		m.say(Info, "network", "", "the way out is by IPv6 alone: clouds that have no IPv6 address are out of reach")
	case v6:
		m.say(OK, "network", "", "a way out by IPv4 and IPv6")
	case m.globalAddress6():
		m.say(Attention, "network", "see that the router announces a route, or switch IPv6 off here", "this machine has an IPv6 address and no IPv6 way out: connections may be tried there in vain first")
	default:
		m.say(OK, "network", "", "a way out by IPv4; no IPv6")
	}
	if m.nameServers() == 0 {
		m.say(level, "network", "see /etc/resolv.conf, or: resolvectl status", "no name server is known")
	}
	m.resolve(ctx)
}

// resolve asks for all names at once.
func (m *machine) resolve(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	errs := make([]error, len(m.Hosts))
	var wg sync.WaitGroup
	for i, host := range m.Hosts {
		if _, err := netip.ParseAddr(host); err != nil {
			wg.Go(func() { errs[i] = m.Resolve(ctx, host) })
		}
	}
	wg.Wait()
	bad := false
	for i, err := range errs {
		if err != nil {
			bad = true
			m.say(Trouble, "network", "see the name in endpoints, and the name server; tidegate uplink test walks the whole way", "the address of %s is not found: %v", m.Hosts[i], err)
		}
	}
	if len(m.Hosts) > 0 && !bad {
		m.say(OK, "network", "", "the addresses of the cloud are found: %s", strings.Join(m.Hosts, ", "))
	}
}

// defaultRoute4 reads the table of routes: destination and mask 0, and up
// [kernel: net/ipv4/fib_trie.c].
func (m *machine) defaultRoute4() bool {
	for line := range strings.Lines(m.read("proc/net/route")) {
		if f := strings.Fields(line); len(f) >= 8 && f[1] == "00000000" && f[7] == "00000000" && f[0] != "lo" {
			return true
		}
	}
	return false
}

func (m *machine) defaultRoute6() bool {
	for line := range strings.Lines(m.read("proc/net/ipv6_route")) {
		f := strings.Fields(line)
		if len(f) >= 10 && strings.Trim(f[0], "0") == "" && f[1] == "00" && f[9] != "lo" {
			return true
		}
	}
	return false
}

// globalAddress6 says whether an interface has an address that others can reach
// [kernel: net/ipv6/addrconf.c: address, index, prefix, scope, flags, name].
func (m *machine) globalAddress6() bool {
	for line := range strings.Lines(m.read("proc/net/if_inet6")) {
		f := strings.Fields(line)
		if len(f) == 6 && f[3] == "00" && !strings.HasPrefix(f[0], "fc") && !strings.HasPrefix(f[0], "fd") {
			return true
		}
	}
	return false
}

func (m *machine) nameServers() (n int) {
	for line := range strings.Lines(m.read("etc/resolv.conf")) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "nameserver" {
			n++
		}
	}
	return n
}

func service(m *machine, ctx context.Context) {
	if !m.is("run/systemd/system") {
		m.say(Info, "service", "", "systemd does not run here: nobody starts the gateway again when it ends")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := m.Systemctl(ctx, "show", m.Unit, "--property=LoadState,ActiveState,SubState,UnitFileState,NRestarts,Result")
	if err != nil {
		m.say(Info, "service", "", "systemctl does not answer: %v", err)
		return
	}
	p := map[string]string{}
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		p[name] = value
	}
	const look = "see why: journalctl -u tidegate -n 50"
	switch {
	case p["LoadState"] == "not-found":
		m.say(Info, "service", "", "%s is not installed: the gateway was started by hand", m.Unit)
		return
	case p["ActiveState"] == "active":
		m.say(OK, "service", "", "%s is %s", m.Unit, p["SubState"])
	case p["ActiveState"] == "activating" || p["ActiveState"] == "reloading" || p["ActiveState"] == "deactivating":
		m.say(Attention, "service", look, "%s is %s (%s)", m.Unit, p["ActiveState"], p["SubState"])
	default:
		m.say(Trouble, "service", "start it: sudo systemctl enable --now tidegate; "+look, "%s does not run: %s, %s", m.Unit, p["ActiveState"], p["Result"])
	}
	if n := p["NRestarts"]; n != "" && n != "0" {
		m.say(Attention, "service", look, "it was started again after it ended by itself, times: %s", n)
	}
	if s := p["UnitFileState"]; s == "disabled" || s == "masked" {
		m.say(Attention, "service", "sudo systemctl enable tidegate", "it is not started when the machine starts: %s", s)
	}
}
