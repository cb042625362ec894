package uplink

import (
	"encoding/json"
	"time"
)

// statement is what a gateway says of itself on its status topic, as JSON. Of
// two statements of one gateway the one with the greater epoch, and then the
// greater number, is the later one. That holds for wills too: each has the last
// of its connection's numbers, though it was made before all the others.
type statement struct {
	State   string `json:"state"` // online or offline
	Gateway string `json:"gateway"`
	Version string `json:"version,omitempty"`
	Epoch   uint64 `json:"epoch"`          // counts the gateway's starts
	Number  uint64 `json:"number"`         // grows with each of its statements since then
	Reason  string `json:"reason"`         // of the last change, in words
	Time    string `json:"time,omitempty"` // RFC 3339, UTC; left out while the clock is not synchronised

	Links []linkStatement `json:"links,omitempty"`
	Drops []dropStatement `json:"drops,omitempty"`
}

// linkStatement is one link.
type linkStatement struct {
	ID       string `json:"id"` // client id
	State    string `json:"state"`
	Endpoint string `json:"endpoint,omitempty"` // URL
	Fault    Fault  `json:"fault,omitempty"`
}

// dropStatement counts messages that will not reach the cloud, since the start.
type dropStatement struct {
	Route    string `json:"route,omitempty"` // its filter; left out when it is not known
	Class    string `json:"class"`
	Cause    string `json:"cause"`
	Messages int64  `json:"messages"`
	First    string `json:"first"` // the message ids
	Last     string `json:"last"`
}

const (
	online  = "online"
	offline = "offline"
)

// statement says how things are now.
func (u *Uplink) statement(number uint64, reason string, now time.Time, synchronised bool) statement {
	s := u.bare(online, number, reason)
	if synchronised {
		s.Time = now.UTC().Format(time.RFC3339)
	}
	s.Links = u.linkStatements()
	s.Drops = u.dropStatements()
	return s
}

// bare is a statement that stays true.
func (u *Uplink) bare(state string, number uint64, reason string) statement {
	return statement{State: state, Gateway: u.gateway, Version: u.opt.Version, Epoch: u.opt.Epoch, Number: number, Reason: reason}
}

func (u *Uplink) linkStatements() (all []linkStatement) {
	for _, l := range u.links {
		l.mu.Lock()
		s := linkStatement{ID: l.id, State: l.state, Fault: l.fault}
		switch l.state {
		case Connected, Slow, Draining:
			s.Endpoint = l.at
		case Backoff:
			s.State = Connecting // the two take turns
		}
		l.mu.Unlock()
		all = append(all, s)
	}
	return all
}

// numbers is how many of them a connection has for its statements and its will.
const numbers = 1_000_000_000

const mostDrops = 32 // rows; a statement has to fit into a packet

func (u *Uplink) dropStatements() (all []dropStatement) {
	drops := u.spool.Stats().Drops
	for _, d := range drops[:min(len(drops), mostDrops)] {
		all = append(all, dropStatement{
			Route: d.Route, Class: d.Class.String(), Cause: string(d.Cause), Messages: d.Messages,
			First: u.gateway + "/" + d.First.String(), Last: u.gateway + "/" + d.Last.String(),
		})
	}
	return all
}

func (s statement) json() []byte {
	b, err := json.Marshal(s)
	if err != nil {
		return nil // it has no values that JSON lacks
	}
	return b
}

// dropped is the total of a statement's drops.
func (s statement) dropped() (n int64) {
	for _, d := range s.Drops {
		n += d.Messages
	}
	return n
}
