package edge

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// What is told is what others can reach: each listener on every address or on one
// that is not the machine's own, by its port and by whether it speaks TLS.
func TestWhatIsAnnounced(t *testing.T) {
	files := newCertFiles(t, newAuthority(t, "test"), 1)
	secure := ListenerConfig{Bind: "0.0.0.0:0", Cert: files.cert, Key: files.key}
	for _, c := range []struct {
		what      string
		listeners []ListenerConfig
		want      []string
		any       bool
	}{
		{"this machine only", []ListenerConfig{{Bind: "127.0.0.1:0"}, {Bind: "[::1]:0"}}, nil, false},
		{"a socket", []ListenerConfig{{Bind: "unix:" + t.TempDir() + "/s"}}, nil, false},
		{"proxies only", []ListenerConfig{{Bind: ":0", Proxies: []string{"192.0.2.1"}}}, nil, false},
		{"all", []ListenerConfig{{Bind: ":0"}, secure}, []string{"_mqtt._tcp", "_secure-mqtt._tcp"}, true},
		{"two of a kind", []ListenerConfig{{Bind: ":0"}, {Bind: ":0"}}, []string{"_mqtt._tcp", "_mqtt._tcp, port"}, true},
		{"WebSockets", []ListenerConfig{{Bind: ":0", Protocol: overWebSocket}}, nil, true},
	} {
		cfg := DefaultConfig()
		cfg.Listeners = c.listeners
		b, err := New(cfg, Options{Gateway: "gw"})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Listen(); err != nil {
			t.Fatal(err)
		}
		defer func() {
			for _, l := range b.listeners {
				l.close()
			}
		}()
		opt, any := b.announced()
		var got []string
		for _, s := range opt.Services {
			got = append(got, s.Type+s.Name[:min(len(s.Name), 6)])
			if s.Port == 0 || s.Addr.IsValid() || !slices.Equal(s.Text, []string{"gateway=gw"}) {
				t.Errorf("%s: got %+v", c.what, s)
			}
		}
		if any != c.any || !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, %v, want %q, %v", c.what, got, any, c.want, c.any)
		}
		off := cfg
		off.MDNS.Enabled = false
		b.conf.Store(&off)
		if _, any := b.announced(); any {
			t.Errorf("%s: told although it is switched off", c.what)
		}
	}
}

// A page is told of like a listener, as long as there is one that others can reach.
func TestPageIsAnnounced(t *testing.T) {
	b := startBroker(t, Options{Gateway: "gw"})
	for _, c := range []struct {
		at   string
		want string
	}{
		{"[::]:8080", "[{_http._tcp 8080 invalid IP [path=/ gateway=gw] }] true"},
		{"192.0.2.7:80", "[{_http._tcp 80 192.0.2.7 [path=/ gateway=gw] }] true"},
		{"127.0.0.1:8080", "[] false"},
		{"", "[] false"},
	} {
		var at net.Addr
		if c.at != "" {
			at = net.TCPAddrFromAddrPort(netip.MustParseAddrPort(c.at))
		}
		b.OfferPage(at)
		opt, any := b.announced()
		if got := fmt.Sprint(opt.Services, any); got != c.want {
			t.Errorf("%s: got %s, want %s", c.at, got, c.want)
		}
	}
}

func TestServicesOfTheSystem(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "tidegate-0.dnssd"), []byte("[Service]\nName=Tidegate on %H\nType=_mqtt._tcp\nPort=1883\nTxtText=gateway=x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(systemServices(dir, dir+"/none")), "map[_mqtt._tcp 1883:true]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestBadMDNS(t *testing.T) {
	for _, c := range []MDNSConfig{{Host: "tide.gate"}, {Host: "-x"}, {Host: "tidegate.local"}, {Host: "tür"}, {Name: "a.b"}, {Name: fmt.Sprintf("%049d", 0)}} {
		if len(c.Check()) != 1 {
			t.Errorf("%+v: got %v, want one problem", c, c.Check())
		}
	}
	if got := DefaultConfig().MDNS.Check(); len(got) > 0 {
		t.Errorf("the default: got %v", got)
	}
}
