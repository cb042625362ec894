package provision

import (
	"strings"
	"testing"
)

// The firewall opens what the configuration in use listens to, and nothing that
// only a bad one names.
func TestPortsOfTheFirewall(t *testing.T) {
	p := newPlace(t)
	p.run()
	if got, want := p.read("root/"+portsFile), "add element inet tidegate tcp_in { 8883, 1883, 8080 }\n"; got != want {
		t.Errorf("standard: got %q, want %q", got, want)
	}
	const own = "[[edge.listener]]\nbind = ':1884'\nanonymous = true\n[[edge.listener]]\nbind = ':9001'\nanonymous = true\n[[edge.listener]]\nbind = ':1884'\nanonymous = true\n[[edge.listener]]\nbind = ':http'\nanonymous = true\n"
	p.write("boot/tidegate.toml", own)
	p.run()
	if got, want := p.read("root/"+portsFile), "add element inet tidegate tcp_in { 1884, 9001, 8080 }\n"; got != want {
		t.Errorf("own: got %q, want %q", got, want)
	}
	p.write("boot/tidegate.toml", own+"[console]\nbind = '127.0.0.1:81'\n")
	p.run()
	if got, want := p.read("root/"+portsFile), "add element inet tidegate tcp_in { 1884, 9001, 81 }\n"; got != want {
		t.Errorf("a console elsewhere: got %q, want %q", got, want)
	}
	p.write("boot/tidegate.toml", own+"[console]\nbind = ''\n")
	p.run()
	if got, want := p.read("root/"+portsFile), "add element inet tidegate tcp_in { 1884, 9001 }\n"; got != want {
		t.Errorf("no console: got %q, want %q", got, want)
	}
	p.write("boot/tidegate.toml", "colour = 1\n[[edge.listener]]\nbind = ':22'\n")
	p.run()
	if got, want := p.read("root/"+portsFile), "add element inet tidegate tcp_in { 1884, 9001 }\n"; got != want {
		t.Errorf("with an error: got %q, want %q", got, want)
	}
}

// The home is told of broker and page.
func TestDiscovery(t *testing.T) {
	p := newPlace(t)
	p.run()
	for name, want := range map[string]string{
		"0":    "[Service]\nName=Tidegate on %H\nType=_secure-mqtt._tcp\nPort=8883\nTxtText=gateway=",
		"1":    "[Service]\nName=Tidegate on %H\nType=_mqtt._tcp\nPort=1883\nTxtText=gateway=",
		"page": "[Service]\nName=Tidegate on %H\nType=_http._tcp\nPort=8080\nTxtText=path=/ gateway=",
	} {
		if got := p.read("root/run/systemd/dnssd/tidegate-" + name + ".dnssd"); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %q, want %q...", name, got, want)
		}
	}
}
