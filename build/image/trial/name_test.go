//go:build image

package trial

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// Two gateways of one name on one cable: the one that comes later takes another
// name, sends its owner there in its report, and each is found under its own.
func TestSameName(t *testing.T) {
	cable := "stream,id=home,addr.type=unix,addr.path=" + filepath.Join(t.TempDir(), "cable")
	first, second := named(t, 1, cable+",server=on"), named(t, 2, cable+",server=off")
	second.says("Finished tidegate-report.service")

	other := second.announced()
	if got := first.announced(); got != "pump-house" || other == got {
		t.Errorf("got %s and %s, want pump-house and another", got, other)
	}
	finds := func(p *pi, name string, at *pi) {
		t.Helper()
		want, out := at.address(), ""
		eventually(t, name+" is found at "+want, func() bool {
			out, _ = p.shell(within(t), "resolvectl query --cache=no -4 "+name)
			return strings.Contains(out, want)
		})
		shown(t, "resolvectl", out)
	}
	finds(first, other+".local", second)
	finds(second, "pump-house.local", first)

	// tidegate.local, which every gateway tells beside its own name.
	var names []string
	eventually(t, "one is tidegate.local, the other tidegate-2.local", func() bool {
		names = []string{first.found(), second.found()}
		return names[0] != names[1] && names[0] != "" && names[1] != ""
	})
	t.Logf("%q", names)

	second.off()
	report := second.report()
	told(t, report, "Something needs your attention", "another device here is called pump-house.local already; this gateway answers to "+other+".local",
		"Name       "+other+".local", "In a browser: http://"+other+".local:8080", "MQTT at "+other+".local, port 8883, TLS")
	if _, connect, _ := strings.Cut(report, "HOW TO CONNECT"); strings.Contains(connect, "pump-house.local") {
		t.Error("its owner is sent to the other gateway")
	}
}

// named is a gateway called pump-house, with its second network on the cable.
func named(t *testing.T, i int, netdev string) *pi {
	t.Helper()
	p := newPi(t, "virt", card2GB)
	p.put("hostname.txt", "pump-house\n")
	p.qemu = []string{"-netdev", netdev, "-device", fmt.Sprintf("virtio-net-pci,netdev=home,romfile=,mac=52:54:00:00:00:%02d", i)}
	p.on()
	p.ready()
	p.logIn()
	eventually(t, "it has an address on the cable", func() bool { return p.address() != "" })
	return p
}

// address is the Pi's on the cable.
func (p *pi) address() string {
	p.t.Helper()
	return p.ssh("ip -4 -br addr show eth1 | grep -o '169[.0-9]*' || true")
}

// announced is the name that systemd-resolved tells.
func (p *pi) announced() string {
	p.t.Helper()
	return p.ssh(`busctl get-property org.freedesktop.resolve1 /org/freedesktop/resolve1 org.freedesktop.resolve1.Manager LLMNRHostname | cut -d '"' -f 2`)
}

// found is the name that the gateway itself tells.
func (p *pi) found() string {
	p.t.Helper()
	return p.ssh(`journalctl -b -u tidegate -o cat | grep 'has a name in the network' | tail -1 | grep -o 'endpoint=[^ ]*' || true`)
}
