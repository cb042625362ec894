package balancer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"tidegate/build/lab/cert"
	"tidegate/build/lab/cloud"
)

// open starts three Mosquittos. Each has a retained message that says which
// one it is.
func open(t *testing.T) *cloud.Cloud {
	t.Helper()
	c, err := cloud.Open(soon(t), "mosquitto", t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for _, n := range c.Nodes {
		sign(t, n)
	}
	return c
}

func sign(t *testing.T, n *cloud.Node) {
	t.Helper()
	client := join(t, dial(t, n.Addr, nil), "signer")
	if _, err := client.Publish(soon(t), &paho.Publish{Topic: "who", QoS: 1, Retain: true, Payload: []byte(n.Name)}); err != nil {
		t.Fatal(err)
	}
	client.Disconnect(&paho.Disconnect{})
}

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// begin starts a load balancer.
func begin(t *testing.T, kind string, nodes []string, o Options) *Balancer {
	t.Helper()
	b, err := Start(soon(t), kind, nodes, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func dial(t *testing.T, addr string, roots *x509.CertPool) net.Conn {
	t.Helper()
	var conn net.Conn
	var err error
	if roots == nil {
		conn, err = net.Dial("tcp", addr)
	} else {
		conn, err = tls.Dial("tcp", addr, &tls.Config{RootCAs: roots, NextProtos: []string{"mqtt"}})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// client is an MQTT client that knows on which node it is.
type client struct {
	*paho.Client
	conn net.Conn
	who  chan string
}

func join(t *testing.T, conn net.Conn, id string) *client {
	t.Helper()
	c, err := try(t, conn, id)
	if err != nil {
		t.Fatalf("connect %s: %v", id, err)
	}
	return c
}

func try(t *testing.T, conn net.Conn, id string) (*client, error) {
	c := &client{conn: conn, who: make(chan string, 1)}
	c.Client = paho.NewClient(paho.ClientConfig{
		Conn: conn,
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) {
			c.who <- string(p.Packet.Payload)
			return true, nil
		}},
	})
	_, err := c.Connect(soon(t), &paho.Connect{ClientID: id, KeepAlive: 30, CleanStart: true})
	return c, err
}

// node asks the client's node for its name.
func (c *client) node(t *testing.T) string {
	t.Helper()
	if _, err := c.Subscribe(soon(t), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "who", QoS: 1}}}); err != nil {
		t.Fatal(err)
	}
	select {
	case name := <-c.who:
		return name
	case <-time.After(20 * time.Second):
		t.Fatal("the node does not say its name")
		return ""
	}
}

// at connects once through the load balancer and returns the node's name.
func (b *Balancer) at(t *testing.T, id string) string {
	t.Helper()
	c := join(t, dial(t, b.Addr, nil), id)
	defer c.Disconnect(&paho.Disconnect{})
	return c.node(t)
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !cond(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// identity makes a certificate for a load balancer and who trusts it.
func identity(t *testing.T) (pem []byte, roots *x509.CertPool) {
	t.Helper()
	a, err := cert.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	pair, err := a.Issue("127.0.0.1", time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return append(pair.Cert, pair.Key...), a.Pool
}
