package console

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificate writes a self-signed certificate and its key, and returns who
// believes it.
func certificate(t *testing.T, dir, name string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	made := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, made, made, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(parsed)
	return pool
}

func newSecureHouse(t *testing.T) (*house, string, *x509.CertPool) {
	dir := t.TempDir()
	pool := certificate(t, dir, "tidegate.local")
	h := newHouse(t, func(c *Config, _ *Options) {
		c.Cert, c.Key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	})
	return h, dir, pool
}

func (b *browser) believe(pool *x509.CertPool) *browser {
	b.client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: pool}
	return b
}

func TestHTTPS(t *testing.T) {
	h, _, pool := newSecureHouse(t)
	b := h.browser().believe(pool)
	r := b.login("admin", adminPassword)
	if r.code != 200 {
		t.Fatalf("got %d %s", r.code, r.body)
	}
	cookie := r.header.Get("Set-Cookie")
	if !strings.HasPrefix(cookie, "__Host-tidegate=") || !strings.Contains(cookie, "; Secure") || !strings.Contains(cookie, "Path=/") {
		t.Errorf("cookie: %q", cookie)
	}
	if r.header.Get("Strict-Transport-Security") != "" {
		t.Error("the browser is told to hold HTTPS against the name")
	}
	if r := b.do("GET", "/api/v1/status", "", "Origin: "+h.url); r.code != 200 {
		t.Errorf("got %d", r.code)
	}
	res, err := b.client.Get(h.url + "/api/v1/live")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	if res.ProtoMajor != 2 || !lines.Scan() || lines.Text() != "event: status" {
		t.Errorf("stream: HTTP/%d, %q", res.ProtoMajor, lines.Text())
	}
}

// Whoever comes to the port with plain HTTP is sent to HTTPS, and tells no secret
// by it twice.
func TestPlainIsSentToHTTPS(t *testing.T) {
	h, _, _ := newSecureHouse(t)
	b := h.browser()
	b.url = "http://" + h.addr
	if r := b.do("GET", "/x?y=1", ""); r.code != http.StatusTemporaryRedirect || r.header.Get("Location") != "https://"+h.addr+"/x?y=1" {
		t.Errorf("got %d to %q", r.code, r.header.Get("Location"))
	}
	if r := b.do("GET", "/", "", "Host: evil.example"); r.code != http.StatusMisdirectedRequest {
		t.Errorf("by a stranger's name: got %d to %q", r.code, r.header.Get("Location"))
	}
	if r := b.do("POST", "/api/login", credentials("admin", adminPassword)); r.code != 403 || r.header.Get("Set-Cookie") != "" {
		t.Errorf("log-in without encryption: got %d", r.code)
	}
	if r := b.do("GET", "/metrics", ""); r.code != http.StatusTemporaryRedirect {
		t.Errorf("metrics: got %d", r.code)
	}
}

// A renewed certificate is used without a restart, and sessions stay.
func TestRenewedCertificate(t *testing.T) {
	h, dir, pool := newSecureHouse(t)
	b := h.browser().believe(pool)
	b.login("admin", adminPassword)
	next := certificate(t, dir, "renewed.local")
	config := &tls.Config{RootCAs: next}
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		c, err := tls.Dial("tcp", h.addr, config)
		if err == nil {
			c.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	h.rest()
	b.believe(next)
	if r := b.do("GET", "/api/v1/status", ""); r.code != 200 {
		t.Errorf("got %d", r.code)
	}
}

// Who says nothing, or half of it, holds nobody up.
func TestSilenceDisturbsNobody(t *testing.T) {
	h, _, pool := newSecureHouse(t)
	for range mostOfAddress / 2 {
		h.dial()
	}
	io.WriteString(h.dial(), "\x16\x03\x01")
	fmt.Fprint(h.dial(), "GET / HTT")
	if r := h.browser().believe(pool).do("GET", "/", ""); r.code != 200 {
		t.Errorf("got %d", r.code)
	}
}

// A port that another program has is waited for.
func TestPortThatIsTaken(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	cfg := DefaultConfig()
	cfg.Bind = other.Addr().String()
	c, err := New(cfg, Options{Users: &people{}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	select {
	case err := <-done:
		t.Errorf("Run returns %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		key    string
	}{
		"bind":             {func(c *Config) { c.Bind = "8080" }, "bind"},
		"half of HTTPS":    {func(c *Config) { c.Cert = "/x" }, "cert"},
		"no network":       {func(c *Config) { c.Allow = nil }, "allow"},
		"a word":           {func(c *Config) { c.Allow = []string{"home"} }, "allow"},
		"host with scheme": {func(c *Config) { c.Hosts = []string{"https://x"} }, "hosts"},
		"short session":    {func(c *Config) { c.Session = 1 }, "session"},
		"long idle":        {func(c *Config) { c.Idle = c.Session * 1000 }, "idle"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := DefaultConfig()
			c.change(&cfg)
			problems := cfg.Check()
			if len(problems) != 1 || problems[0].Key != c.key {
				t.Errorf("got %v", problems)
			}
			if _, err := New(cfg, Options{Users: &people{}}); err == nil || !strings.Contains(err.Error(), "console."+c.key) {
				t.Errorf("New: %v", err)
			}
		})
	}
	good := DefaultConfig()
	good.Allow, good.Hosts = []string{"all", "10.0.0.0/8", "fd00::1"}, []string{"gateway.example.com"}
	if problems := good.Check(); len(problems) > 0 {
		t.Error(problems)
	}
	good.Cert, good.Key = "/nothing/cert.pem", "/nothing/key.pem"
	if problems := good.CheckFiles(); len(problems) != 1 || !strings.Contains(problems[0].Hint, "no such file") {
		t.Errorf("got %v", problems)
	}
}
