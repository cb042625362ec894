package kernel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"
)

// QMP talks to a QEMU that was started with "-qmp unix:PATH,server=on,wait=off".
// It is for one goroutine.
type QMP struct {
	conn   net.Conn
	dec    *json.Decoder
	events []string // that nobody has waited for yet
}

// DialQMP connects, as soon as the socket is there.
func DialQMP(ctx context.Context, path string) (*QMP, error) {
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
		if err == nil {
			q := &QMP{conn: conn, dec: json.NewDecoder(conn)}
			if _, err := q.Do(ctx, "qmp_capabilities", nil); err != nil {
				return nil, errors.Join(err, conn.Close())
			}
			return q, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("talk to QEMU: %w: %w", context.Cause(ctx), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Do has QEMU carry out a command, with arguments that encode as a JSON object
// or nil, and returns its answer.
func (q *QMP) Do(ctx context.Context, command string, arguments any) (json.RawMessage, error) {
	request := map[string]any{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	text, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { q.conn.SetDeadline(time.Now()) })()
	if _, err := q.conn.Write(append(text, '\n')); err != nil {
		return nil, fmt.Errorf("qmp %s: %w", command, err)
	}
	for {
		m, err := q.next()
		switch {
		case err != nil:
			return nil, fmt.Errorf("qmp %s: %w", command, err)
		case m.Error != nil:
			return nil, fmt.Errorf("qmp %s: %s", command, m.Error.Desc)
		case m.Return != nil:
			return m.Return, nil
		}
	}
}

// Event waits for an event that was not waited for yet.
func (q *QMP) Event(ctx context.Context, name string) error {
	defer context.AfterFunc(ctx, func() { q.conn.SetDeadline(time.Now()) })()
	for {
		for i, e := range q.events {
			if e == name {
				q.events = q.events[i+1:]
				return nil
			}
		}
		if _, err := q.next(); err != nil {
			return fmt.Errorf("qmp event %s: %w", name, err)
		}
	}
}

type message struct {
	Event  string
	Return json.RawMessage
	Error  *struct{ Desc string }
}

func (q *QMP) next() (m message, err error) {
	if err = q.dec.Decode(&m); err == nil && m.Event != "" {
		q.events = append(q.events, m.Event)
	}
	return m, err
}

// Close ends the talk, not the machine.
func (q *QMP) Close() error { return q.conn.Close() }
