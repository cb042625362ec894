package main

import (
	"context"
	"encoding/json"
	"net/url"
	"sync"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"

	"tidegate/build/lab/gateway"
)

// home is the scene of every MQTT textbook: a thermometer publishes, an air
// conditioner subscribes and switches on above 32 degrees. The thermometer is
// the gateway's simulated sensor; the air conditioner is a client of its own.
type home struct {
	conn *autopaho.ConnectionManager
	stop context.CancelFunc

	mu      sync.Mutex // guards what follows
	running bool
	on, off int
}

const (
	thermometer    = gateway.Up + "living-room/simulated-thermometer"
	airConditioner = gateway.Up + "living-room/air-conditioner"
	tooWarm        = 32.0 // degrees Celsius
)

func enterHome(ctx context.Context, addr string) (*home, error) {
	ctx, stop := context.WithCancel(ctx)
	h := &home{stop: stop}
	conn, err := autopaho.NewConnection(ctx, autopaho.ClientConfig{
		ServerUrls: []*url.URL{{Scheme: "mqtt", Host: addr}},
		KeepAlive:  10,
		OnConnectionUp: func(c *autopaho.ConnectionManager, _ *paho.Connack) {
			c.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: thermometer, QoS: 1}}})
		},
		ClientConfig: paho.ClientConfig{
			ClientID:          "air-conditioner",
			OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(r paho.PublishReceived) (bool, error) { h.feel(ctx, r.Packet.Payload); return true, nil }},
		},
	})
	if err != nil {
		stop()
		return nil, err
	}
	h.conn = conn
	return h, conn.AwaitConnection(ctx)
}

// feel takes one reading and switches when it crosses the line.
func (h *home) feel(ctx context.Context, payload []byte) {
	var reading struct{ Value float64 }
	if json.Unmarshal(payload, &reading) != nil {
		return
	}
	h.mu.Lock()
	warm := reading.Value > tooWarm
	switched := warm != h.running
	h.running = warm
	if switched && warm {
		h.on++
	} else if switched {
		h.off++
	}
	h.mu.Unlock()
	if switched {
		state := map[bool]string{true: "on", false: "off"}[warm]
		go h.conn.Publish(ctx, &paho.Publish{Topic: airConditioner, QoS: 1, Retain: true, Payload: []byte(state)})
	}
}

// switches returns how often the air conditioner went on and off.
func (h *home) switches() (on, off int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.on, h.off
}

func (h *home) close() {
	h.stop()
	<-h.conn.Done()
}
