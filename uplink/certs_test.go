package uplink

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"tidegate/internal/conf"
)

// pki is a cloud's: an authority, a server, and clients that it knows.
type pki struct {
	t   testing.TB
	dir string
	new func(name string) // makes name.pem and name.key
}

func newPKI(t testing.TB) *pki {
	dir := t.TempDir()
	ca, key := certificate(t, dir, "ca", nil, nil)
	p := &pki{t: t, dir: dir, new: func(name string) { certificate(t, dir, name, ca, key) }}
	p.new("server")
	return p
}

func (p *pki) file(name string) string { return filepath.Join(p.dir, name) }

// secure makes a cloud ask for certificates of the authority.
func (p *pki) secure(c *cloud, alpn ...string) (url string) {
	pair, err := tls.LoadX509KeyPair(p.file("server.pem"), p.file("server.key"))
	if err != nil {
		p.t.Fatal(err)
	}
	pem, err := os.ReadFile(p.file("ca.pem"))
	if err != nil {
		p.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	url = "mqtts" + strings.TrimPrefix(c.url(), "mqtt")
	c.ln = tls.NewListener(c.ln, &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, NextProtos: alpn})
	return url
}

// client is a configuration that uses cert.pem and cert.key.
func (p *pki) client(cert string, urls ...string) Config {
	c := calm(quick(urls...))
	c.CAFile, c.CertFile, c.KeyFile = p.file("ca.pem"), p.file(cert+".pem"), p.file(cert+".key")
	return c
}

