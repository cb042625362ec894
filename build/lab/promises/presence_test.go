package promises

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"tidegate/build/bench/load"
)

// word is what a gateway said of itself on its status topic.
type word struct {
	State  string `json:"state"`
	Reason string `json:"reason"`
	Epoch  uint64 `json:"epoch"`
	Number uint64 `json:"number"`
	Links  []struct{ ID, State, Endpoint string }
}

// words collects them.
type words struct {
	mu  sync.Mutex
	all []word
}

// presence listens to the gateway's status topic, through the loss of nodes.
func (w *world) presence() *words {
	said := &words{}
	sub := load.NewSubscriber(load.SubscriberConfig{
		Client:  load.Client{Addrs: w.cloud.Addrs(), ID: "presence", Persistent: true, KeepAlive: 5 * time.Second},
		Filters: []load.Filter{{Topic: "tidegate/lab/status", QoS: 1}},
		OnMessage: func(m *load.Message) {
			var one word
			json.Unmarshal(m.Payload, &one) // what is no JSON has no state
			said.mu.Lock()
			said.all = append(said.all, one)
			said.mu.Unlock()
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	w.t.Cleanup(func() { cancel(); work.Wait() })
	work.Go(func() {
		if err := sub.Run(ctx); err != nil {
			w.t.Error(err)
		}
	})
	select {
	case <-sub.Ready():
	case <-w.soon(time.Minute).Done():
		w.t.Fatal("the presence's subscriber is not ready")
	}
	return said
}

// latest returns the statement with the greatest epoch and number.
func (s *words) latest() (last word) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.all {
		if one.Epoch > last.Epoch || one.Epoch == last.Epoch && one.Number >= last.Number {
			last = one
		}
	}
	return last
}

// never says whether nobody ever said state.
func (s *words) never(state string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !slices.ContainsFunc(s.all, func(one word) bool { return one.State == state })
}

// at returns where a link is, as the latest statement has it.
func (s *words) at(link string) string {
	for _, l := range s.latest().Links {
		if l.ID == link {
			return l.Endpoint
		}
	}
	return ""
}
