package uplink

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"golang.org/x/net/dns/dnsmessage"

	"tidegate/internal/conf"
)

// nameServer is a small real DNS server.
type nameServer struct {
	conn    net.PacketConn
	mu      sync.Mutex // guards what follows
	a       map[string][]string
	srv     map[string][]dnsmessage.SRVResource
	silent  bool // answers nothing
	failing bool // answers SERVFAIL
	asked   int
}

func newNameServer(t testing.TB) *nameServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &nameServer{conn: conn, a: map[string][]string{}, srv: map[string][]dnsmessage.SRVResource{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.serve()
	}()
	t.Cleanup(func() { conn.Close(); <-done })
	return s
}

func (s *nameServer) addr() string { return s.conn.LocalAddr().String() }

func (s *nameServer) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *nameServer) host(name string, addresses ...string) {
	s.set(func() { s.a[name] = addresses })
}

func (s *nameServer) service(name string, records ...dnsmessage.SRVResource) {
	s.set(func() { s.srv[name] = records })
}

func (s *nameServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func (s *nameServer) serve() {
	buf := make([]byte, 1500)
	for {
		n, from, err := s.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
			continue
		}
		if s.answer(&m) {
			if out, err := m.Pack(); err == nil {
				s.conn.WriteTo(out, from)
			}
		}
	}
}

func (s *nameServer) answer(m *dnsmessage.Message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	q := m.Questions[0]
	name := strings.TrimSuffix(q.Name.String(), ".")
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	header := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}
	switch {
	case s.silent:
		return false
	case s.failing:
		m.RCode = dnsmessage.RCodeServerFailure
	case s.a[name] == nil && s.srv[name] == nil:
		m.RCode = dnsmessage.RCodeNameError
	}
	if m.RCode != dnsmessage.RCodeSuccess {
		return true
	}
	for _, text := range s.a[name] {
		ip := net.ParseIP(text)
		if v4 := ip.To4(); v4 != nil && q.Type == dnsmessage.TypeA {
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: [4]byte(v4)}})
		} else if v4 == nil && q.Type == dnsmessage.TypeAAAA {
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: [16]byte(ip)}})
		}
	}
	for _, r := range s.srv[name] {
		if q.Type == dnsmessage.TypeSRV {
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &r})
		}
	}
	return true
}

func srvRecord(name string, port, priority, weight int) dnsmessage.SRVResource {
	return dnsmessage.SRVResource{Target: dnsmessage.MustNewName(name), Port: uint16(port), Priority: uint16(priority), Weight: uint16(weight)}
}

// cloudsAt makes clouds at several addresses, all with the same port.
func cloudsAt(t testing.TB, hosts ...string) (clouds []*cloud, port string) {
	t.Helper()
again:
	for range 100 {
		clouds, port = nil, "0"
		for _, host := range hosts {
			ln, err := net.Listen("tcp", net.JoinHostPort(host, port))
			if err != nil {
				for _, c := range clouds {
					c.ln.Close()
				}
				continue again
			}
			_, port, _ = net.SplitHostPort(ln.Addr().String())
			clouds = append(clouds, &cloud{t: t, ln: ln})
		}
		return clouds, port
	}
	t.Fatal("no port is free at all addresses")
	return nil, ""
}

func named(dns *nameServer, urls ...string) Config {
	c := calm(quick(urls...))
	c.DNSServer, c.ResolveEvery = dns.addr(), conf.Duration(time.Second)
	return c
}

func endpointsOf(u *Uplink) []string { return urls(u.settings.Load().endpoints) }

