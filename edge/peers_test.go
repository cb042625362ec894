package edge

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
	"time"
)

// listeners makes a broker with a plain and a TLS listener.
func listenTwice(t *testing.T) (*authority, certFiles, func(*Config)) {
	ca := newAuthority(t, "test")
	files := newCertFiles(t, ca, 1)
	return ca, files, func(c *Config) {
		c.Listeners = append(c.Listeners, ListenerConfig{Bind: "127.0.0.1:0", Anonymous: true, Cert: files.cert, Key: files.key, ClientCA: files.ca})
	}
}

func dialTLS(t *testing.T, b *Broker, ca *authority, own ...tls.Certificate) *peer {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	nc, err := tls.Dial("tcp", b.Addrs()[1].String(), &tls.Config{RootCAs: pool, ServerName: "localhost", Certificates: own})
	if err != nil {
		t.Fatal(err)
	}
	return newPeer(t, nc)
}

func TestOverTLS(t *testing.T) {
	ca, _, both := listenTwice(t)
	b := startBroker(t, Options{}, both)
	s := dialTLS(t, b, ca)
	s.connect("s")
	s.subscribe(sub{filter: "t/#", qos: 2})
	plain := connect(t, b, "plain")
	secure := dialTLS(t, b, ca)
	secure.connect("secure", keepAlive(1), willOf("t/will", "x", 1, false, 0))
	for i, p := range []*peer{plain, secure} {
		for qos := range byte(3) {
			payload := strings.Repeat(fmt.Sprint(i), 1+int(qos)*40_000)
			p.publish("t/x", payload, qos)
			s.message("t/x", payload)
		}
	}
	if got := secure.ended(); got != 0x8d {
		t.Fatalf("reason %#x, want 0x8d", got)
	}
	s.message("t/will", "x")
	again := dialTLS(t, b, ca)
	again.connect("s")
	if got := s.ended(); got != 0x8e {
		t.Fatalf("reason %#x, want 0x8e", got)
	}
	// Somebody who never finishes the handshake, and somebody who speaks
	// plainly, cost nothing.
	raw := newPeer(t, dialRaw(t, b, 1))
	raw.raw(encode(t, connectPacket("c")))
	raw.ended()
}

func TestLoginByCertificate(t *testing.T) {
	ca, _, both := listenTwice(t)
	users := usersFileOf(t, `
[[user]]
name = "lamp"
certificate = "lamp.local"
publish = ["home/%u/#"]
`)
	b := startBroker(t, Options{}, both, func(c *Config) {
		c.Access.UsersFile = users
		c.Listeners[1].Anonymous = false
	})
	if got := dialTLS(t, b, ca).connect("x").ReasonCode; got != 0x87 {
		t.Fatalf("without certificate: reason %#x, want 0x87", got)
	}
	cert, key := ca.issue(t, "lamp.local", 7, time.Now().Add(time.Hour))
	own, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	p := dialTLS(t, b, ca, own)
	if got := p.connect("x").ReasonCode; got != 0 {
		t.Fatalf("reason %#x", got)
	}
	if got := p.publish("home/lamp/x", "", 1); got >= 0x80 {
		t.Fatalf("reason %#x", got)
	}
	if got := p.publish("home/other/x", "", 1); got != 0x87 {
		t.Fatalf("reason %#x, want 0x87", got)
	}
}

func TestReloadListeners(t *testing.T) {
	users := usersFileOf(t, "[anonymous]\npublish = [\"a\"]\n")
	b := startBroker(t, Options{})
	p := connect(t, b, "p")
	cfg := *b.config()
	cfg.Listeners = append(cfg.Listeners[:1:1], ListenerConfig{Bind: "localhost:0", Anonymous: true})
	cfg.Access.UsersFile = users
	first := b.Addrs()[0].String()
	if err := b.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	if b.Addrs()[0].String() != first {
		t.Fatal("an unchanged listener was bound anew")
	}
	if got := p.publish("b", "x", 1); got != 0x87 {
		t.Fatalf("reason %#x, want 0x87: there are users now", got)
	}
	q := newPeer(t, dialRaw(t, b, 1))
	q.connect("q")
	if got := q.publish("b", "x", 1); got != 0x87 {
		t.Fatalf("reason %#x, want 0x87", got)
	}
	cfg.Listeners = cfg.Listeners[1:]
	gone := b.Addrs()[0].String()
	if err := b.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	if err := dialError(gone); err == nil {
		t.Fatal("the listener that is gone still accepts")
	}
	p.ping()
	taken := cfg
	taken.Listeners = []ListenerConfig{{Bind: "127.0.0.1:0"}, {Bind: b.Addrs()[0].String()}}
	bad := startBroker(t, Options{})
	if err := bad.Reload(taken); err == nil || !strings.Contains(err.Error(), "another program has this port") {
		t.Fatalf("error %v", err)
	}
	connect(t, bad, "still there")
}
