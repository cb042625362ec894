package console

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What somebody may try from outside a session, or with one who must not.
func TestAttacks(t *testing.T) {
	h := newHouse(t, nil)
	_, port, _ := net.SplitHostPort(h.addr)
	admin := func() *browser { return h.as("admin", adminPassword) }
	guest := func() *browser { return h.as("guest", readPassword) }
	own := "Origin: http://" + h.addr
	for _, c := range []struct {
		name         string
		who          func() *browser
		method, path string
		body         string
		headers      []string
		code         int
	}{
		{"without log-in", h.browser, "GET", "/api/v1/status", "", nil, 401},
		{"without log-in, a change", h.browser, "POST", "/api/v1/publish", "{}", nil, 401},
		{"without log-in, a code", h.browser, "POST", "/api/qr", `{"text":"x"}`, nil, 401},
		{"with a cookie made up", h.browser, "GET", "/api/v1/status", "", []string{"Cookie: tidegate=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}, 401},
		{"with an empty cookie", h.browser, "GET", "/api/v1/status", "", []string{"Cookie: tidegate="}, 401},
		{"around the API", h.browser, "GET", "/api//v1/status", "", nil, 307},
		{"around the API with dots", h.browser, "GET", "/a/../api/v1/status", "", nil, 307},

		{"own page", admin, "POST", "/api/v1/publish", "{}", []string{own}, 200},
		{"own page by name", admin, "POST", "/api/v1/publish", "{}", []string{"Host: tidegate.local:" + port, "Origin: http://tidegate.local:" + port}, 200},
		{"no token", admin, "POST", "/api/v1/publish", "{}", []string{own, csrfHeader + ": "}, 403},
		{"token of another session", admin, "POST", "/api/v1/publish", "{}", []string{own, csrfHeader + ": " + admin().csrf}, 403},
		{"log-out without token", admin, "POST", "/api/logout", "", []string{own, csrfHeader + ": "}, 403},
		{"stranger's page", admin, "POST", "/api/v1/publish", "{}", []string{"Origin: https://evil.example"}, 403},
		{"page in a file", admin, "POST", "/api/v1/publish", "{}", []string{"Origin: null"}, 403},
		{"page at another port", admin, "POST", "/api/v1/publish", "{}", []string{"Origin: http://127.0.0.1:1880"}, 403},
		{"stranger's page, as the browser says", admin, "POST", "/api/v1/publish", "{}", []string{"Sec-Fetch-Site: cross-site"}, 403},
		{"another port, as the browser says", admin, "POST", "/api/v1/publish", "{}", []string{"Sec-Fetch-Site: same-site"}, 403},
		{"stranger's page reads", admin, "GET", "/api/v1/status", "", []string{"Sec-Fetch-Site: cross-site"}, 403},
		{"another port reads", admin, "GET", "/api/v1/live", "", []string{"Sec-Fetch-Site: same-site"}, 403},
		{"stranger's page logs somebody in", h.browser, "POST", "/api/login", credentials("admin", adminPassword), []string{"Origin: https://evil.example"}, 403},
		{"stranger's page sets up", h.browser, "POST", "/api/setup", `{"password":"a good long one"}`, []string{"Origin: https://evil.example"}, 403},

		{"rebound name", admin, "GET", "/api/v1/status", "", []string{"Host: evil.example:" + port}, 421},
		{"rebound name gets no page", h.browser, "GET", "/", "", []string{"Host: evil.example"}, 421},
		{"rebound name logs in", h.browser, "POST", "/api/login", credentials("admin", adminPassword), []string{"Host: evil.example", "Origin: http://evil.example"}, 421},
		{"rebound name reads metrics", h.browser, "GET", "/metrics", "", []string{"Host: evil.example"}, 421},
		{"name that ends like the home's", h.browser, "GET", "/", "", []string{"Host: evil.example.local.attacker.com"}, 421},
		{"name of the home", h.browser, "GET", "/", "", []string{"Host: tidegate.local:" + port}, 200},
		{"name without a dot", h.browser, "GET", "/", "", []string{"Host: tidegate"}, 200},

		{"guest changes", guest, "POST", "/api/v1/publish", "{}", []string{own}, 403},
		{"guest removes", guest, "DELETE", "/api/v1/users/x", "", []string{own}, 403},
		{"guest puts", guest, "PUT", "/api/v1/users/x", "{}", []string{own}, 403},
		{"guest makes a code", guest, "POST", "/api/qr", `{"text":"x"}`, []string{own}, 403},
		{"guest looks", guest, "GET", "/api/v1/status", "", []string{own}, 200},
		{"set up again", guest, "POST", "/api/setup", `{"password":"a good long one"}`, []string{own}, 409},

		{"too large", admin, "POST", "/api/v1/publish", strings.Repeat("x", mostBody+1), []string{own}, 413},
		{"log-in by GET", h.browser, "GET", "/api/login?user=admin", "", nil, 404},
		{"a method nobody knows", h.browser, "BREW", "/", "", nil, 404},
		{"preflight", h.browser, "OPTIONS", "/api/v1/status", "", []string{"Origin: https://evil.example", "Access-Control-Request-Method: POST"}, 401},
		{"a file of the machine", h.browser, "GET", "/a/x/../../../../etc/passwd", "", nil, 307},
		{"a file of the machine, encoded", h.browser, "GET", "/a/x/..%2f..%2f..%2fetc%2fpasswd", "", nil, 404},
		{"metrics", h.browser, "GET", "/metrics", "", nil, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer h.rest()
			r := c.who().do(c.method, c.path, c.body, c.headers...)
			if r.code != c.code {
				t.Errorf("got %d %s, want %d", r.code, r.body, c.code)
			}
			if r.header.Get("Access-Control-Allow-Origin") != "" {
				t.Error("another origin may read this")
			}
		})
	}
}

// The headers are on everything, errors too.
func TestHeaders(t *testing.T) {
	h := newHouse(t, nil)
	b := h.as("admin", adminPassword)
	for _, path := range []string{"/", "/nothing", "/api/session", "/api/v1/status", "/metrics", "/favicon.ico"} {
		r := b.do("GET", path, "")
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
			"X-Content-Type-Options":  "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY", "Strict-Transport-Security": "",
		} {
			if got := r.header.Get(name); got != want {
				t.Errorf("%s: %s: got %q, want %q", path, name, got, want)
			}
		}
		if !strings.Contains(r.header.Get("Permissions-Policy"), "camera=()") || r.header.Get("Server") != "" {
			t.Errorf("%s: got %v", path, r.header)
		}
		if strings.HasPrefix(path, "/api/") && r.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s may be stored: %q", path, r.header.Get("Cache-Control"))
		}
	}
}

