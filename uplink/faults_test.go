package uplink

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"golang.org/x/sys/unix"

	"tidegate/internal/conf"
)

// fast is quick with a deadline that a test can wait for.
func fast(urls ...string) Config {
	c := quick(urls...)
	c.ConnectTimeout = conf.Duration(500 * time.Millisecond)
	c.AckTimeout, c.Patience = conf.Duration(200*time.Millisecond), conf.Duration(time.Second)
	return c
}

// broken is a world with one fault.
type broken struct {
	cfg Config
	act func(u *Uplink) // once the link is up; nil: it never is
}

// Every fault has its name, its words and its counter.
func TestFaults(t *testing.T) {
	for _, f := range []struct {
		want  Fault
		words string
		make  func(t *testing.T) broken
	}{
		{FaultRefused, "connection refused", func(t *testing.T) broken { return broken{cfg: fast("mqtt://" + freeAddr(t))} }},
		{FaultUnreachable, "unreachable", func(*testing.T) broken { return broken{cfg: fast("mqtt://255.255.255.255:1")} }},
		{FaultTimedOut, "no answer from there", func(t *testing.T) broken { return broken{cfg: fast("mqtt://" + fullBacklog(t))} }},
		{FaultNoName, "look at the name in endpoints", func(*testing.T) broken { return broken{cfg: fast("mqtt://no..such..name:1")} }},
		{FaultNoNode, "is there a node behind the load balancer?", func(t *testing.T) broken {
			return broken{cfg: fast("mqtt://" + listener(t, func(c net.Conn) { c.Close() }))}
		}},
		{FaultNoAnswer, "no CONNACK came in time", func(t *testing.T) broken {
			return broken{cfg: fast("mqtt://" + listener(t, func(net.Conn) {}))}
		}},
		{FaultHandshake, "TLS", func(t *testing.T) broken {
			return broken{cfg: fast("mqtts://" + listener(t, func(c net.Conn) { c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) }))}
		}},
		{FaultExpired, "has expired on 2001", func(t *testing.T) broken {
			a := newAuthority(t)
			return a.server(t, a.leaf(t, time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC), "127.0.0.1"), false)
		}},
		{FaultUntrusted, "look at ca-file", func(t *testing.T) broken {
			b := newAuthority(t).server(t, newAuthority(t).leaf(t, time.Time{}, "127.0.0.1"), false)
			return b
		}},
		{FaultUntrusted, "another name", func(t *testing.T) broken {
			a := newAuthority(t)
			return a.server(t, a.leaf(t, time.Time{}, "127.0.0.9"), false)
		}},
		{FaultOwnCertificate, "look at cert-file and key-file", func(t *testing.T) broken {
			a := newAuthority(t)
			return a.server(t, a.leaf(t, time.Time{}, "127.0.0.1"), true)
		}},
		{FaultOwnCertificate, "it has expired on 2001", func(t *testing.T) broken {
			a := newAuthority(t)
			b := a.server(t, a.leaf(t, time.Time{}, "127.0.0.1"), true)
			b.cfg.CertFile, b.cfg.KeyFile = a.leaf(t, time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC), "127.0.0.1").files(t)
			return b
		}},
		{FaultOwnCertificate, "does it know the authority", func(t *testing.T) broken {
			a := newAuthority(t)
			b := a.server(t, a.leaf(t, time.Time{}, "127.0.0.1"), true)
			b.cfg.CertFile, b.cfg.KeyFile = newAuthority(t).leaf(t, time.Time{}, "127.0.0.1").files(t)
			return b
		}},
		{FaultFiles, "password-file", func(t *testing.T) broken {
			c := newCloud(t).start()
			b := broken{cfg: fast(c.url())}
			b.cfg.User, b.cfg.PasswordFile = "u", filepath.Join(t.TempDir(), "secret")
			if err := os.WriteFile(b.cfg.PasswordFile, []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
			b.act = func(*Uplink) { os.Remove(b.cfg.PasswordFile); c.cut() }
			return b
		}},
		{FaultCredentials, "look at user and password-file", connack(0x86)},
		{FaultNotAuthorized, "the cloud's permissions", connack(0x87)},
		{FaultBadClientID, "look at client-id", connack(0x85)},
		{FaultBanned, "banned", connack(0x8A)},
		{FaultVersion, "does not speak MQTT 5", connack(0x84)},
		{FaultBusy, "busy", connack(0x89)},
		{FaultDeclined, "0x83", connack(0x83)},
		{FaultClosed, "", func(t *testing.T) broken {
			m := startMosquitto(t)
			return broken{fast(m.url()), func(*Uplink) { m.kill() }}
		}},
		{FaultSilent, "the node is stopped or hangs", func(t *testing.T) broken {
			m := startMosquitto(t)
			return broken{fast(m.url()), func(u *Uplink) {
				m.signal(syscall.SIGSTOP)
				u.Send(message("a", "0"), Ticket{Owner: new(counter)})
			}}
		}},
		{FaultHalfOpen, "the connection is half open", func(t *testing.T) broken {
			c := newCloud(t).start()
			return broken{fast(c.url()), func(u *Uplink) {
				c.deafen()
				u.Send(message("a", "0"), Ticket{Owner: new(counter)})
			}}
		}},
		{FaultLate, "acknowledgements are late, pings are answered", mute},
		{FaultStuck, "answers pings and acknowledges nothing", mute},
		{FaultShutDown, "it shuts down", disconnect(0x8B)},
		{FaultKicked, "an administrator", disconnect(0x98)},
		{FaultBusy, "messages come too fast", disconnect(0x96)},
		{FaultTakenOver, "give each gateway its own id", disconnect(0x8E)},
		{FaultProtocol, "packet of type", func(t *testing.T) broken {
			c := newCloud(t).start()
			return broken{fast(c.url()), func(*Uplink) { c.all(func(o net.Conn) { o.Write([]byte{0x10, 0}) }) }}
		}},
	} {
		t.Run(string(f.want)+" "+f.words, func(t *testing.T) {
			t.Parallel()
			world := f.make(t)
			var log lines
			u, _ := begin(t, world.cfg, Options{Log: log.logger()})
			if world.act != nil {
				eventuallyUp(t, u, 0)
				world.act(u)
			}
			var seen LinkStats // while the fault is there
			defer func() {
				if t.Failed() {
					t.Logf("%+v\n%s", state(u, 0), log.String())
				}
			}()
			eventually(t, "the fault is counted", func() bool {
				s := state(u, 0)
				if s.Fault == f.want {
					seen = s
				}
				return s.Faults[f.want] > 0
			})
			eventually(t, "the fault is in words, in the log or the state", func() bool {
				s := state(u, 0)
				if s.Fault == f.want {
					seen = s
				}
				return strings.Contains(seen.Cause, f.words) ||
					strings.Contains(log.String(), "fault="+string(f.want)) && strings.Contains(log.String(), f.words)
			})
			if world.act == nil && (seen.State == Connected || seen.Cause == "") {
				t.Errorf("got %+v, want a state that is not up, with a cause", seen)
			}
		})
	}
}

