package control

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"
)

const (
	mostStreams = 128              // at a time, of all kinds
	patience    = 10 * time.Second // for one who takes nothing
	heartbeat   = 15 * time.Second // a word when there is nothing to say, so that who has gone is noticed
)

// frame is an event as it goes over the wire. Many share one.
type frame []byte

func newFrame(event string, body any) (frame, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, broken("write an event", err)
	}
	var b bytes.Buffer
	b.Grow(len(event) + len(data) + 17)
	b.WriteString("event: ")
	b.WriteString(event)
	b.WriteString("\ndata: ")
	b.Write(data)
	b.WriteString("\n\n")
	return b.Bytes(), nil
}

// stream is an answer of server-sent events.
type stream struct {
	w   http.ResponseWriter
	out *http.ResponseController
}

// open begins a stream. The context ends with the listener or the API; done is
// called at the end.
func (a *API) open(w http.ResponseWriter, r *http.Request) (s *stream, ctx context.Context, done func(), err error) {
	if a.streams.Add(1) > mostStreams {
		a.streams.Add(-1)
		return nil, nil, nil, tooMany("too many are listening at the same time", "close some pages of the gateway")
	}
	ctx, cancel := context.WithCancel(r.Context())
	unhook := context.AfterFunc(a.ends, cancel)
	done = func() {
		unhook()
		cancel()
		a.streams.Add(-1)
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // a proxy in between passes events on at once
	s = &stream{w, http.NewResponseController(w)}
	return s, ctx, done, nil
}

// send writes frames and gives the listener some seconds to take them. In HTTP/2
// a deadline that passes ends the stream, also when nothing is to be written.
func (s *stream) send(frames ...frame) error {
	_ = s.out.SetWriteDeadline(time.Now().Add(patience)) // not all can: a recorder in a test
	defer s.out.SetWriteDeadline(time.Time{})
	for _, f := range frames {
		if _, err := s.w.Write(f); err != nil {
			return errGone
		}
	}
	if s.out.Flush() != nil {
		return errGone
	}
	return nil
}

var comment = frame(": here\n\n")

// follow sends what comes until ctx ends or the listener has gone.
func (s *stream) follow(ctx context.Context, from <-chan frame) error {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case f, more := <-from:
			if !more {
				return nil
			}
			err = s.send(f)
		case <-beat.C:
			err = s.send(comment)
		}
		if err != nil {
			return err
		}
	}
}