// Every address of a name is an endpoint: the links sit on different ones, and
// a failover goes to the next.
func TestEveryAddressIsAnEndpoint(t *testing.T) {
	clouds, port := cloudsAt(t, "127.0.0.2", "127.0.0.3", "127.0.0.4")
	for _, c := range clouds {
		c.start()
	}
	dns := newNameServer(t)
	dns.host("nodes.test", "127.0.0.4", "127.0.0.2", "127.0.0.3", "127.0.0.2")
	cfg := named(dns, "mqtt://nodes.test:"+port)
	cfg.Links, cfg.StableAfter = 3, conf.Duration(time.Second) // links that a busy machine pushed together part again
	u, _ := begin(t, cfg, Options{})
	at := map[string]int{}
	eventually(t, "each link is up at an address of its own", func() bool {
		clear(at)
		for i := range 3 {
			if s := state(u, i); s.State == Connected {
				at[s.Endpoint] = i
			}
		}
		return len(at) == 3
	})
	want := []string{}
	for i := range clouds {
		want = append(want, fmt.Sprintf("mqtt://nodes.test:%s (127.0.0.%d)", port, i+2))
	}
	if got := endpointsOf(u); !slices.Equal(got, want) {
		t.Errorf("got endpoints %v, want %v", got, want)
	}
	clouds[0].stop()
	eventually(t, "the first node's link is on another", func() bool {
		s := state(u, at[want[0]])
		return s.State == Connected && s.Endpoint != want[0] && s.Failovers > 0
	})
}

// When the answer changes, links stay connected; who connects anew goes to the
// new addresses only.
func TestDNSChangesUnderWay(t *testing.T) {
	clouds, port := cloudsAt(t, "127.0.0.2", "127.0.0.3")
	old, next := clouds[0].start(), clouds[1].start()
	dns := newNameServer(t)
	dns.host("nodes.test", "127.0.0.2")
	u, _ := begin(t, named(dns, "mqtt://nodes.test:"+port), Options{})
	eventuallyUp(t, u, 0)
	var done counter
	u.Send(message("a", "0"), Ticket{Owner: &done})
	dns.host("nodes.test", "127.0.0.3")
	eventually(t, "the new address is known", func() bool {
		return slices.Equal(endpointsOf(u), []string{"mqtt://nodes.test:" + port + " (127.0.0.3)"})
	})
	u.Send(message("a", "1"), Ticket{Owner: &done})
	eventually(t, "the old connection carries on", func() bool { return state(u, 0).Acked == 2 && len(old.got()) == 2 })
	if s := state(u, 0); s.Reconnects != 0 || !strings.Contains(s.Endpoint, "127.0.0.2") {
		t.Errorf("got %+v, want the link still on the old address", s)
	}
	before, _, _, _ := old.count()
	old.cut()
	eventually(t, "the link is at the new address", func() bool { n, _, _, _ := next.count(); return n == 1 && state(u, 0).State == Connected })
	if after, _, _, _ := old.count(); after != before {
		t.Errorf("got %d connections at the address that vanished, want none", after-before)
	}
}

// Without DNS at the start the link waits, says why, and is up the moment there
// is an answer. A name server that fails later takes nothing away.
func TestDNSComesAndGoes(t *testing.T) {
	for name, trouble := range map[string]func(*nameServer, bool){
		"silent":  func(s *nameServer, on bool) { s.silent = on },
		"failing": func(s *nameServer, on bool) { s.failing = on },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t).start()
			_, port, _ := net.SplitHostPort(c.ln.Addr().String())
			dns := newNameServer(t)
			dns.host("nodes.test", "127.0.0.1")
			dns.set(func() { trouble(dns, true) })
			cfg := named(dns, "mqtt://nodes.test:"+port)
			cfg.ConnectTimeout = conf.Duration(time.Second)
			u, _ := begin(t, cfg, Options{})
			var done counter
			u.Send(message("a", "0"), Ticket{Owner: &done})
			eventually(t, "the cause is in words", func() bool {
				s := state(u, 0)
				return s.Fault == FaultNoName && strings.Contains(s.Cause, "DNS: ") && strings.Contains(s.Cause, "name server")
			})
			dns.set(func() { trouble(dns, false) })
			eventually(t, "the message is in the cloud", func() bool { return state(u, 0).Acked == 1 })
			dns.set(func() { trouble(dns, true) })
			asked := dns.count()
			eventually(t, "a lookup has failed", func() bool { return dns.count() > asked+2 })
			c.cut()
			eventually(t, "the link is back", func() bool { s := state(u, 0); return s.Reconnects == 1 && s.State == Connected })
		})
	}
}