// dial opens a connection as no browser would.
func (h *house) dial() net.Conn {
	h.t.Helper()
	c, err := net.Dial("tcp", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(2 * patience))
	return c
}

func TestLongHeadersAreRefused(t *testing.T) {
	h := newHouse(t, nil)
	c := h.dial()
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: tidegate.local\r\nX: %s\r\n\r\n", strings.Repeat("x", 4*mostHeader))
	got, _ := io.ReadAll(io.LimitReader(c, 12))
	if string(got) != "HTTP/1.1 431" {
		t.Errorf("got %q", got)
	}
	c.Close()
}

// A body that never ends is not waited for without end, and nothing answers twice
// to one that is smuggled.
func TestRequestsThatLie(t *testing.T) {
	h := newHouse(t, nil)
	for name, text := range map[string]string{
		"two lengths":         "POST /api/login HTTP/1.1\r\nHost: tidegate.local\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
		"length and chunks":   "POST /api/login HTTP/1.1\r\nHost: tidegate.local\r\nContent-Length: 5\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
		"no host":             "GET / HTTP/1.1\r\n\r\n",
		"two hosts":           "GET / HTTP/1.1\r\nHost: tidegate.local\r\nHost: evil.example\r\n\r\n",
		"a host with a slash": "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := h.dial()
			io.WriteString(c, text)
			got, _ := io.ReadAll(io.LimitReader(c, 10))
			if string(got) != "HTTP/1.1 4" && string(got) != "HTTP/1.1 5" {
				t.Errorf("got %q", got)
			}
			c.Close()
		})
	}
}

// Of many connections from one place, one that nobody has used for long makes room.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	h := newHouse(t, nil)
	ask := func(c net.Conn) error {
		fmt.Fprint(c, "GET /metrics HTTP/1.1\r\nHost: tidegate.local\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err == nil {
			_, err = io.Copy(io.Discard, res.Body)
		}
		return err
	}
	var all []net.Conn
	for range mostOfAddress + 1 {
		c := h.dial()
		if err := ask(c); err != nil {
			t.Fatalf("connection %d: %v", len(all)+1, err)
		}
		all = append(all, c)
	}
	gone := 0
	for i, c := range all {
		if ask(c) == nil {
			continue
		}
		if gone++; i > mostOfAddress/2 { // the server may know of one a moment later than of the next
			t.Errorf("connection %d of %d had to make room", i+1, len(all))
		}
	}
	if gone != 1 {
		t.Errorf("%d connections had to make room, want 1", gone)
	}
}

