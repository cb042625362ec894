package front

import (
	"context"
	"crypto/tls"
	"net"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"tidegate/build/lab/cert"
	"tidegate/build/lab/cloud"
)

// node starts a cloud and returns one of its nodes.
func node(t *testing.T) *cloud.Node {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := cloud.Open(ctx, "standin", t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c.Nodes[0]
}

func start(t *testing.T, cfg Config) *Front {
	t.Helper()
	cfg.Addr = "127.0.0.1:0"
	f, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// join connects a client over conn.
func join(t *testing.T, conn net.Conn, gone func(*paho.Disconnect)) (*paho.Client, *paho.Connack, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c := paho.NewClient(paho.ClientConfig{Conn: conn, OnServerDisconnect: gone})
	ack, err := c.Connect(ctx, &paho.Connect{ClientID: "guest", CleanStart: true, KeepAlive: 30})
	return c, ack, err
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestDrain(t *testing.T) {
	f := start(t, Config{Target: node(t).Addr})
	gone := make(chan *paho.Disconnect, 1)
	if _, _, err := join(t, dial(t, f.Addr()), func(d *paho.Disconnect) { gone <- d }); err != nil {
		t.Fatal(err)
	}
	f.Drain(0x9C, "elsewhere:1883")
	select {
	case d := <-gone:
		if d.ReasonCode != 0x9C || d.Properties == nil || d.Properties.ServerReference != "elsewhere:1883" {
			t.Errorf("got %+v, want 0x9C and the reference", d)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("no DISCONNECT")
	}
	_, ack, err := join(t, dial(t, f.Addr()), nil)
	if err == nil || ack == nil || ack.ReasonCode != 0x9C || ack.Properties.ServerReference != "elsewhere:1883" {
		t.Errorf("got %+v, %v; want a CONNACK with 0x9C and the reference", ack, err)
	}
	f.Admit()
	if _, _, err := join(t, dial(t, f.Addr()), nil); err != nil {
		t.Errorf("after the drain: %v", err)
	}
}

func TestTLSAndCut(t *testing.T) {
	a, err := cert.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	pair, err := a.Issue("127.0.0.1", time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	f := start(t, Config{Target: node(t).Addr, TLS: &tls.Config{Certificates: []tls.Certificate{pair.TLS}}})
	c, _, err := join(t, tls.Client(dial(t, f.Addr()), &tls.Config{RootCAs: a.Pool, ServerName: "127.0.0.1"}), nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := f.Cut(); n != 1 {
		t.Errorf("cut %d connections, want 1", n)
	}
	select {
	case <-c.Done():
	case <-time.After(20 * time.Second):
		t.Error("the client did not notice")
	}
}
