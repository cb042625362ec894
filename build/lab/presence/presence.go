// Package presence hears what a gateway says of itself on its status topic, as
// somebody in the cloud does: one who listens all the time, and one who comes
// later and reads what is retained.
package presence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"tidegate/build/bench/load"
)

// Word is one statement.
type Word struct {
	State  string `json:"state"` // Online or Offline; empty for what is no statement
	Reason string `json:"reason"`
	Epoch  uint64 `json:"epoch"`
	Number uint64 `json:"number"`
	Links  []Link `json:"links"`

	Retained bool      `json:"-"` // was there when the subscription was made
	At       time.Time `json:"-"` // when it was heard
}

// Link is where a link is.
type Link struct{ ID, State, Endpoint string }

// What State says.
const (
	Online  = "online"
	Offline = "offline"
)

// After says whether w is the later one of two words of one gateway.
func (w Word) After(o Word) bool {
	return w.Epoch > o.Epoch || w.Epoch == o.Epoch && w.Number > o.Number
}

// On returns where a link is; "" when it is nowhere.
func (w Word) On(id string) string {
	for _, l := range w.Links {
		if l.ID == id {
			return l.Endpoint
		}
	}
	return ""
}

func parse(m *load.Message) (w Word) {
	if json.Unmarshal(m.Payload, &w) != nil {
		w = Word{}
	}
	w.Retained, w.At = m.Retain, time.Now()
	return w
}

// Topic is the status topic of a gateway.
func Topic(gateway string) string { return "tidegate/" + gateway + "/status" }

// Ear listens to a gateway, through the loss of nodes.
type Ear struct {
	stop context.CancelFunc
	work sync.WaitGroup

	mu  sync.Mutex // guards what follows
	all []Word
	err error
}

// Listen subscribes to what the gateway says, once on each group of addresses:
// a group is one separate broker, or the nodes of a cluster. It returns when it
// hears. client gives the clients' names and how they connect.
func Listen(ctx context.Context, client load.Client, gateway string, groups ...[]string) (*Ear, error) {
	inner, stop := context.WithCancel(context.Background())
	e := &Ear{stop: stop}
	name := client.ID
	for i, addrs := range groups {
		client.Addrs, client.ID, client.Persistent = addrs, fmt.Sprintf("%s-%d", name, i), true
		sub := load.NewSubscriber(load.SubscriberConfig{
			Client:    client,
			Filters:   []load.Filter{{Topic: Topic(gateway), QoS: 1}},
			OnMessage: e.hear,
		})
		e.work.Go(func() { e.fail(sub.Run(inner)) })
		select {
		case <-sub.Ready():
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("the listener to the status topic is not ready: %w", ctx.Err()), e.Close())
		}
	}
	return e, nil
}

// Close ends it and returns what went wrong.
func (e *Ear) Close() error {
	e.stop()
	e.work.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}

func (e *Ear) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.err = errors.Join(e.err, err)
}

func (e *Ear) hear(m *load.Message) {
	w := parse(m)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, w)
}

// Words returns what was heard, in the order in which it came.
func (e *Ear) Words() []Word {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]Word(nil), e.all...)
}

// Latest returns the latest of all words; of one that was heard several times
// the first.
func (e *Ear) Latest() Word { return Latest(e.Words()) }

// Heard returns the words of a state that were heard since a moment.
func (e *Ear) Heard(state string, since time.Time) (words []Word) {
	for _, w := range e.Words() {
		if w.State == state && !w.At.Before(since) {
			words = append(words, w)
		}
	}
	return words
}

// Latest returns the latest of words.
func Latest(words []Word) (last Word) {
	for _, w := range words {
		if w.After(last) {
			last = w
		}
	}
	return last
}

// Retained asks one node what it has retained, as somebody who comes now and
// waits for so long.
func Retained(ctx context.Context, client load.Client, gateway string, wait time.Duration) (w Word, ok bool, err error) {
	got := make(chan Word, 1)
	inner, stop := context.WithCancel(ctx)
	var work sync.WaitGroup
	defer work.Wait()
	defer stop()
	sub := load.NewSubscriber(load.SubscriberConfig{
		Client:  client,
		Filters: []load.Filter{{Topic: Topic(gateway)}},
		OnMessage: func(m *load.Message) {
			if m.Retain {
				select {
				case got <- parse(m):
				default:
				}
			}
		},
	})
	done := make(chan error, 1)
	work.Go(func() { done <- sub.Run(inner) })
	select {
	case <-sub.Ready():
	case err := <-done:
		return w, false, err
	case <-ctx.Done():
		return w, false, ctx.Err()
	}
	select {
	case w = <-got:
		return w, true, nil
	case err := <-done:
		return w, false, err
	case <-time.After(wait):
		return w, false, nil
	}
}
