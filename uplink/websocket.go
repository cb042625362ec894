package uplink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

const (
	frameSize = 16 << 10 // largest payload of a frame we send
	readPiece = 2 << 10  // a frame is handed on in pieces of so much, so that a slow line is seen to move
)

// wsConn carries MQTT in the binary frames of a WebSocket [MQTT 5, 6]. Frames
// end where they like: what comes in is one stream of bytes, and so is what
// goes out.
type wsConn struct {
	*cork // addresses, deadlines and Close are the connection's below
	ws    *websocket.Conn
	frame io.Reader // what is left of the present one, nil for nothing
}

// openWebSocket asks the node at the other end of nc for a WebSocket. It
// closes nc when it fails.
func openWebSocket(ctx context.Context, nc net.Conn, e endpoint) (net.Conn, error) {
	c := &wsConn{cork: &cork{Conn: nc}}
	given := func(context.Context, string, string) (net.Conn, error) { return c.cork, nil }
	once := &http.Client{
		Transport:     &http.Transport{DialContext: given, DialTLSContext: given, DisableKeepAlives: true, MaxResponseHeaderBytes: 16 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	u := url.URL{Scheme: "ws", Host: e.authority(), Path: e.path}
	if e.tls {
		u.Scheme = "wss"
	}
	if path, err := url.PathUnescape(e.path); err == nil {
		u.Path, u.RawPath = path, e.path
	}
	ws, answer, err := websocket.Dial(ctx, u.String(), &websocket.DialOptions{HTTPClient: once, Subprotocols: []string{"mqtt"}})
	if err != nil {
		nc.Close()
		return nil, refusedUpgrade(answer, e, err)
	}
	ws.SetReadLimit(-1) // nothing is kept of a frame but a piece
	c.ws = ws
	return c, nil
}

// authority is what a browser would show: without the port that goes without
// saying.
func (e endpoint) authority() string {
	_, port, err := net.SplitHostPort(e.host)
	if err != nil {
		return e.name
	}
	all := net.JoinHostPort(e.name, port)
	if e.tls && port == "443" || !e.tls && port == "80" {
		return strings.TrimSuffix(all, ":"+port)
	}
	return all
}

// refusedUpgrade puts into words why there is no WebSocket.
func refusedUpgrade(answer *http.Response, e endpoint, err error) error {
	if answer == nil {
		return connectFault(err, Config{}, time.Now())
	}
	kind, hint := FaultWebSocket, ""
	switch answer.StatusCode {
	case http.StatusSwitchingProtocols:
		return fault(kind, err)
	case http.StatusNotFound, http.StatusOK, http.StatusBadRequest, http.StatusMethodNotAllowed:
		hint = fmt.Sprintf("; look at the path %s of the URL", e.path)
	case http.StatusUnauthorized, http.StatusForbidden:
		hint = "; whoever answers there wants to know more than MQTT's user and password"
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		kind, hint = FaultNoNode, "; no node behind the load balancer takes it"
	}
	return fault(kind, fmt.Errorf("asked for a WebSocket, it answered %d %s%s", answer.StatusCode, http.StatusText(answer.StatusCode), hint))
}

// Read returns what has come, at most to the end of a frame.
func (c *wsConn) Read(p []byte) (int, error) {
	for {
		if c.frame == nil {
			kind, frame, err := c.ws.Reader(context.Background())
			if err != nil {
				return 0, closedBy(err)
			}
			if kind != websocket.MessageBinary {
				return 0, fault(FaultProtocol, errors.New("the cloud sent a WebSocket frame of text")) // [MQTT-6.0.0-1]
			}
			c.frame = frame
		}
		n, err := c.frame.Read(p[:min(len(p), readPiece)])
		if err == io.EOF {
			c.frame, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, closedBy(err)
		}
	}
}

// Write sends p in frames that leave together. One call at a time.
func (c *wsConn) Write(p []byte) (n int, err error) {
	c.hold()
	for n < len(p) && err == nil {
		end := min(n+frameSize, len(p))
		if err = c.ws.Write(context.Background(), websocket.MessageBinary, p[n:end]); err == nil {
			n = end
		}
	}
	if serr := c.release(); err == nil {
		err = serr
	}
	return n, err
}

// closedBy puts the end of a WebSocket into words.
func closedBy(err error) error {
	var end websocket.CloseError
	switch {
	case errors.As(err, &end):
		text := fmt.Sprintf("the cloud closed the WebSocket: %d", end.Code)
		if end.Reason != "" {
			text += " " + end.Reason
		}
		if end.Code == websocket.StatusGoingAway || end.Code == websocket.StatusServiceRestart {
			return fault(FaultShutDown, errors.New(text))
		}
		return fault(FaultDeclined, errors.New(text))
	case errors.Is(err, io.EOF):
		return io.EOF
	}
	return err
}

// NetConn returns the connection below.
func (c *wsConn) NetConn() net.Conn { return c.Conn }

// cork is a connection whose writes can be held back, to leave in one piece.
type cork struct {
	net.Conn
	mu   sync.Mutex // guards what follows and writes
	held bool
	buf  []byte
}

func (c *cork) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.held {
		return c.Conn.Write(p)
	}
	c.buf = append(c.buf, p...)
	return len(p), nil
}

func (c *cork) hold() {
	c.mu.Lock()
	c.held = true
	c.mu.Unlock()
}

func (c *cork) release() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = false
	if len(c.buf) == 0 {
		return nil
	}
	_, err := c.Conn.Write(c.buf)
	if c.buf = c.buf[:0]; cap(c.buf) > 4*writeSize {
		c.buf = nil
	}
	return err
}
