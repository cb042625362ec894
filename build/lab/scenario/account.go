package scenario

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

// account enters what arrives in the cloud. It is in the network too, but
// nothing ever befalls its ways to the nodes.
type account struct {
	ledger   *load.Ledger
	consumer *load.Consumer
	subs     []*load.Subscriber // of real brokers
	stop     context.CancelFunc
	work     sync.WaitGroup

	mu      sync.Mutex // guards what follows
	mark    time.Duration
	flowed  map[string]time.Duration // by topic: when something published after the mark arrived first
	last    map[string]time.Duration // by topic: the last first arrival
	silence time.Duration            // the longest of a topic that ended since the mark
	resumed time.Duration            // when the last silence that meant something ended
	greeted []int                    // by subscriber: subscriptions confirmed
	err     error
}

// openAccount returns when every node's messages are heard. A cluster is heard
// on its first node, each of separate nodes by itself.
func openAccount(ctx context.Context, c *cloud.Cloud, name, prefix string) (*account, error) {
	ledger := load.NewLedger()
	inner, stop := context.WithCancel(context.Background())
	a := &account{
		ledger: ledger, consumer: ledger.Consumer(), stop: stop,
		flowed: map[string]time.Duration{}, last: map[string]time.Duration{},
	}
	prefix = gateway.Sent + prefix
	if c.Record != "" {
		a.work.Go(func() {
			a.fail(cloud.Follow(inner, c.Record, func(m cloud.Accepted) {
				if strings.HasPrefix(m.Topic, prefix) {
					a.arrival(m.Topic, m.Payload, ledger.Now()-time.Since(m.At))
				}
			}))
		})
		return a, nil
	}
	at := [][]string{c.Addrs()}
	if !c.Cluster {
		at = nil
		for _, addr := range c.Addrs() {
			at = append(at, []string{addr})
		}
	}
	for i, addrs := range at {
		a.greeted = append(a.greeted, 0)
		// A broker answers a subscription to what it has retained at once: the
		// sign that it took the other one too.
		sub := load.NewSubscriber(load.SubscriberConfig{
			Client:    load.Client{Addrs: addrs, ID: fmt.Sprintf("%s-%d", name, i), Persistent: true, Expiry: 10 * time.Minute, KeepAlive: 30 * time.Second},
			Filters:   []load.Filter{{Topic: prefix + "#", QoS: 1}, {Topic: "$SYS/broker/version", QoS: 0}},
			OnMessage: func(m *load.Message) { a.message(i, m) },
		})
		a.subs = append(a.subs, sub)
		a.work.Go(func() { a.fail(sub.Run(inner)) })
	}
	for _, sub := range a.subs {
		select {
		case <-sub.Ready():
		case <-ctx.Done():
			a.close()
			return nil, fmt.Errorf("the account's subscriber is not ready: %w", ctx.Err())
		}
	}
	return a, nil
}

func (a *account) close() {
	a.stop()
	a.work.Wait()
}

func (a *account) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err == nil {
		a.err = err
	}
}

func (a *account) message(sub int, m *load.Message) {
	if strings.HasPrefix(string(m.Topic), "$SYS/") {
		a.mu.Lock()
		a.greeted[sub]++
		a.mu.Unlock()
		return
	}
	a.arrival(string(m.Topic), m.Payload, a.ledger.Now())
}

func (a *account) arrival(topic string, payload []byte, now time.Duration) {
	kind := a.consumer.Receive(payload, now)
	if kind != load.First {
		return
	}
	sent, _ := load.Sent(payload)
	a.mu.Lock()
	defer a.mu.Unlock()
	if last, ok := a.last[topic]; ok && now > a.mark {
		a.silence = max(a.silence, now-last)
		if now-last > meaningful {
			a.resumed = now
		}
	}
	a.last[topic] = now
	if _, ok := a.flowed[topic]; !ok && sent > a.mark {
		a.flowed[topic] = now
	}
}

// begin makes this moment the mark.
func (a *account) begin() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mark, a.silence = a.ledger.Now(), 0
	a.resumed = a.mark
	clear(a.flowed)
}

// meaningful is a silence of a topic that is no chance: ten messages long or more.
const meaningful = 500 * time.Millisecond

// resumption returns how long after the mark the last silence ended that meant
// something; 0 when there was none.
func (a *account) resumption() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.resumed - a.mark
}

// flows says whether something published after the mark has arrived on each of
// the topics, and how long after the mark that was so.
func (a *account) flows(topics int) (after time.Duration, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, at := range a.flowed {
		after = max(after, at-a.mark)
	}
	return after, len(a.flowed) >= topics
}

// quiet returns the longest time since the mark that a topic was silent.
func (a *account) quiet() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.silence
}

// greetings returns how often a subscription was confirmed on separate node i.
func (a *account) greetings(i int) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if i >= len(a.greeted) {
		return 0
	}
	return a.greeted[i]
}

// returns is how often the account itself lost its connection.
func (a *account) returns() (n int64) {
	for _, s := range a.subs {
		n += max(s.Connects()-1, 0)
	}
	return n
}

func (a *account) failure() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}
