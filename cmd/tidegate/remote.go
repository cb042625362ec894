package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"time"

	"tidegate/cmd/tidegate/internal/update"
	"tidegate/edge"
	"tidegate/internal/conf"
)

// UpdateConfig is the section [update]: updates that are ordered from outside.
type UpdateConfig struct {
	Topic string `toml:"topic"` // of the home, where a down route brings manifests; "": none are taken
	Key   string `toml:"key"`   // file: the public key they are signed with
}

func (c UpdateConfig) check() []conf.Problem {
	var all []conf.Problem
	if c.Topic == "" {
		return nil
	}
	if strings.ContainsAny(c.Topic, "+#\x00") || strings.HasPrefix(c.Topic, "$") {
		all = append(all, conf.Problem{Key: "topic", Value: strconv.Quote(c.Topic), Rule: "a topic without wildcards", Hint: "progress is published on the same with /status after it"})
	}
	if !filepath.IsAbs(c.Key) {
		all = append(all, conf.Problem{Key: "key", Value: strconv.Quote(c.Key), Rule: "the absolute path of a public key", Hint: "openssl genpkey -algorithm ed25519 -out update.key; openssl pkey -in update.key -pubout -out update.pem"})
	}
	return all
}

// checkFiles also reads the key.
func (c UpdateConfig) checkFiles() []conf.Problem {
	if c.Topic == "" || !filepath.IsAbs(c.Key) {
		return nil
	}
	if _, err := update.ReadKey(c.Key); err != nil {
		return []conf.Problem{{Key: "key", Value: strconv.Quote(c.Key), Rule: "an Ed25519 public key in PEM", Hint: err.Error()}}
	}
	return nil
}

// remote takes manifests from a topic and publishes what becomes of them on
// TOPIC/status, retained:
//
//	{"version":"v1.2.0","serial":7,"phase":"installing","percent":40,"doing":"...","to":"v1.3.0"}
//	{"version":"v1.2.0","phase":"refused","error":"the manifest's signature is wrong"}
type remote struct {
	cfg     UpdateConfig
	sys     update.System
	run     string // where a request is left
	watch   func(ctx context.Context, filters []string, f func(*edge.Message))
	publish func(topic string, payload []byte)
	every   time.Duration
}

// remoteStatus is what is published.
type remoteStatus struct {
	Version string       `json:"version"`
	Serial  uint64       `json:"serial,omitempty"` // of the manifest
	Phase   update.Phase `json:"phase,omitempty"`
	To      string       `json:"to,omitempty"`
	Percent int          `json:"percent,omitempty"`
	Doing   string       `json:"doing,omitempty"`
	Error   string       `json:"error,omitempty"`
}

const refused update.Phase = "refused"

// Run listens until ctx ends.
func (r *remote) Run(ctx context.Context) error {
	if r.cfg.Topic == "" {
		<-ctx.Done()
		return nil
	}
	orders := make(chan *edge.Message, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.watch(ctx, []string{r.cfg.Topic}, func(m *edge.Message) {
			if len(m.Payload) == 0 {
				return
			}
			select {
			case orders <- m:
			case <-ctx.Done():
			}
		})
	}()
	defer func() { <-done }()
	tick := time.NewTicker(r.every)
	defer tick.Stop()
	var last remoteStatus
	for {
		select {
		case <-ctx.Done():
			return nil
		case m := <-orders:
			err := r.order(m.Payload)
			if err != nil && !m.Retain { // what is retained was there before, and may be done
				last = remoteStatus{Version: r.sys.Version, Phase: refused, Error: err.Error()}
				r.say(last)
			}
		case <-tick.C:
			if now, ok := r.now(); ok && !reflect.DeepEqual(now, last) && (last.Phase != refused || !over(now)) {
				last = now
				r.say(last)
			}
		}
	}
}

// over says that there is nothing new in a status after a refusal.
func over(s remoteStatus) bool {
	switch s.Phase {
	case update.Downloading, update.Installing, update.Installed, update.Trial:
		return false
	}
	return true
}

// order checks a manifest and hands it to root.
func (r *remote) order(signed []byte) error {
	key, err := update.ReadKey(r.cfg.Key)
	if err != nil {
		return err
	}
	if _, err := r.sys.Accept(signed, key); err != nil {
		return err
	}
	if err := update.Ask(r.run, signed); err != nil {
		return fmt.Errorf("leave the request: %w", err)
	}
	return nil
}

func (r *remote) now() (remoteStatus, bool) {
	u, percent, doing, err := r.sys.Progress()
	if err != nil || u.Phase == "" {
		return remoteStatus{}, false
	}
	return remoteStatus{Version: r.sys.Version, Serial: u.Serial, Phase: u.Phase, To: u.Version, Percent: percent, Doing: doing, Error: u.Error}, true
}

func (r *remote) say(s remoteStatus) {
	payload, err := json.Marshal(s)
	if err == nil {
		r.publish(r.cfg.Topic+"/status", payload)
	}
}

// newRemote wires the updates from outside to the broker.
func (g *gateway) newRemote() *remote {
	dir := os.Getenv("RUNTIME_DIRECTORY")
	if dir == "" {
		dir = runDir
	}
	return &remote{cfg: g.cfg.Update, sys: update.OnImage(version), run: dir, every: time.Second,
		watch: g.broker.Watch,
		publish: func(topic string, payload []byte) {
			g.broker.Submit(&edge.Message{Topic: topic, Payload: payload, QoS: 1, Retain: true, Accepted: time.Now()}, edge.Ticket{})
			g.broker.Flush()
		}}
}