func connack(reason byte) func(*testing.T) broken {
	return func(t *testing.T) broken {
		c := newCloud(t)
		c.connack = func(int, *packets.Connect) *packets.Connack {
			return &packets.Connack{ReasonCode: reason, Properties: &packets.Properties{}}
		}
		return broken{cfg: fast(c.start().url())}
	}
}

func disconnect(reason byte) func(*testing.T) broken {
	return func(t *testing.T) broken {
		c := newCloud(t).start()
		return broken{fast(c.url()), func(*Uplink) { c.all(func(o net.Conn) { o.Write([]byte{0xE0, 1, reason}) }) }}
	}
}

// mute is a node that answers pings and acknowledges nothing.
func mute(t *testing.T) broken {
	c := newCloud(t)
	c.publish = func(*served, *packets.Publish) {}
	return broken{fast(c.start().url()), func(u *Uplink) { u.Send(message("a", "0"), Ticket{Owner: new(counter)}) }}
}

// all does something to every connection.
func (c *cloud) all(do func(net.Conn)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range c.open {
		do(o)
	}
}

// deafen makes the kernel drop every packet that comes for the connections,
// without a word, as a network does that is gone.
func (c *cloud) deafen() {
	c.all(func(o net.Conn) {
		raw, err := o.(*net.TCPConn).SyscallConn()
		if err == nil {
			nothing := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0}
			raw.Control(func(fd uintptr) {
				err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &nothing})
			})
		}
		if err != nil {
			c.t.Error(err)
		}
	})
}

func freeAddr(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// listener hands each connection to serve, and closes them in the end.
func listener(t *testing.T, serve func(net.Conn)) string {
	c := newCloud(t)
	c.wg.Go(func() {
		for {
			conn, err := c.ln.Accept()
			if err != nil {
				return
			}
			c.mu.Lock()
			c.open = append(c.open, conn)
			c.mu.Unlock()
			serve(conn)
		}
	})
	t.Cleanup(c.stop)
	return c.ln.Addr().String()
}

// fullBacklog is an address where the kernel takes no more connections: it
// drops what asks for one.
func fullBacklog(t *testing.T) string {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: sa.(*unix.SockaddrInet4).Port}).String()
	for range 8 { // more than it keeps
		if c, err := net.DialTimeout("tcp", addr, 100*time.Millisecond); err == nil {
			t.Cleanup(func() { c.Close() })
		}
	}
	return addr
}

// authority signs certificates.
type authority struct{ pair }

type pair struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	return authority{sign(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "lab"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Now().Add(time.Hour),
	}, nil)}
}

// leaf makes a certificate that ends then; zero: in an hour.
func (a authority) leaf(t *testing.T, end time.Time, ip string) pair {
	if end.IsZero() {
		end = time.Now().Add(time.Hour)
	}
	return sign(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "leaf"}, IPAddresses: []net.IP{net.ParseIP(ip)},
		NotBefore: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: end,
	}, &a.pair)
}

func sign(t *testing.T, c *x509.Certificate, by *pair) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.SerialNumber = big.NewInt(time.Now().UnixNano())
	if by == nil {
		by = &pair{c, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by.cert, &key.PublicKey, by.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return pair{cert, key}
}

func (p pair) files(t *testing.T) (cert, key string) {
	t.Helper()
	dir := t.TempDir()
	der, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, b := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: p.cert.Raw}, key: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// server is a node that speaks TLS with a certificate, and the configuration
// of a gateway that trusts the authority. It may ask for client certificates
// of the authority.
func (a authority) server(t *testing.T, p pair, ask bool) broken {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	cfg := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{p.cert.Raw}, PrivateKey: p.key}}, ClientCAs: pool}
	if ask {
		cfg.ClientAuth = tls.RequireAndVerifyClientCert
	}
	c := &cloud{t: t, ln: tls.NewListener(ln, cfg)}
	c.start()
	b := broken{cfg: fast("mqtts://" + ln.Addr().String())}
	b.cfg.CAFile, _ = a.files(t)
	return b
}
