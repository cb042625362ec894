package power

import (
	"maps"
	"time"

	"tidegate/build/bench/load"
)

// states are the retained messages of the home: when each was published.
type states map[string]time.Duration

// readStates returns what is retained now.
func (h *house) readStates() states {
	h.t.Helper()
	addr, got, last := h.forwarded(), states{}, make(chan struct{})
	stop := h.listen(load.SubscriberConfig{
		Client:  load.Client{Addrs: []string{addr}, ID: "panel"},
		Filters: []load.Filter{{Topic: "state/#", QoS: 1}},
		OnMessage: func(m *load.Message) {
			at, ok := load.Sent(m.Payload)
			switch {
			case !ok:
				h.t.Errorf("%s has %q", m.Topic, m.Payload)
			case string(m.Topic) == "state/last":
				close(last)
			case m.Retain:
				got[string(m.Topic)] = at
			}
		},
	})
	// What is retained comes before what is published after the subscription.
	must(h.t, load.NewFleet(load.FleetConfig{
		Client: load.Client{Addrs: []string{addr}, ID: "last"}, QoS: 1, Count: 1,
		Topic: func(int, int) string { return "state/last" },
	}, load.NewLedger()).Run(within(h.t)))
	select {
	case <-last:
	case <-within(h.t).Done():
		h.t.Fatal("a message of the home does not arrive")
	}
	stop()
	return got
}

// checkStates reads what a cut left of the retained messages: none is older than
// after the cut before.
func (h *house) checkStates() {
	h.t.Helper()
	got := h.readStates()
	for topic, at := range h.states {
		if now, ok := got[topic]; !ok || now < at {
			h.t.Errorf("%s went back from %v to %v", topic, at, now)
		}
	}
	h.states = got
}

// keepsStates stops the gateway in order and starts it again: nothing retained
// changes.
func (h *house) keepsStates() {
	h.t.Helper()
	if len(h.states) == 0 {
		h.t.Error("no retained message ever survived a cut")
	}
	h.hangUp()
	want := h.readStates()
	if got, want := h.do("stop", "tidegate"), "exit status 0"; got != want {
		h.t.Errorf("the gateway ended with %q, want %q", got, want)
	}
	h.do("umount", "/data")
	must(h.t, h.start())
	if got := h.readStates(); !maps.Equal(got, want) {
		h.t.Errorf("after a stop in order: got %v, want %v", got, want)
	}
}
