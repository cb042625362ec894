package edge

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"tidegate/internal/conf"
)

// proxy2 is a header of version 2.
func proxy2(command, family byte, rest string) string {
	return proxySign + string([]byte{0x20 | command, family}) + string(binary.BigEndian.AppendUint16(nil, uint16(len(rest)))) + rest
}

const (
	four = "\x0a\x01\x02\x03\x7f\x00\x00\x01\x12\x34\x07\x5b"
	six  = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02" + "\x12\x34\x07\x5b"
)

var proxyHeaders = []struct {
	sent, client string // client "": none given; "bad": refused
}{
	{"PROXY TCP4 10.1.2.3 127.0.0.1 4660 1883\r\n", "10.1.2.3:4660"},
	{"PROXY TCP6 2001:db8::1 2001:db8::2 4660 1883\r\n", "[2001:db8::1]:4660"},
	{"PROXY TCP6 ::ffff:10.1.2.3 ::1 4660 1883\r\n", "10.1.2.3:4660"},
	{"PROXY UNKNOWN\r\n", ""},
	{"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", ""},
	{"PROXY TCP4 10.1.2.3 127.0.0.1 4660\r\n", "bad"},
	{"PROXY TCP4 2001:db8::1 127.0.0.1 4660 1883\r\n", "bad"},
	{"PROXY TCP6 10.1.2.3 127.0.0.1 4660 1883\r\n", "bad"},
	{"PROXY TCP6 fe80::1%eth0 ::1 4660 1883\r\n", "bad"},
	{"PROXY TCP4 10.1.2.3 127.0.0.1 70000 1883\r\n", "bad"},
	{"PROXY TCP4  10.1.2.3 127.0.0.1 1 1883\r\n", "bad"},
	{"PROXY UDP4 10.1.2.3 127.0.0.1 4660 1883\r\n", "bad"},
	{"PROXY " + strings.Repeat("x", 200) + "\r\n", "bad"},
	{"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01c", "bad"},
	{"GET / HTTP/1.1\r\n\r\n", "bad"},
	{proxy2(1, 0x11, four), "10.1.2.3:4660"},
	{proxy2(1, 0x21, six), "[2001:db8::1]:4660"},
	{proxy2(1, 0x11, four+"\x04\x00\x03abc"), "10.1.2.3:4660"},
	{proxy2(1, 0x11, four+strings.Repeat("x", proxyMost-len(four))), "10.1.2.3:4660"},
	{proxy2(1, 0x11, four+strings.Repeat("x", proxyMost)), "bad"},
	{proxy2(0, 0x11, four), ""},
	{proxy2(0, 0, ""), ""},
	{proxy2(1, 0, "notes"), ""},
	{proxy2(1, 0x31, strings.Repeat("x", 216)), ""},
	{proxy2(2, 0x11, four), "bad"},
	{proxy2(1, 0x11, four[:8]), "bad"},
	{proxySign + "\x31\x11\x00\x0c" + four, "bad"},
}

func TestProxyHeader(t *testing.T) {
	for _, c := range proxyHeaders {
		for _, slow := range []bool{false, true} {
			in := strings.NewReader(c.sent + "after")
			var r io.Reader = in
			if slow {
				r = iotest.OneByteReader(r)
			}
			got, err := readProxyHeader(r)
			want, _ := netip.ParseAddrPort(c.client)
			if c.client == "bad" {
				if err == nil {
					t.Errorf("%q: got %v, want an error", short([]byte(c.sent)), got)
				}
				continue
			}
			if rest, _ := io.ReadAll(in); err != nil || got != want || string(rest) != "after" {
				t.Errorf("%q: got %v, %v, and left %q, want %q", short([]byte(c.sent)), got, err, rest, c.client)
			}
		}
	}
}

func FuzzProxyHeader(f *testing.F) {
	for _, c := range proxyHeaders {
		f.Add([]byte(c.sent))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		r := strings.NewReader(string(sent))
		client, err := readProxyHeader(r)
		if read := len(sent) - r.Len(); read > 16+proxyMost {
			t.Fatalf("read %d bytes", read)
		}
		if err != nil && client.IsValid() {
			t.Fatalf("%v and %v", client, err)
		}
	})
}

func TestProxies(t *testing.T) {
	p, err := parseProxies([]string{"10.0.0.0/8", "192.168.1.5", "fd00::/8"})
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]bool{"10.200.0.1": true, "::ffff:10.1.1.1": true, "11.0.0.1": false, "192.168.1.5": true, "192.168.1.6": false, "fd12::1": true, "fe80::1": false} {
		if got := p.has(&net.TCPAddr{IP: net.ParseIP(addr), Port: 1}); got != want {
			t.Errorf("%s: got %v", addr, got)
		}
	}
	if p.has(local{1}) {
		t.Error("a unix socket was not named")
	}
}