// An SRV record's priority decides before anything else [RFC 2782].
func TestSRV(t *testing.T) {
	var clouds []*cloud
	var ports []int
	for range 3 {
		c := newCloud(t).start()
		clouds, ports = append(clouds, c), append(ports, c.ln.Addr().(*net.TCPAddr).Port)
	}
	dns := newNameServer(t)
	dns.host("a.test", "127.0.0.1")
	dns.host("b.test", "127.0.0.1")
	dns.service("_mqtt._tcp.cloud.test",
		srvRecord("b.test.", ports[2], 20, 0), srvRecord("a.test.", ports[1], 10, 7), srvRecord("gone.test.", 1, 1, 1), srvRecord("b.test.", ports[0], 10, 3))
	cfg := named(dns, "mqtt+srv://cloud.test")
	cfg.Links, cfg.StableAfter = 3, conf.Duration(time.Second)
	u, _ := begin(t, cfg, Options{})
	for i := range 3 {
		eventually(t, "the link is on a node of the lower priority", func() bool {
			s := state(u, i)
			return s.State == Connected && !strings.HasSuffix(s.Endpoint, fmt.Sprintf(":%d (127.0.0.1)", ports[2]))
		})
	}
	var got []string
	for _, e := range u.settings.Load().endpoints {
		got = append(got, fmt.Sprintf("%s %s %d %d", e.url, e.name, e.priority, e.weight))
	}
	want := []string{
		fmt.Sprintf("mqtt://a.test:%d (127.0.0.1) cloud.test 10 8", ports[1]), fmt.Sprintf("mqtt://b.test:%d (127.0.0.1) cloud.test 10 4", ports[0]),
		fmt.Sprintf("mqtt://b.test:%d (127.0.0.1) cloud.test 20 1", ports[2]),
	}
	if !slices.Equal(got, want) {
		t.Errorf("got endpoints %q, want %q", got, want)
	}
	clouds[0].stop()
	clouds[1].stop()
	for i := range 3 {
		eventually(t, "the link is on the node of the higher priority", func() bool {
			s := state(u, i)
			return s.State == Connected && strings.Contains(s.Endpoint, fmt.Sprint(ports[2]))
		})
	}
}

func TestLookup(t *testing.T) {
	dns := newNameServer(t)
	dns.host("six.test", "::1")
	dns.service("_secure-mqtt._tcp.none.test", srvRecord(".", 0, 0, 0))
	var hundred []string
	for i := range 100 {
		hundred = append(hundred, fmt.Sprintf("127.0.1.%d", i))
	}
	dns.host("many.test", hundred...)
	r := named(dns).resolver()
	for url, want := range map[string]string{
		"mqtts://six.test":        "mqtts://six.test (::1) [::1]:8883 six.test",
		"wss://six.test/x":        "wss://six.test/x (::1) [::1]:443 six.test",
		"mqtt://nobody.test":      "DNS: there is no nobody.test; look at the name in endpoints",
		"mqtt+srv://six.test":     "DNS: there is no six.test; look at the name in endpoints",
		"mqtts+srv://none.test":   "DNS: no address of none.test: the SRV record says that none.test offers no such service",
		"mqtt+srv://nobody1.test": "DNS: there is no nobody1.test; look at the name in endpoints",
	} {
		e, err := parseEndpoint(url)
		if err != nil {
			t.Fatal(err)
		}
		all, err := lookup(t.Context(), r, e, Config{Proxy: noProxy}.way())
		got := ""
		if err != nil {
			got = noAnswer(e.name, err).Error()
		}
		for _, e := range all {
			got += fmt.Sprintf("%s %s %s", e.url, e.host, e.name)
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", url, got, want)
		}
	}
	many, err := lookup(t.Context(), r, endpoint{url: "mqtt://many.test", host: "many.test:1883", name: "many.test"}, Config{Proxy: noProxy}.way())
	if err != nil || len(many) != mostAddresses {
		t.Errorf("got %d endpoints of a name with 100 addresses, %v, want %d", len(many), err, mostAddresses)
	}
}

