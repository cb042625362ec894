package cloud

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"
)

func open(t *testing.T, kind string) *Cloud {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	began := time.Now()
	c, err := Open(ctx, kind, t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	t.Logf("%s: all nodes answer after %v", kind, time.Since(began).Round(time.Millisecond))
	return c
}

// client is an MQTT 5 client of a node. Sessions outlive its connections when
// session is true.
type client struct {
	*paho.Client
	got     chan string
	present bool // the session was there
}

func connect(t *testing.T, n *Node, id string, session bool) *client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, err := net.Dial("tcp", n.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &client{got: make(chan string, 1000)}
	c.Client = paho.NewClient(paho.ClientConfig{
		Conn: conn,
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) {
			c.got <- string(p.Packet.Payload)
			return true, nil
		}},
	})
	expiry := uint32(0)
	if session {
		expiry = 3600
	}
	ack, err := c.Connect(ctx, &paho.Connect{
		ClientID: id, KeepAlive: 30, CleanStart: !session,
		Properties: &paho.ConnectProperties{SessionExpiryInterval: &expiry},
	})
	if err != nil {
		t.Fatalf("connect %s to %s: %v", id, n.Name, err)
	}
	c.present = ack.SessionPresent
	return c
}

func (c *client) subscribe(t *testing.T, filter string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := c.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: filter, QoS: 1}}})
	if err != nil {
		t.Fatal(err)
	}
}

// publish sends the numbers from first to last.
func (c *client) publish(t *testing.T, topic string, first, last int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for i := first; i <= last; i++ {
		if _, err := c.Publish(ctx, &paho.Publish{Topic: topic, QoS: 1, Payload: fmt.Append(nil, i)}); err != nil {
			t.Fatal(err)
		}
	}
}

// expect waits for the numbers from first to last. Numbers below first may
// come again before them: their acknowledgement can die with a node.
func (c *client) expect(t *testing.T, first, last int) {
	t.Helper()
	timeout := time.After(time.Minute)
	for next := first; next <= last; {
		select {
		case text := <-c.got:
			got, err := strconv.Atoi(text)
			if err != nil || got > next || got < next && next > first {
				t.Fatalf("got message %s, want %d", text, next)
			}
			if got == next {
				next++
			}
		case <-timeout:
			t.Fatalf("message %d does not arrive", next)
		}
	}
}

// TestSeparate is what the kinds without sessions in common promise: each node
// routes by itself, also after it was killed and came back.
func TestSeparate(t *testing.T) {
	for _, kind := range []string{"mosquitto", "standin"} {
		t.Run(kind, func(t *testing.T) {
			c := open(t, kind)
			for round := range 2 {
				for i, n := range c.Nodes {
					sub := connect(t, n, "sub", false)
					sub.subscribe(t, "lab/#")
					connect(t, c.Nodes[i], "pub", false).publish(t, "lab/t", 1, 10)
					sub.expect(t, 1, 10)
				}
				if round == 0 {
					c.Kill()
					if _, err := net.Dial("tcp", c.Nodes[0].Addr); err == nil {
						t.Error("a killed node accepts connections")
					}
					if err := c.Start(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
}

// TestRabbitMQSessionMoves is what makes the cluster the real thing: a session
// and its queue are found on another node after the client's node was killed,
// and after the client just went elsewhere.
func TestRabbitMQSessionMoves(t *testing.T) {
	c := open(t, "rabbitmq")
	first := connect(t, c.Nodes[0], "mover", true)
	if first.present {
		t.Error("a new client has a session")
	}
	first.subscribe(t, "lab/#")
	pub := connect(t, c.Nodes[1], "pub", false)
	pub.publish(t, "lab/t", 1, 10)
	first.expect(t, 1, 10)

	c.Nodes[0].Kill()
	pub.publish(t, "lab/t", 11, 60)
	second := connect(t, c.Nodes[2], "mover", true)
	if !second.present {
		t.Fatal("the session did not survive its node")
	}
	second.expect(t, 11, 60)

	third := connect(t, c.Nodes[1], "mover", true) // takes over from second
	select {
	case <-second.Done():
	case <-time.After(time.Minute):
		t.Error("the connection that was taken over stays open")
	}
	pub.publish(t, "lab/t", 61, 70)
	third.expect(t, 61, 70)

	began := time.Now()
	if err := c.Nodes[0].Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("a killed node is back after %v", time.Since(began).Round(time.Millisecond))
	fourth := connect(t, c.Nodes[0], "mover", true)
	pub.publish(t, "lab/t", 71, 80)
	fourth.expect(t, 71, 80)
}

func TestUnknownKind(t *testing.T) {
	if _, err := Open(t.Context(), "iot-hub", t.TempDir(), nil); err == nil || !strings.Contains(err.Error(), "rabbitmq") {
		t.Errorf("got %v, want an error that names the kinds", err)
	}
}