// put makes name.pem or name.key a copy of another's.
func (p *pki) put(name, from, ext string) {
	b, err := os.ReadFile(p.file(from + ext))
	if err == nil {
		err = os.WriteFile(p.file("half"), b, 0o600)
	}
	if err == nil {
		err = os.Rename(p.file("half"), p.file(name+ext))
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// whoConnects counts CONNECTs by the name in the client's certificate.
func whoConnects(c *cloud) func(name string) int64 {
	counts := map[string]*atomic.Int64{"old": {}, "new": {}, "stranger": {}}
	c.connack = func(n int, p *packets.Connect) *packets.Connack {
		return &packets.Connack{Properties: &packets.Properties{}}
	}
	c.after = func(s *served) {
		if peers := s.conn.(*tls.Conn).ConnectionState().PeerCertificates; len(peers) > 0 {
			counts[peers[0].Subject.CommonName].Add(1)
		}
	}
	return func(name string) int64 { return counts[name].Load() }
}

// A configuration without files watches none; one that comes later is watched.
func TestFilesThatComeWithAReload(t *testing.T) {
	p := newPKI(t)
	for _, name := range []string{"old", "new", "client"} {
		p.new(name)
	}
	p.put("client", "old", ".pem")
	p.put("client", "old", ".key")
	plain, safe := newCloud(t).start(), newCloud(t)
	url := p.secure(safe)
	connects := whoConnects(safe)
	safe.start()
	u, _ := begin(t, calm(quick(plain.url())), Options{})
	eventuallyUp(t, u, 0)
	if err := u.Reload(p.client("client", url)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the link connects with the old one", func() bool { return connects("old") > 0 })
	p.put("client", "new", ".key")
	p.put("client", "new", ".pem")
	eventually(t, "the link connects with the new one", func() bool { return connects("new") > 0 })
}

// A renewed certificate, put in place as certbot does by a link that points
// elsewhere, rolls the links one by one: nothing is lost and nothing comes
// twice.
func TestRenewedCertificateRollsTheLinks(t *testing.T) {
	p := newPKI(t)
	for _, name := range []string{"old", "new"} {
		p.new(name)
		if err := os.Mkdir(p.file("archive-"+name), 0o700); err != nil {
			t.Fatal(err)
		}
		for _, ext := range []string{".pem", ".key"} {
			if err := os.Rename(p.file(name+ext), filepath.Join(p.file("archive-"+name), "client"+ext)); err != nil {
				t.Fatal(err)
			}
		}
	}
	point := func(to string) {
		err := errors.Join(os.Symlink("archive-"+to, p.file("next")), os.Rename(p.file("next"), p.file("live")))
		if err != nil {
			t.Fatal(err)
		}
	}
	point("old")
	c := newCloud(t)
	url := p.secure(c)
	connects := whoConnects(c)
	c.start()
	cfg := p.client("live/client", url)
	cfg.Links, cfg.DrainTimeout = 2, conf.Duration(20*time.Second)
	u, stop := begin(t, cfg, Options{})
	eventuallyUp(t, u, 0)
	eventuallyUp(t, u, 1)
	var done counter
	var devices publishers
	end := devices.load(u, &done)
	point("new")
	both := false
	eventually(t, "both links have the new certificate", func() bool {
		a, b := state(u, 0), state(u, 1)
		both = both || a.State != Connected && b.State != Connected && a.State != Draining && b.State != Draining
		return connects("new") == 2
	})
	end()
	eventually(t, "all are acknowledged", func() bool { return int(done.settled.Load()) == devices.sent() && len(c.got()) >= devices.sent() })
	eventually(t, "both links know that they are up", func() bool { return state(u, 0).Reconnects > 0 && state(u, 1).Reconnects > 0 })
	stop()
	if both {
		t.Error("both links were away at once")
	}
	if a, b := state(u, 0), state(u, 1); connects("old") != 2 || a.Reconnects != 1 || b.Reconnects != 1 || a.Resent+b.Resent != 0 {
		t.Errorf("got %d connections with the old certificate, %+v and %+v, want 2 and each link rolled once", connects("old"), a, b)
	}
	var book ledger
	for _, m := range c.got() {
		var n int
		topic, number, _ := strings.Cut(string(m.Payload), " ")
		fmt.Sscan(number, &n)
		book.arrive("", topic, n)
	}
	if first, twice := book.count(); first != devices.sent() || twice != 0 || len(book.disorder) != 0 {
		t.Errorf("got %d messages, %d twice, out of order %v, want %d, none and none", first, twice, book.disorder, devices.sent())
	}
}

// While certificate and key do not fit together the old ones serve, which is
// said once; when they fit the new ones do.
func TestHalfWrittenCertificate(t *testing.T) {
	p := newPKI(t)
	p.new("old")
	p.new("new")
	p.put("client", "old", ".pem")
	p.put("client", "old", ".key")
	c := newCloud(t)
	url := p.secure(c)
	connects := whoConnects(c)
	c.start()
	var log lines
	u, _ := begin(t, p.client("client", url), Options{Log: log.logger()})
	eventuallyUp(t, u, 0)
	said := func() int { return strings.Count(log.String(), "cannot be used, the old ones stay") }
	for _, half := range []func(){
		func() { p.put("client", "new", ".pem") },
		func() { os.Truncate(p.file("client.pem"), 300) },
		func() { os.Remove(p.file("client.pem")) },
	} {
		before, ups := said(), connects("old")
		half()
		eventually(t, "the misfit is said", func() bool { return said() == before+1 })
		c.cut()
		eventually(t, "the link is back with the old certificate", func() bool { return connects("old") == ups+1 && state(u, 0).State == Connected })
	}
	p.put("client", "new", ".pem")
	p.put("client", "new", ".key")
	eventually(t, "the link has the new certificate", func() bool { return connects("new") == 1 && state(u, 0).State == Connected })
	if got := said(); got > 4 { // the pair may be looked at between the last two steps
		t.Errorf("got %d complaints, want one for each misfit", got)
	}
}

// A certificate that the cloud refuses costs one link, not all.
func TestRefusedCertificateCostsOneLink(t *testing.T) {
	p := newPKI(t)
	p.new("old")
	certificate(t, p.dir, "stranger", nil, nil)
	p.put("client", "old", ".pem")
	p.put("client", "old", ".key")
	c := newCloud(t)
	url := p.secure(c)
	whoConnects(c)
	c.start()
	cfg := p.client("client", url)
	cfg.Links, cfg.ConnectTimeout, cfg.DrainTimeout = 2, conf.Duration(time.Second), 0
	var log lines
	u, _ := begin(t, cfg, Options{Log: log.logger()})
	eventuallyUp(t, u, 0)
	eventuallyUp(t, u, 1)
	p.put("client", "stranger", ".key")
	p.put("client", "stranger", ".pem")
	eventually(t, "the first link says that its certificate is refused", func() bool { return state(u, 0).Fault == FaultOwnCertificate })
	eventually(t, "the other one is left alone", func() bool { return strings.Contains(log.String(), "the others keep their connections") })
	if s := state(u, 1); s.State != Connected || s.Reconnects != 0 {
		t.Errorf("got the second link %+v, want it as it was", s)
	}
	p.put("client", "old", ".pem")
	p.put("client", "old", ".key")
	eventuallyUp(t, u, 0)
}

func TestALPN(t *testing.T) {
	p := newPKI(t)
	p.new("client")
	c := newCloud(t)
	url := p.secure(c, "mqtt")
	var spoken atomic.Value
	c.after = func(s *served) { spoken.Store(s.conn.(*tls.Conn).ConnectionState().NegotiatedProtocol) }
	c.start()
	cfg := p.client("client", url)
	cfg.ALPN = []string{"x-amzn-mqtt-ca", "mqtt"}
	u, stop := begin(t, cfg, Options{})
	eventuallyUp(t, u, 0)
	eventually(t, "the protocol is mqtt", func() bool { return spoken.Load() == "mqtt" })
	stop()
	cfg.ALPN = []string{"other"}
	u, _ = begin(t, cfg, Options{})
	eventually(t, "the cause points at alpn", func() bool {
		s := state(u, 0)
		return s.Fault == FaultHandshake && strings.Contains(s.Cause, "look at alpn")
	})
}

// A gateway without a clock waits until it has the time.
func TestNoClock(t *testing.T) {
	p := newPKI(t)
	p.new("client")
	c := newCloud(t)
	url := p.secure(c)
	c.start()
	var set atomic.Bool
	now := func() time.Time {
		if set.Load() {
			return time.Now()
		}
		return time.Unix(42, 0)
	}
	u, _ := begin(t, p.client("client", url), Options{now: now})
	var done counter
	u.Send(message("a", "0"), Ticket{Owner: &done})
	eventually(t, "the clock is named", func() bool {
		s := state(u, 0)
		return s.Fault == FaultClock && strings.HasPrefix(s.Cause, "the clock says 1970-01-01") && strings.Contains(s.Cause, "NTP")
	})
	set.Store(true)
	eventually(t, "the message is in the cloud", func() bool { return state(u, 0).Acked == 1 })
}