// A connection over IPv6, where the machine has it; else the link says that it
// has not.
func TestIPv6(t *testing.T) {
	dns := newNameServer(t)
	dns.host("six.test", "::1")
	ln, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		u, _ := begin(t, named(dns, "mqtt://six.test"), Options{})
		eventually(t, "the cause is shown", func() bool { return strings.Contains(state(u, 0).Cause, "[::1]") })
		return
	}
	c := &cloud{t: t, ln: ln}
	c.start()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	for _, host := range []string{"six.test", "[::1]"} {
		u, stop := begin(t, named(dns, "mqtt://"+host+":"+port), Options{})
		eventuallyUp(t, u, 0)
		stop()
	}
}

// The certificate is for the configured host, whatever DNS made of it.
func TestTLSNameIsTheConfiguredOne(t *testing.T) {
	dir := t.TempDir()
	ca, key := certificate(t, dir, "ca", nil, nil)
	certificate(t, dir, "server", ca, key)
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key"))
	if err != nil {
		t.Fatal(err)
	}
	clouds, port := cloudsAt(t, "127.0.0.2")
	c := clouds[0]
	c.ln = tls.NewListener(c.ln, &tls.Config{Certificates: []tls.Certificate{pair}})
	c.start()
	dns := newNameServer(t)
	dns.host("nodes.test", "127.0.0.2")
	dns.host("other.test", "127.0.0.2")
	for host, good := range map[string]bool{"nodes.test": true, "other.test": false} {
		cfg := named(dns, "mqtts://"+host+":"+port)
		cfg.CAFile = filepath.Join(dir, "ca.pem")
		u, stop := begin(t, cfg, Options{})
		eventually(t, host, func() bool {
			s := state(u, 0)
			return good && s.State == Connected || !good && s.Fault == FaultUntrusted
		})
		stop()
	}
}

// A lookup that hangs holds up neither the others nor the end.
func TestLookupsEnd(t *testing.T) {
	c := newCloud(t).start()
	dns := newNameServer(t)
	dns.set(func() { dns.silent = true })
	u, stop := begin(t, named(dns, "mqtt://nodes.test", c.url()), Options{})
	eventuallyUp(t, u, 0)
	began := time.Now()
	stop()
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("the end took %v", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := newNames().await(ctx, endpoint{name: "x"}); err == nil || !strings.Contains(err.Error(), "nobody answers") {
		t.Errorf("got %v, want that nobody answers", err)
	}
}

// A node found by DNS sends the link to a server by name, whether the list has
// it or not.
func TestRedirectionByName(t *testing.T) {
	for _, listed := range []bool{false, true} {
		a, b := newCloud(t), newCloud(t).start()
		_, port, _ := net.SplitHostPort(b.ln.Addr().String())
		to := "b.test:" + port
		a.connack = func(int, *packets.Connect) *packets.Connack {
			return &packets.Connack{ReasonCode: 0x9C, Properties: &packets.Properties{ServerReference: to}}
		}
		a.start()
		_, from, _ := net.SplitHostPort(a.ln.Addr().String())
		dns := newNameServer(t)
		dns.host("a.test", "127.0.0.1")
		dns.host("b.test", "127.0.0.1")
		cfg, want := named(dns, "mqtt://a.test:"+from), "mqtt://"+to
		if cfg.RedirectTo = []string{"b.test"}; listed {
			cfg.Endpoints, want = append(cfg.Endpoints, want), want+" (127.0.0.1)"
		}
		u, stop := begin(t, cfg, Options{})
		eventually(t, "the link is where it was sent", func() bool { s := state(u, 0); return s.State == Connected && s.Endpoint == want })
		stop()
	}
}
