package uplink

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidegate/internal/conf"
)

// httpProxy is a real CONNECT proxy for the user me with the password geheim.
type httpProxy struct {
	ln      net.Listener
	hosts   map[string]string // what it knows that DNS does not
	answer  atomic.Value      // a string, instead of a tunnel
	wg      sync.WaitGroup
	tunnels atomic.Int64
	mu      sync.Mutex // guards open
	open    []net.Conn
}

func newHTTPProxy(t testing.TB, wrap func(net.Listener) net.Listener) *httpProxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &httpProxy{ln: wrap(ln), hosts: map[string]string{}}
	p.wg.Go(func() {
		for {
			c, err := p.ln.Accept()
			if err != nil {
				return
			}
			p.keep(c)
			p.wg.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		p.mu.Lock()
		for _, c := range p.open {
			c.Close()
		}
		p.mu.Unlock()
		p.wg.Wait()
	})
	return p
}

func (p *httpProxy) keep(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = append(p.open, c)
}

func (p *httpProxy) serve(c net.Conn) {
	defer c.Close()
	r, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil || r.Method != http.MethodConnect {
		return
	}
	if r.Header.Get("Proxy-Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte("me:geheim")) {
		io.WriteString(c, "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 5\r\n\r\nno...")
		return
	}
	if text, ok := p.answer.Load().(string); ok {
		io.WriteString(c, text)
		io.Copy(io.Discard, c)
		return
	}
	to := r.Host
	if known := p.hosts[to]; known != "" {
		to = known
	}
	node, err := net.Dial("tcp", to)
	if err != nil {
		io.WriteString(c, "HTTP/1.1 502 Bad Gateway\r\n\r\n")
		return
	}
	p.keep(node)
	p.tunnels.Add(1)
	io.WriteString(c, "HTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n")
	p.wg.Go(func() { io.Copy(node, c); node.Close() })
	io.Copy(c, node)
	node.Close()
}

func plainListener(l net.Listener) net.Listener { return l }

// through sends an uplink's connections through a proxy.
func through(t testing.TB, c Config, p *httpProxy) Config {
	t.Helper()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("geheim\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Proxy, c.ProxyPasswordFile = "http://me@"+p.ln.Addr().String(), secret
	return c
}

// Through a proxy names are the proxy's to find; MQTT, TLS and WebSocket cross.
func TestThroughAProxy(t *testing.T) {
	p := newHTTPProxy(t, plainListener)
	keys := newPKI(t)
	keys.new("client")
	plain, web, secured := newCloud(t), newCloud(t), newCloud(t)
	webCloud(t, web, "/mqtt")
	url := keys.secure(secured)
	for name, c := range map[string]*cloud{"plain.example.com:1883": plain, "web.example.com:80": web} {
		p.hosts[name] = c.ln.Addr().String()
		c.start()
	}
	secured.start()
	for _, url := range []string{"mqtt://plain.example.com", "ws://web.example.com", url} {
		cfg := through(t, keys.client("client", url), p)
		before := p.tunnels.Load()
		u, stop := begin(t, cfg, Options{})
		var done counter
		u.Send(message("a", strings.Repeat("x", 50_000)), Ticket{Owner: &done})
		eventually(t, "it is acknowledged through "+url, func() bool { return state(u, 0).Acked == 1 })
		if s := state(u, 0); s.Endpoint != url || p.tunnels.Load() != before+1 {
			t.Errorf("got %+v and %d tunnels, want one to %s", s, p.tunnels.Load()-before, url)
		}
		stop()
	}
}

// The targets of SRV records are names for the proxy.
func TestSRVThroughAProxy(t *testing.T) {
	p := newHTTPProxy(t, plainListener)
	c := newCloud(t).start()
	p.hosts["node.hidden.test:7"] = c.ln.Addr().String()
	dns := newNameServer(t)
	dns.service("_mqtt._tcp.cloud.test", srvRecord("node.hidden.test.", 7, 0, 0))
	u, _ := begin(t, through(t, named(dns, "mqtt+srv://cloud.test"), p), Options{})
	eventually(t, "the link is up", func() bool {
		s := state(u, 0)
		return s.State == Connected && s.Endpoint == "mqtt://node.hidden.test:7"
	})
}

func TestThroughATLSProxy(t *testing.T) {
	keys := newPKI(t)
	keys.new("client")
	pair, err := tls.LoadX509KeyPair(keys.file("server.pem"), keys.file("server.key"))
	if err != nil {
		t.Fatal(err)
	}
	p := newHTTPProxy(t, func(l net.Listener) net.Listener {
		return tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair}})
	})
	c := newCloud(t)
	url := keys.secure(c)
	c.start()
	cfg := through(t, keys.client("client", url), p)
	cfg.Proxy = strings.Replace(cfg.Proxy, "http:", "https:", 1)
	u, _ := begin(t, cfg, Options{})
	eventuallyUp(t, u, 0)
}