// TestProxyLimits has clients behind a proxy that are refused, or late, and one
// that is no proxy.
func TestProxyLimits(t *testing.T) {
	var log lockedText
	b := startBroker(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))}, func(c *Config) {
		c.Listeners[0].Proxies = []string{"127.0.0.1"}
		c.Listeners[0].ConnectionsPerAddr = 1
		c.Listeners = append(c.Listeners, ListenerConfig{Bind: "127.0.0.1:0", Proxies: []string{"10.0.0.1"}},
			ListenerConfig{Bind: "127.0.0.1:0", Proxies: []string{"127.0.0.1"}, ConnectTimeout: conf.Duration(leastDeadline)})
	})
	open := func(listener int, header string) *peer {
		p := newPeer(t, dialRaw(t, b, listener))
		p.raw([]byte(header))
		return p
	}
	head := func(host string) string { return "PROXY TCP4 " + host + " 127.0.0.1 4660 1883\r\n" }
	first := open(0, head("10.1.2.3"))
	first.connect("a")
	open(0, head("10.1.2.4")).connect("b")
	open(0, head("10.1.2.3")).ended()
	open(0, "PROXY nonsense\r\n").ended()
	open(0, "\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01c").ended()
	open(1, head("10.1.2.3")).ended()
	open(2, "PROXY TCP4 ").ended()
	open(0, proxy2(0, 0, "")).nc.Close() // a health check
	for _, want := range []string{"there are too many (edge.limits or the limits of its listener)\" component=edge client=10.1.2.3", "sends no PROXY header that can be read", "none of the listener's proxies\" component=edge client=127.0.0.1"} {
		until(t, want, func() bool { return strings.Contains(log.String(), want) })
	}
	first.bye()
	until(t, "the address is free", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.perAddr["10.1.2.3"] == 0 && b.perAddr["127.0.0.1"] == 0 && len(b.conns) == 1
	})
	open(0, head("10.1.2.3")).connect("a")
}

// TestBehindHAProxy puts HAProxy before a listener of each kind, with either
// version of the protocol: limits mean its clients.
func TestBehindHAProxy(t *testing.T) {
	if _, err := exec.LookPath("haproxy"); err != nil {
		t.Fatalf("%v; install it with: make setup", err)
	}
	files := newCertFiles(t, newAuthority(t, "home CA"), 1)
	socket := filepath.Join(files.dir, "s")
	listeners := []ListenerConfig{{}, {Cert: files.cert, Key: files.key}, {Protocol: overWebSocket}, {Protocol: overWebSocket, Cert: files.cert, Key: files.key}, {Bind: unixPrefix + socket, Proxies: []string{"unix"}}}
	for i := range listeners {
		l := &listeners[i]
		l.Anonymous, l.ConnectionsPerAddr = true, 1
		if l.Bind == "" {
			l.Bind, l.Proxies = "127.0.0.1:0", []string{"127.0.0.0/8"}
		}
	}
	b := startBroker(t, Options{}, func(c *Config) { c.Listeners = listeners })
	fronts := startHAProxy(t, b)
	for i := range listeners {
		for version, front := range fronts[i] {
			dialFrom := func(ip byte) *peer {
				d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, ip)}}
				nc, err := d.DialContext(t.Context(), "tcp", front)
				if err != nil {
					t.Fatal(err)
				}
				return newPeer(t, nc)
			}
			one := dialFrom(7)
			one.nc = wrapAs(t, one.nc, b.listeners[i].terms.Load())
			one.r.Reset(one.nc)
			one.connect(fmt.Sprint("one", i, version))
			one.publish("t", "x", 1)
			b.mu.Lock()
			if got := b.listeners[i].perAddr["127.0.0.7"]; got != 1 {
				t.Errorf("listener %d, version %d: got counts %v", i, version+1, b.listeners[i].perAddr)
			}
			b.mu.Unlock()
			dialFrom(7).ended() // the second of its address
			one.nc.Close()
			until(t, "the address is free", func() bool {
				b.mu.Lock()
				defer b.mu.Unlock()
				return b.listeners[i].perAddr["127.0.0.7"] == 0
			})
		}
	}
}

// startHAProxy puts two front ends before each listener, for versions 1 and 2,
// and returns their addresses. They check the listener's health as well.
func startHAProxy(t *testing.T, b *Broker) (fronts [][2]string) {
	t.Helper()
	text := "global\n maxconn 200\ndefaults\n mode tcp\n timeout connect 20s\n timeout client 60s\n timeout server 60s\n"
	var sockets []*os.File
	for i, at := range b.Addrs() {
		var pair [2]string
		for v, send := range []string{"send-proxy", "send-proxy-v2"} {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			file, err := ln.(*net.TCPListener).File()
			if err != nil {
				t.Fatal(err)
			}
			pair[v] = ln.Addr().String()
			ln.Close()
			defer file.Close()
			to := at.String()
			if at.Network() == "unix" {
				to = "unix@" + to
			}
			text += fmt.Sprintf("listen l%dv%d\n bind fd@%d\n server s %s %s check inter 200ms\n", i, v+1, 3+len(sockets), to, send)
			sockets = append(sockets, file)
		}
		fronts = append(fronts, pair)
	}
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "haproxy", "-db", "-f", replaceFile(t, filepath.Join(t.TempDir(), "haproxy.cfg"), []byte(text)))
	cmd.ExtraFiles, cmd.Stderr, cmd.Stdout = sockets, t.Output(), t.Output()
	cmd.WaitDelay = patience
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		var exit *exec.ExitError
		if err := cmd.Wait(); err != nil && !errors.As(err, &exit) && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	return fronts
}
