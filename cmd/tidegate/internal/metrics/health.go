package metrics

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"tidegate/uplink"
)

// Health is the body of /healthz.
type Health struct {
	Healthy bool   `json:"healthy"`
	Words   string `json:"words"`
}

// Readiness is the body of /readyz. It has no addresses and nothing secret.
type Readiness struct {
	Ready     bool          `json:"ready"`
	Words     string        `json:"words"`
	Listeners int           `json:"listeners"`
	Uplinks   []UplinkReady `json:"uplinks"`
}

// UplinkReady is what /readyz says of one uplink.
type UplinkReady struct {
	Name     string `json:"name"`
	Ready    bool   `json:"ready"`    // the cloud acknowledges what is sent, on every link that sends
	Commands bool   `json:"commands"` // they can come: there is a link for them, and it is connected
	Words    string `json:"words"`
}

// aliveTime is how long a message through the broker may take. It takes a
// fraction of a millisecond; systemd's watchdog has more patience.
const aliveTime = 5 * time.Second

// Healthy answers GET /healthz: 200 when the process and the broker work, as
// the watchdog finds out, else 503. The uplink has no part in it: a restart
// would not bring the cloud back.
func (m *Metrics) Healthy(w http.ResponseWriter, r *http.Request) {
	h := Health{Healthy: m.pulse.beats(r.Context()), Words: "the broker works"}
	if !h.Healthy {
		h.Words = brokerHangs
	}
	answer(w, h.Healthy, h)
}

const brokerHangs = "the broker does not pass on a message within 5 seconds"

// Ready answers GET /readyz: 200 when devices can connect and every uplink's
// cloud acknowledges what is sent, else 503. The body says which does not.
func (m *Metrics) Ready(w http.ResponseWriter, r *http.Request) {
	now := m.read()
	out := readiness(now)
	if out.Ready && !m.pulse.beats(r.Context()) {
		out.Ready, out.Words = false, brokerHangs
	}
	answer(w, out.Ready, out)
}

func readiness(now Now) Readiness {
	out := Readiness{Ready: true, Words: "ready", Listeners: now.Listeners, Uplinks: []UplinkReady{}}
	for _, u := range now.Uplinks {
		one := uplinkReady(u)
		if !one.Ready && out.Ready {
			out.Ready, out.Words = false, fmt.Sprintf("uplink %s: %s", u.Name, one.Words)
		}
		out.Uplinks = append(out.Uplinks, one)
	}
	if now.Listeners == 0 {
		out.Ready, out.Words = false, "the broker does not listen"
	}
	return out
}

func uplinkReady(u Uplink) UplinkReady {
	one := UplinkReady{Name: u.Name, Ready: u.Flowing(), Words: "the cloud acknowledges"}
	for _, l := range u.Links {
		if (l.Down || len(u.Links) == 1) && l.Flows() {
			one.Commands = true
		}
		if !one.Ready && !l.Down && !l.Flows() {
			one.Words = fmt.Sprintf("link %s %s, for %s now; messages are kept on the gateway", l.ID, stateWords(l.State), time.Since(l.Since).Round(time.Second))
		}
	}
	if len(u.Links) == 0 {
		one.Words = "it has no links yet"
	}
	return one
}

// stateWords put a state of a link that does not flow for people.
func stateWords(state string) string {
	switch state {
	case uplink.Connecting:
		return "tries to connect"
	case uplink.Backoff:
		return "reached no endpoint and waits for the next try"
	case uplink.Slow:
		return "waits for acknowledgements that are late"
	}
	return "is " + state
}

func answer(w http.ResponseWriter, good bool, body any) {
	data, err := json.Marshal(body)
	if err != nil { // not of these types
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if !good {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	w.Write(append(data, '\n')) // whoever has gone does not want it
}

// pulse asks the broker for a sign of life. However many ask, one message is
// under way, and what it found holds for a second: nobody loads the broker
// with questions about its health.
type pulse struct {
	alive func(context.Context) bool
	place chan struct{} // held while the fields below are read or written
	at    time.Time
	last  bool
}

const pulseEvery = time.Second

func (p *pulse) beats(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, aliveTime)
	defer cancel()
	select {
	case p.place <- struct{}{}:
		defer func() { <-p.place }()
	case <-ctx.Done():
		return false
	}
	if p.at.IsZero() || time.Since(p.at) > pulseEvery || !p.last {
		p.last = p.alive(ctx)
		p.at = time.Now()
	}
	return p.last
}