func TestRefusingProxy(t *testing.T) {
	p := newHTTPProxy(t, plainListener)
	answer := func(text string) func(*testing.T) Config {
		return func(t *testing.T) Config {
			p.answer.Store(text)
			return through(t, quick("mqtt://cloud.example.com"), p)
		}
	}
	for _, c := range []struct {
		name string
		cfg  func(*testing.T) Config
		want string
	}{
		{"no password", func(*testing.T) Config {
			cfg := quick("mqtt://cloud.example.com")
			cfg.Proxy = "http://" + p.ln.Addr().String()
			return cfg
		}, "407 Proxy Authentication Required); look at proxy and proxy-password-file"},
		{"forbidden", answer("HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno."), "does not allow CONNECT to cloud.example.com:1883 (403 Forbidden)"},
		{"bad gateway", answer("HTTP/1.1 502 Bad Gateway\r\n\r\n"), "does not reach cloud.example.com:1883 (502 Bad Gateway)"},
		{"teapot", answer("HTTP/1.1 418 I'm a teapot\r\n\r\n"), "refuses CONNECT to cloud.example.com:1883 (418"},
		{"not HTTP", answer("SSH-2.0-OpenSSH\r\n"), "something else than HTTP"},
		{"endless", answer("HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 10_000)), "something else than HTTP"},
		{"too eager", answer("HTTP/1.1 200 OK\r\n\r\nhello"), "more than its answer"},
		{"mute", func(t *testing.T) Config {
			p.answer.Store(" ")
			cfg := through(t, quick("mqtt://cloud.example.com"), p)
			cfg.ConnectTimeout = conf.Duration(100 * time.Millisecond)
			return cfg
		}, "does not answer CONNECT"},
		{"nobody there", func(t *testing.T) Config {
			cfg := through(t, quick("mqtt://cloud.example.com"), p)
			cfg.Proxy = "http://me@127.0.0.1:1"
			return cfg
		}, "the proxy 127.0.0.1:1 cannot be reached: dial tcp 127.0.0.1:1: connect: connection refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			u, stop := begin(t, c.cfg(t), Options{})
			defer stop()
			eventually(t, "the cause is in words", func() bool {
				s := state(u, 0)
				return s.Fault == FaultProxy && strings.Contains(s.Cause, c.want) && !strings.Contains(s.Cause, "geheim")
			})
		})
	}
}

// The environment that TestMain sets, and the key that shuts it out.
func TestProxyOfTheEnvironment(t *testing.T) {
	for _, c := range []struct{ key, host, want string }{
		{"", "cloud.example.com:8883", "http://me:word@proxy.example.com:3128"},
		{"", "cloud.test:8883", "<nil>"}, {"", "127.0.0.1:8883", "<nil>"}, {"", "localhost:1883", "<nil>"},
		{noProxy, "cloud.example.com:8883", "<nil>"},
		{"http://other.example.com", "127.0.0.1:1", "http://other.example.com"},
	} {
		got, err := Config{Proxy: c.key}.way()(c.host)
		text := "<nil>"
		if got != nil {
			text = got.String()
		}
		if err != nil || text != c.want {
			t.Errorf("proxy = %q, %s: got %s, %v, want %s", c.key, c.host, text, err, c.want)
		}
	}
	secret, err := Config{}.proxyPassword(mustProxy(t, "cloud.example.com:1"))
	if err != nil || secret != "word" {
		t.Errorf("got password %q, %v, want the environment's", secret, err)
	}
}

func mustProxy(t *testing.T, host string) *url.URL {
	p, err := Config{}.way()(host)
	if err != nil || p == nil {
		t.Fatal(fmt.Errorf("no proxy: %w", err))
	}
	return p
}
