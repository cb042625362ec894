package uplink

import (
	"strings"
	"sync"
	"time"
)

// EventKind says what became of a link, or of a route.
type EventKind string

// The kinds of events.
const (
	EventUp       EventKind = "up"       // has a connection: the first one, or again where it was
	EventFailover EventKind = "failover" // has one at another endpoint than before
	EventReturn   EventKind = "return"   // is back where it belongs
	EventDown     EventKind = "down"     // has lost its connection
	EventFault    EventKind = "fault"    // still has none, and now for another reason
	EventSlow     EventKind = "slow"     // acknowledgements come late
	EventRecover  EventKind = "recover"  // they come in time again
	EventMove     EventKind = "move"     // leaves by itself: the configuration changed
	EventStop     EventKind = "stop"     // the gateway stops
	EventPause    EventKind = "pause"    // of a route: the cloud refuses its messages
	EventResume   EventKind = "resume"   // of a route: it takes them again
)

// Event is a change that people look for when they ask what has happened.
type Event struct {
	At    time.Time
	Kind  EventKind
	Link  string        // client id; of a route the link that found out
	From  string        // endpoint before, "" for none
	To    string        // endpoint from then on, "" for none
	Fault Fault         // why, when something went wrong
	Cause string        // the same in words, 240 bytes at most
	After time.Duration // how long what ended had lasted; 0: not known
	Route string        // filter, of a route
}

const (
	mostEvents = 1000
	mostCause  = 240 // bytes
)

// history has the last events of an uplink.
type history struct {
	mu  sync.Mutex // guards all; taken after any other lock
	all []Event    // a ring
	end int        // where the next one goes, once it is full
}

func (h *history) add(e Event) {
	e.At = time.Now()
	if len(e.Cause) > mostCause {
		e.Cause = strings.ToValidUTF8(e.Cause[:mostCause], "") + " ..."
	}
	e.Cause = strings.Clone(e.Cause)
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.all) < mostEvents {
		h.all = append(h.all, e)
		return
	}
	h.all[h.end] = e
	h.end = (h.end + 1) % mostEvents
}

// Events returns the last thousand events, the oldest first. They are kept in
// RAM only.
func (u *Uplink) Events() []Event {
	h := &u.history
	h.mu.Lock()
	defer h.mu.Unlock()
	return append(append(make([]Event, 0, len(h.all)), h.all[h.end:]...), h.all[:h.end]...)
}

// noteUp notes a connection. The link's goroutine calls it, before last and gone
// are changed.
func (l *link) noteUp(endpoint string) {
	e := Event{Kind: EventUp, Link: l.id, From: l.last, To: endpoint}
	switch {
	case l.returned:
		e.Kind = EventReturn
	case l.last != "" && l.last != endpoint:
		e.Kind = EventFailover
	}
	if !l.gone.IsZero() {
		e.After = time.Since(l.gone)
	}
	l.noted = ""
	l.up.history.add(e)
}

// noteAway notes why there is still no connection, when that is news.
func (l *link) noteAway(endpoint string, err error) {
	if kind := faultOf(err); kind != l.noted {
		l.noted = kind
		l.up.history.add(Event{Kind: EventFault, Link: l.id, To: endpoint, Fault: kind, Cause: err.Error()})
	}
}

// noteDown notes the end of a connection.
func (l *link) noteDown(kind EventKind, endpoint string, lasted time.Duration, err error) {
	e := Event{Kind: kind, Link: l.id, From: endpoint, After: lasted}
	if err != nil {
		e.Fault, e.Cause = faultOf(err), err.Error()
		l.noted = e.Fault
	}
	l.up.history.add(e)
}

// Name is the name of the uplink in the configuration.
func (u *Uplink) Name() string { return u.settings.Load().cfg.Name }
