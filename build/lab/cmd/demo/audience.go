package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"tidegate/build/bench/load"
	"tidegate/build/lab/cloud"
	"tidegate/build/lab/gateway"
)

// devices is where the counted messages are published: the rest of the home is
// not part of the account.
const devices = gateway.Up + "devices/"

// audience is the one consumer in the cloud. In a cluster it is an MQTT client
// with a persistent session on whichever node lives. The separate nodes of the
// stand-in write down what they accept before they acknowledge it, all into
// one record, which is what it reads there.
type audience struct {
	consumer *load.Consumer
	stop     context.CancelFunc
	wg       sync.WaitGroup
}

func listen(ctx context.Context, c *cloud.Cloud, ledger *load.Ledger) (*audience, error) {
	ctx, stop := context.WithCancel(ctx)
	a := &audience{consumer: ledger.Consumer(), stop: stop}
	counted := "cloud/" + devices
	if c.Record != "" {
		a.wg.Go(func() {
			cloud.Follow(ctx, c.Record, func(m cloud.Accepted) {
				if strings.HasPrefix(m.Topic, counted) {
					a.consumer.Receive(m.Payload, ledger.Now())
				}
			})
		})
		return a, nil
	}
	sub := load.NewSubscriber(load.SubscriberConfig{
		Client:   load.Client{Addrs: c.Addrs(), ID: "audience", KeepAlive: 10 * time.Second, Persistent: true},
		Filters:  []load.Filter{{Topic: counted + "#", QoS: 1}},
		Consumer: a.consumer,
	})
	a.wg.Go(func() { sub.Run(ctx) })
	select {
	case <-sub.Ready():
		return a, nil
	case <-time.After(30 * time.Second):
		a.close()
		return nil, fmt.Errorf("nobody could subscribe at %v", c.Addrs())
	}
}

func (a *audience) close() {
	a.stop()
	a.wg.Wait()
}
