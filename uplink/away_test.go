package uplink

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
)

// Without any cloud, messages are safe on disk and acknowledged; another
// process with the next epoch sends them, with their first ids, in order.
func TestNoCloudThenRestart(t *testing.T) {
	c := newCloud(t)
	addr := c.ln.Addr().String()
	c.ln.Close()
	dir := t.TempDir()
	cfg := quick(c.url(), "mqtt://no-such-host.invalid")
	open := func(epoch uint64) (*Uplink, func()) {
		u, err := New(cfg, Options{Gateway: "gw", Epoch: epoch, Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return u, run(t, u)
	}
	u, stop := open(7)
	var done counter
	for i := range 100 {
		u.Send(message("a", fmt.Sprint(i)), Ticket{Owner: &done})
	}
	eventually(t, "all are on disk", func() bool { return done.settled.Load() == 100 })
	eventually(t, "the link says what it does", func() bool { s := state(u, 0); return s.State == Backoff && s.Cause != "" })
	stop()
	if s := state(u, 0); s.State != Stopped || s.Endpoint != "" {
		t.Errorf("got %+v after the end, want stopped", s)
	}

	u, _ = open(8)
	u.Send(message("a", "100"), Ticket{Owner: &done})
	var err error
	eventually(t, "the port is free again", func() bool { c.ln, err = net.Listen("tcp", addr); return err == nil })
	c.start()
	eventually(t, "all are in the cloud", func() bool { return state(u, 0).Acked == 101 })
	got := c.got()
	if n := inOrder(t, got, 101); n != 0 {
		t.Errorf("got %d duplicates, want none", n)
	}
	for i, p := range got {
		want := "gw/7/"
		if i == 100 {
			want = "gw/8/"
		}
		if id := p.Properties.User[0].Value; !strings.HasPrefix(id, want) {
			t.Errorf("message %d: got id %s, want one of %s", i, id, want)
		}
	}
}

// The reason of a refused CONNECT reaches the reader of the numbers.
func TestRefusedConnect(t *testing.T) {
	c := newCloud(t)
	c.connack = func(n int, p *packets.Connect) *packets.Connack {
		if n < 3 {
			return &packets.Connack{ReasonCode: 0x86, Properties: &packets.Properties{ReasonString: "who?", AuthMethod: "x"}}
		}
		return &packets.Connack{Properties: &packets.Properties{}}
	}
	c.start()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("pass\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := quick(c.url())
	cfg.User, cfg.PasswordFile = "me", secret
	cfg.ReconnectMax *= 5
	var log lines
	u, _ := begin(t, cfg, Options{Log: log.logger()})
	eventually(t, "the cause is shown", func() bool {
		s := state(u, 0)
		return strings.Contains(s.Cause, "password-file") && strings.Contains(s.Cause, "who?")
	})
	eventuallyUp(t, u, 0)
	if s := state(u, 0); s.Cause != "" {
		t.Errorf("got cause %q while up", s.Cause)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.connects[0]; p.Username != "me" || string(p.Password) != "pass" || p.ClientID != "gw-u0" || p.KeepAlive != 15 || p.ProtocolVersion != 5 {
		t.Errorf("got %v", p)
	}
	if strings.Contains(log.String(), "pass\n") {
		t.Error("the password is in the log")
	}
}

// A node that takes the connection and says nothing is passed over.
func TestSilentAtConnect(t *testing.T) {
	mute, good := newCloud(t), newCloud(t).start()
	mute.connack = func(int, *packets.Connect) *packets.Connack { return nil }
	mute.start()
	cfg := quick(mute.url(), good.url())
	u, _ := beginAt(t, cfg, 0)
	if s := state(u, 0); s.Endpoint != good.url() {
		t.Errorf("got the link on %s, want it on the other", s.Endpoint)
	}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	ca, caKey := certificate(t, dir, "ca", nil, nil)
	certificate(t, dir, "server", ca, caKey)
	certificate(t, dir, "client", ca, caKey)
	certificate(t, dir, "stranger", nil, nil)
	file := func(name string) string { return filepath.Join(dir, name) }
	pair, err := tls.LoadX509KeyPair(file("server.pem"), file("server.key"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	c := newCloud(t)
	c.ln = tls.NewListener(c.ln, &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert})
	c.start()
	cfg := quick(strings.Replace(c.url(), "mqtt:", "mqtts:", 1))

	cfg.CAFile, cfg.CertFile, cfg.KeyFile = file("ca.pem"), file("client.pem"), file("client.key")
	u, stop := begin(t, cfg, Options{})
	var done counter
	u.Send(message("a", strings.Repeat("x", 100_000)), Ticket{Owner: &done})
	eventually(t, "it is acknowledged", func() bool { return state(u, 0).Acked == 1 })
	stop()

	cfg.CAFile = file("stranger.pem")
	u, stop = begin(t, cfg, Options{})
	eventually(t, "an unknown authority is named", func() bool { return strings.Contains(state(u, 0).Cause, "unknown authority") })
	stop()

	cfg.CAFile, cfg.CertFile, cfg.KeyFile = file("ca.pem"), "", ""
	u, _ = begin(t, cfg, Options{})
	eventually(t, "the missing client certificate is named", func() bool { return strings.Contains(state(u, 0).Cause, "certificate required") })
	if n, _, _, _ := c.count(); n != 1 {
		t.Errorf("got %d CONNECTs, want the first one only", n)
	}
}

// certificate writes name.pem and name.key, signed by parent or by itself.
func certificate(t testing.TB, dir, name string, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: parent == nil, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"nodes.test"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if parent == nil {
		parent, parentKey = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{".pem": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "EC PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(filepath.Join(dir, name+file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return parsed, key
}
