package control

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"sync"
	"time"

	"tidegate/edge"
	"tidegate/internal/topic"
)

const (
	tailRate    = 200     // messages a second that are sent to one listener
	tailQueue   = 64      // that wait for it
	mostTail    = 4096    // bytes of a payload that are shown
	mostPublish = 1 << 18 // bytes
)

// Message is one event of /v1/tail.
type Message struct {
	Topic     string `json:"topic"`
	Payload   string `json:"payload"`
	Encoding  string `json:"encoding"`
	Size      int    `json:"size"`
	Truncated bool   `json:"truncated"`
	QoS       byte   `json:"qos"`
	Retain    bool   `json:"retain"`
	Time      Time   `json:"time"`
	From      string `json:"from"` // client id; "" for the gateway itself
}

func messageOf(m *edge.Message) Message {
	p := payloadOf(m, mostTail, false)
	return Message{m.Topic, p.Payload, p.Encoding, p.Size, p.Truncated, m.QoS, m.Retain, p.Time, m.From}
}

// tail is GET /v1/tail.
func (a *API) tail(w http.ResponseWriter, r *http.Request) error {
	filter := r.URL.Query().Get("filter")
	if filter == "" {
		filter = "#"
	}
	if !topic.ValidFilter(filter) {
		return bad(fmt.Sprintf("%q is no filter of topics", filter), "+ stands for one level, # for all that follow and comes last: home/+/light, home/#")
	}
	s, ctx, done, err := a.open(w, r)
	if err != nil {
		return err
	}
	defer done()
	t := &tail{out: make(chan frame, tailQueue)}
	ctx, stop := context.WithCancel(ctx)
	var hearing sync.WaitGroup
	defer hearing.Wait()
	defer stop()
	if err := s.send(comment); err != nil {
		return err
	}
	retained := func() {
		n := 0
		a.opt.Retained(filter, func(m *edge.Message) bool {
			n++
			t.hear(m, 0)
			return n < tailQueue
		})
	}
	hearing.Go(func() {
		a.opt.Overhear(ctx, []string{filter}, func(m *edge.Message, missed int64) {
			if m == nil {
				retained()
				return
			}
			t.hear(m, missed)
		})
	})
	return t.follow(ctx, s)
}

// tail is what waits for one listener.
type tail struct {
	out chan frame

	mu     sync.Mutex // guards what follows
	missed int64
	second time.Time // that sent counts in
	sent   int
}

// hear never waits for the listener.
func (t *tail) hear(m *edge.Message, missed int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.missed += missed
	if now := time.Now(); now.Sub(t.second) >= time.Second {
		t.second, t.sent = now, 0
	}
	if t.sent >= tailRate || len(t.out) == cap(t.out) {
		t.missed++
		return
	}
	f, err := newFrame("message", messageOf(m))
	if err != nil {
		t.missed++
		return
	}
	t.sent++
	t.out <- f // there is room: only hear puts in
}

func (t *tail) dropped() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.missed
	t.missed = 0
	return n
}

// follow sends messages, and each second how many were left out.
func (t *tail) follow(ctx context.Context, s *stream) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	quiet := time.Now()
	for {
		var frames []frame
		select {
		case <-ctx.Done():
			return nil
		case f := <-t.out:
			frames = append(frames, f)
			for len(t.out) > 0 {
				frames = append(frames, <-t.out)
			}
		case <-tick.C:
			if n := t.dropped(); n > 0 {
				if f, err := newFrame("dropped", Dropped{n}); err == nil {
					frames = append(frames, f)
				}
			} else if time.Since(quiet) > heartbeat {
				frames = append(frames, comment)
			}
		}
		if len(frames) == 0 {
			continue
		}
		quiet = time.Now()
		if err := s.send(frames...); err != nil {
			return err
		}
	}
}

// Publication is the body of POST /v1/publish.
type Publication struct {
	Topic    string `json:"topic"`
	Payload  string `json:"payload"`
	Encoding string `json:"encoding"` // text, also when empty, or base64
	QoS      byte   `json:"qos"`
	Retain   bool   `json:"retain"`
}

// publish is POST /v1/publish.
func (a *API) publish(w http.ResponseWriter, r *http.Request) error {
	var p Publication
	if err := body(w, r, &p); err != nil {
		return err
	}
	m, err := p.message()
	if err != nil {
		return err
	}
	a.opt.Publish(m)
	return answer(w, struct{}{})
}

func (p *Publication) message() (*edge.Message, error) {
	data := []byte(p.Payload)
	switch p.Encoding {
	case "", "text":
	case "base64":
		var err error
		if data, err = base64.StdEncoding.DecodeString(p.Payload); err != nil {
			return nil, bad("the payload is no base64", "")
		}
	default:
		return nil, bad("encoding is neither text nor base64", "")
	}
	switch {
	case !topic.ValidName(p.Topic):
		return nil, bad(fmt.Sprintf("%q is no topic", p.Topic), "a topic is not empty and has no + and #, as in home/kitchen/light")
	case p.Topic[0] == '$':
		return nil, bad("topics that begin with $ belong to the gateway", "choose another topic")
	case p.QoS > 2:
		return nil, bad("QoS is 0, 1 or 2", "")
	case len(data) > mostPublish:
		return nil, bad("the payload is too large", "256 KiB at most")
	}
	return &edge.Message{Topic: p.Topic, Payload: data, QoS: p.QoS, Retain: p.Retain, Accepted: time.Now()}, nil
}
