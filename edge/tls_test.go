package edge

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tidegate/edge/internal/certs"
)

// authority signs certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	a.pem, _, a.cert, a.key = signCert(t, template, nil)
	return a
}

// issue returns certificate and key for localhost, or a client's name, as PEM.
func (a *authority) issue(t *testing.T, name string, serial int64, end time.Time) (cert, key []byte) {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: end.Add(-48 * time.Hour), NotAfter: end,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	cert, key, _, _ = signCert(t, template, a)
	return cert, key
}

func signCert(t *testing.T, template *x509.Certificate, by *authority) (certPEM, keyPEM []byte, cert *x509.Certificate, key *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if by == nil {
		by = &authority{cert: template, key: key}
	}
	der, err1 := x509.CreateCertificate(rand.Reader, template, by.cert, &key.PublicKey, by.key)
	cert, err2 := x509.ParseCertificate(der)
	raw, err3 := x509.MarshalPKCS8PrivateKey(key)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), cert, key
}

// replaceFile replaces a file in one step, as those who renew certificates do.
func replaceFile(t *testing.T, path string, text []byte) string {
	t.Helper()
	if err := errors.Join(os.WriteFile(path+".new", text, 0o600), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
	return path
}

type certFiles struct{ dir, cert, key, ca string }

func newCertFiles(t *testing.T, ca *authority, serial int64) certFiles {
	t.Helper()
	dir := t.TempDir()
	cert, key := ca.issue(t, "localhost", serial, time.Now().Add(time.Hour))
	return certFiles{dir, replaceFile(t, filepath.Join(dir, "cert.pem"), cert), replaceFile(t, filepath.Join(dir, "key.pem"), key), replaceFile(t, filepath.Join(dir, "ca.pem"), ca.pem)}
}

// serveTLS accepts until the test ends and sends each client a byte.
func serveTLS(t *testing.T, config *tls.Config) net.Addr {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Write([]byte("x"))
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr()
}

// visitTLS connects and returns the serial number of the server's certificate.
func visitTLS(addr net.Addr, ca *authority, own ...tls.Certificate) (int64, error) {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	conn, err := tls.Dial("tcp", addr.String(), &tls.Config{RootCAs: pool, ServerName: "localhost", Certificates: own})
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if _, err := io.ReadAll(conn); err != nil {
		return 0, err
	}
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64(), nil
}

// lockedLog is a log that a test may read while others write.
type lockedLog struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *lockedLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

func TestCertificateRotatesUnderALiveListener(t *testing.T) {
	ca := newAuthority(t, "test CA")
	files := newCertFiles(t, ca, 100)
	var log lockedLog
	config, err := certs.New(files.cert, files.key, "", slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	addr := serveTLS(t, config)
	served := func(want int64) {
		t.Helper()
		eventually(t, "serving the right certificate", func() bool {
			got, err := visitTLS(addr, ca)
			if err != nil {
				t.Fatal(err)
			}
			return got == want
		})
	}
	served(100)
	cert, key := ca.issue(t, "localhost", 200, time.Now().Add(time.Hour))
	// Certificate first, key a while later: the old pair serves meanwhile.
	replaceFile(t, files.cert, cert)
	for end := time.Now().Add(1500 * time.Millisecond); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		served(100)
	}
	replaceFile(t, files.key, key)
	served(200)
	os.Remove(files.cert)
	served(200)
	if got := strings.Count(log.String(), "new certificate cannot be used"); got > 2 {
		t.Errorf("got %d warnings, want one for each bad state:\n%s", got, log.String())
	}
}

func TestClientCertificates(t *testing.T) {
	ca, clients, strangers := newAuthority(t, "test CA"), newAuthority(t, "clients"), newAuthority(t, "strangers")
	files := newCertFiles(t, ca, 1)
	config, err := certs.New(files.cert, files.key, replaceFile(t, files.ca, clients.pem), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	addr := serveTLS(t, config)
	pair := func(by *authority, end time.Time) tls.Certificate {
		cert, key := by.issue(t, "lamp", 7, end)
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		return pair
	}
	later := time.Now().Add(time.Hour)
	for _, c := range []struct {
		what string
		own  []tls.Certificate
		ok   bool
	}{
		{"none", nil, true},
		{"signed", []tls.Certificate{pair(clients, later)}, true},
		{"expired", []tls.Certificate{pair(clients, time.Now().Add(-time.Minute))}, false},
	} {
		if _, err := visitTLS(addr, ca, c.own...); (err == nil) != c.ok {
			t.Errorf("%s: got %v, want success %v", c.what, err, c.ok)
		}
	}
	// A client does not offer what the server did not ask for, unless made to.
	stranger := pair(strangers, later)
	conn, err := tls.Dial("tcp", addr.String(), &tls.Config{InsecureSkipVerify: true,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &stranger, nil }})
	if err == nil {
		_, err = io.ReadAll(conn)
		conn.Close()
	}
	if err == nil {
		t.Error("a stranger's certificate was taken")
	}
}

func TestVersionsOfTLS(t *testing.T) {
	ca := newAuthority(t, "test CA")
	files := newCertFiles(t, ca, 1)
	config, err := certs.New(files.cert, files.key, "", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	at := serveTLS(t, config).String()
	for version, want := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		conn, err := tls.Dial("tcp", at, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
		if err == nil {
			conn.Close()
		}
		if (err == nil) != want {
			t.Errorf("%s: got %v, want it taken: %v", tls.VersionName(version), err, want)
		}
	}
}

func TestBadCertificatesSayWhy(t *testing.T) {
	ca := newAuthority(t, "test CA")
	good := newCertFiles(t, ca, 1)
	_, otherKey := ca.issue(t, "localhost", 2, time.Now().Add(time.Hour))
	put := func(name string, text []byte) string { return replaceFile(t, filepath.Join(good.dir, name), text) }
	for _, c := range []struct{ what, cert, key, ca, want string }{
		{"no certificate", good.dir + "/none", good.key, "", "none: there is no such file"},
		{"no key", good.cert, good.dir + "/none", "", "key " + good.dir + "/none: there is no such file"},
		{"wrong key", good.cert, put("other.pem", otherKey), "", "private key does not match public key"},
		{"not PEM", put("noise", []byte("noise")), good.key, "", "failed to find any PEM data"},
		{"no client CA", good.cert, good.key, good.dir + "/none", "client CA " + good.dir + "/none: there is no such file"},
		{"bad client CA", good.cert, good.key, put("noise", []byte("noise")), "no certificate in PEM form"},
	} {
		_, err := certs.New(c.cert, c.key, c.ca, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want ...%s...", c.what, err, c.want)
		}
	}
}

// A listener with an expired certificate opens all the same, says so, and is
// found by a strict check.
func TestExpiredCertificateWarns(t *testing.T) {
	ca := newAuthority(t, "test CA")
	good := newCertFiles(t, ca, 1)
	oldCert, oldKey := ca.issue(t, "localhost", 3, time.Date(2021, 3, 4, 5, 6, 0, 0, time.UTC))
	cert := replaceFile(t, filepath.Join(good.dir, "old.pem"), oldCert)
	key := replaceFile(t, filepath.Join(good.dir, "old-key.pem"), oldKey)
	const want = "old.pem expired on 2021-03-04 05:06 UTC"
	var log bytes.Buffer
	if _, err := certs.New(cert, key, "", slog.New(slog.NewTextHandler(&log, nil))); err != nil || !strings.Contains(log.String(), want) {
		t.Errorf("got %v and the log %q, want no error and ...%s...", err, &log, want)
	}
	c := DefaultConfig()
	c.Listeners = []ListenerConfig{{Bind: ":8883", Cert: cert, Key: key}}
	if p := c.CheckFiles(false); len(p) != 0 {
		t.Errorf("got %v, want no problem at a start", p)
	}
	if p := c.CheckFiles(true); len(p) != 1 || !strings.Contains(p[0].Hint, want) {
		t.Errorf("got %v, want one problem ...%s...", p, want)
	}
}

// TestNewCertificateDropsNobody renews the certificate of listeners in use, by
// the files alone and with a reload.
func TestNewCertificateDropsNobody(t *testing.T) {
	overEach(t, func(t *testing.T, over func(*Config)) {
		b := startBroker(t, Options{}, over)
		s := connect(t, b, "s")
		s.subscribe(sub{filter: "t", qos: 1})
		files := b.config().Listeners[0]
		ca := newAuthority(t, "home CA")
		for serial, reload := range map[int64]bool{200: false, 300: true} {
			cert, key := ca.issue(t, "localhost", serial, time.Now().Add(time.Hour))
			replaceFile(t, files.Cert, cert)
			replaceFile(t, files.Key, key)
			if reload {
				if err := b.Reload(*b.config()); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, "serving the new certificate", func() bool {
				p := dial(t, b)
				defer p.nc.Close()
				nc := p.nc
				if f, ok := nc.(*framed); ok {
					nc = f.sock
				}
				return nc.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.Int64() == serial
			})
			connect(t, b, "new").publish("t", "x", 1)
			s.message("t", "x")
		}
	}, "TLS", "secure WebSocket")
}