// Many connections from one place leave room, and those over the limit are ended.
func TestConnectionsAreBounded(t *testing.T) {
	h := newHouse(t, nil)
	var all []net.Conn
	for range mostOfAddress {
		c := h.dial()
		fmt.Fprint(c, "GET /metrics HTTP/1.1\r\n")
		all = append(all, c)
	}
	c := h.dial()
	fmt.Fprint(c, "GET /metrics HTTP/1.1\r\nHost: tidegate.local\r\n\r\n")
	if got, _ := io.ReadAll(c); len(got) > 0 {
		t.Errorf("one too many: got %q", got)
	}
	for _, c := range all {
		c.Close()
	}
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		res, err := http.Get(h.url + "/metrics")
		if err == nil {
			res.Body.Close()
			http.DefaultTransport.(*http.Transport).CloseIdleConnections()
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// Who comes from another network is told why, and sees nothing.
func TestStrangersAreSentAway(t *testing.T) {
	h := newHouse(t, func(c *Config, _ *Options) { c.Allow = []string{"192.0.2.0/24"} })
	c := h.dial()
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: tidegate.local\r\n\r\n")
	got, _ := io.ReadAll(c)
	if !strings.HasPrefix(string(got), "HTTP/1.1 403") || !strings.Contains(string(got), "[console]") {
		t.Errorf("got %q", got)
	}
}

func TestNetworks(t *testing.T) {
	home := newNetworks([]string{"private"})
	for ip, want := range map[string]bool{
		"192.168.1.7": true, "10.1.2.3": true, "172.16.0.1": true, "127.0.0.1": true, "169.254.3.4": true, "::1": true, "fe80::1%eth0": true, "fd00::1": true,
		"::ffff:192.168.1.7": true, "8.8.8.8": false, "100.64.0.1": false, "172.32.0.1": false, "2001:db8::1": false, "::ffff:8.8.8.8": false,
	} {
		at := net.TCPAddr{Port: 1}
		host, zone, _ := strings.Cut(ip, "%")
		at.IP, at.Zone = net.ParseIP(host), zone
		if got := home.allow(&at); got != want {
			t.Errorf("%s: got %v, want %v", ip, got, want)
		}
	}
	vpn := newNetworks([]string{"100.64.0.0/10", "2001:db8::5"})
	for ip, want := range map[string]bool{"100.100.1.1": true, "192.168.1.7": false, "2001:db8::5": true, "2001:db8::6": false} {
		if got := vpn.allow(&net.TCPAddr{IP: net.ParseIP(ip), Port: 1}); got != want {
			t.Errorf("%s: got %v, want %v", ip, got, want)
		}
	}
	if !newNetworks([]string{"all"}).allow(&net.TCPAddr{IP: net.ParseIP("8.8.8.8")}) {
		t.Error("all: 8.8.8.8 may not come")
	}
	if home.allow(&net.UnixAddr{Name: "x"}) {
		t.Error("what is no address may come")
	}
}

// An address with a body that never comes is not held for ever: neither the
// request nor the end of the answer waits for it.
func TestBodyThatNeverComes(t *testing.T) {
	for _, start := range []string{"GET /", "GET /nothing", "GET /api/session", "GET /api/v1/status", "POST /api/login", "POST /api/v1/publish", "DELETE /metrics"} {
		synctest.Test(t, func(t *testing.T) {
			c, err := New(DefaultConfig(), Options{Users: &people{}, API: http.HandlerFunc(echo)})
			if err != nil {
				t.Fatal(err)
			}
			here, there := net.Pipe()
			q := newQueue(&net.TCPAddr{})
			srv := &http.Server{Handler: c.handler(), ReadHeaderTimeout: headerTime, IdleTimeout: idleTime}
			served := make(chan error)
			go func() { served <- srv.Serve(q) }()
			q.put(there)
			begin := time.Now()
			fmt.Fprintf(here, "%s HTTP/1.1\r\nHost: tidegate.local\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{", start)
			if _, err := io.ReadAll(here); err != nil {
				t.Errorf("%s: %v", start, err)
			}
			if got := time.Since(begin); got > time.Hour {
				t.Errorf("%s: the connection was held for %v", start, got)
			}
			here.Close()
			srv.Close()
			<-served
		})
	}
}
