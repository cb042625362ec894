package control

import (
	"fmt"
	"math"
	"net/http"
	"time"

	"tidegate/uplink"
)

// LinkEvent is something that became of a link, or of a route.
type LinkEvent struct {
	Time     Time    `json:"time"`
	Link     string  `json:"link"`
	Endpoint string  `json:"endpoint"` // where the link is from then on, or was
	From     string  `json:"from"`     // endpoint before
	To       string  `json:"to"`
	Kind     string  `json:"kind"` // up, down, failover, return, slow, recover, fault, move, stop, pause, resume
	Fault    string  `json:"fault"`
	Words    string  `json:"words"`
	Hint     string  `json:"hint"`
	Cause    string  `json:"cause"` // as the gateway's log has it
	After    float64 `json:"after"` // seconds that what ended had lasted
	Route    string  `json:"route"`
}

// History is the body of /v1/history. All series end now, and begin at start by
// the present clock.
type History struct {
	Events  []LinkEvent `json:"events"` // oldest first
	Latency Latency     `json:"latency"`
	Flow    Flow        `json:"flow"`
}

// Latency is the round trip to each endpoint, in seconds.
type Latency struct {
	Step      float64           `json:"step"` // seconds
	Start     Time              `json:"start"`
	Endpoints map[string]Points `json:"endpoints"`
}

// Flow is what came from the home and went to the cloud, in messages a second,
// and how many waited.
type Flow struct {
	Step    float64 `json:"step"` // seconds
	Start   Time    `json:"start"`
	HomeIn  Points  `json:"home_in"`
	UpAcked Points  `json:"up_acked"`
	Waiting Points  `json:"spool_messages"` // the most in the minute
}

const mostEndpoints = 16 // of an uplink whose latency is kept

// minutes has the series of a day.
type minutes struct {
	began time.Time // of the present minute
	n     int       // minutes that have ended
	from  counts    // at began
	homes series
	up    map[string]*upMinutes
}

type upMinutes struct {
	acked, waiting series
	most           float64
	latency        map[string]*endpointMinutes
}

type endpointMinutes struct {
	series
	now mean
}

// add takes a sample, and ends the minute when it is over. It returns how many
// minutes ended; more than one when the machine slept.
func (m *minutes) add(r *Readings, c counts) (ended int) {
	if m.up == nil {
		*m = minutes{began: r.At, from: c, up: map[string]*upMinutes{}}
	}
	for over := r.At.Sub(m.began); over >= step && ended < mostPoints; over -= step {
		m.end(c, max(r.At.Sub(m.from.at), step))
		m.from, m.began = c, m.began.Add(step)
		ended++
	}
	for i := range r.Uplinks {
		u := &r.Uplinks[i]
		at := m.up[u.Name]
		if at == nil {
			at = &upMinutes{latency: map[string]*endpointMinutes{}}
			m.up[u.Name] = at
		}
		at.most = max(at.most, float64(waitingOf(u)))
		for j := range u.Links {
			if l := &u.Links[j]; l.RTT > 0 && l.Flows() && l.Endpoint != "" && (!l.Down || len(u.Links) == 1) {
				at.endpoint(l.Endpoint, m.n).now.add(l.RTT.Seconds())
			}
		}
	}
	return ended
}

func (m *minutes) end(c counts, d time.Duration) {
	m.n = min(m.n+1, mostPoints)
	m.homes.push(per(c.in, m.from.in, d))
	for name, u := range m.up {
		u.acked.push(per(c.up[name].acked, m.from.up[name].acked, d))
		u.waiting.push(u.most)
		u.most = 0
		for _, e := range u.latency {
			e.push(e.now.take())
		}
	}
}

// endpoint returns the series of an endpoint. The one that was silent for
// longest gives way.
func (u *upMinutes) endpoint(url string, n int) *endpointMinutes {
	if e := u.latency[url]; e != nil {
		return e
	}
	if len(u.latency) >= mostEndpoints {
		silent, most := "", -1
		for name, e := range u.latency {
			i := 1
			for i <= mostPoints && math.IsNaN(e.ago(i)) {
				i++
			}
			if i > most && e.now.n == 0 {
				silent, most = name, i
			}
		}
		delete(u.latency, silent)
	}
	e := &endpointMinutes{}
	u.latency[url] = e
	return e
}

var kindWords = map[uplink.EventKind]string{
	uplink.EventUp: "connected", uplink.EventFailover: "moved to another server", uplink.EventReturn: "is back at its own server",
	uplink.EventDown: "lost the connection", uplink.EventFault: "still has no connection", uplink.EventSlow: "acknowledgements come late",
	uplink.EventRecover: "acknowledgements come in time again", uplink.EventMove: "connects anew, because the configuration changed",
	uplink.EventStop: "disconnected, because the gateway stops",
}

func linkEventOf(e *uplink.Event) LinkEvent {
	out := LinkEvent{Time: Time(e.At), Link: e.Link, From: e.From, To: e.To, Endpoint: e.To, Kind: string(e.Kind), Fault: string(e.Fault), Cause: e.Cause, After: e.After.Seconds(), Route: e.Route}
	if out.Endpoint == "" {
		out.Endpoint = e.From
	}
	switch e.Kind {
	case uplink.EventPause:
		out.Words = fmt.Sprintf("the cloud refuses the messages of %s; they are kept", e.Route)
		return out
	case uplink.EventResume:
		out.Words = fmt.Sprintf("the cloud takes the messages of %s again, after %s", e.Route, lasting(e.After))
		return out
	}
	out.Words = kindWords[e.Kind]
	if e.Fault != "" && e.Kind != uplink.EventSlow {
		t := troubleOf(e.Fault)
		out.Words, out.Hint = out.Words+": "+lower(named(t.what, "The cloud")), t.hint
	} else if e.After >= time.Second && (e.Kind == uplink.EventUp || e.Kind == uplink.EventFailover) {
		out.Words += ", after " + lasting(e.After)
	}
	return out
}

// history is GET /v1/history.
func (a *API) history(w http.ResponseWriter, r *http.Request) error {
	name := r.URL.Query().Get("uplink")
	if name == "" && len(a.opt.Spools) == 1 {
		for only := range a.opt.Spools {
			name = only
		}
	}
	if _, ok := a.opt.Spools[name]; !ok {
		return nothing(fmt.Sprintf("there is no uplink %q", name), "name one of [[uplink]]")
	}
	out := History{Events: []LinkEvent{}}
	for _, e := range a.opt.Events(name) {
		out.Events = append(out.Events, linkEventOf(&e))
	}
	a.mu.Lock()
	out.Flow, out.Latency = a.minutes.of(name)
	a.mu.Unlock()
	return answer(w, out)
}

// of returns the series of an uplink, as they are at this moment.
func (m *minutes) of(uplink string) (Flow, Latency) {
	start := Time(m.start())
	flow := Flow{Step: step.Seconds(), Start: start, HomeIn: m.homes.points(m.n), UpAcked: Points{}, Waiting: Points{}}
	latency := Latency{Step: step.Seconds(), Start: start, Endpoints: map[string]Points{}}
	if u := m.up[uplink]; u != nil {
		flow.UpAcked, flow.Waiting = u.acked.points(m.n), u.waiting.points(m.n)
		for url, e := range u.latency {
			if !e.empty() {
				latency.Endpoints[url] = e.points(m.n)
			}
		}
	}
	return flow, latency
}

// start is when the first minute began, by the present clock.
func (m *minutes) start() time.Time {
	return time.Now().Add(-time.Duration(m.n) * step).Add(-time.Since(m.began))
}
