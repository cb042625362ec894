package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// Client asks a gateway on this machine.
type Client struct {
	path string
	http http.Client
}

// ErrNoGateway says that no gateway runs, or none with this socket.
var ErrNoGateway = errors.New("the gateway does not run")

// Dial returns a client of the socket at path. It says at once when no gateway
// is there: ErrNoGateway, or that the socket may not be used.
func Dial(path string) (*Client, error) {
	c := &Client{path: path}
	c.http.Transport = &http.Transport{DialContext: c.dial, MaxIdleConns: 1, IdleConnTimeout: time.Minute}
	conn, err := c.dial(context.Background(), "", "")
	if err != nil {
		return nil, err
	}
	return c, conn.Close()
}

func (c *Client) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.path)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("only root and the group of the gateway may ask it: use sudo: %w", err)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w (nobody is at %s); start it with: systemctl start tidegate", ErrNoGateway, c.path)
	}
	return conn, err
}

// Close lets go of the connection.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Get asks for path and decodes the answer into to.
func (c *Client) Get(ctx context.Context, path string, to any) error {
	return c.Do(ctx, http.MethodGet, path, nil, to)
}

// Do sends body as JSON, or as text when it is a string, and decodes the answer
// into to; both may be nil. What the gateway refuses comes as *Error.
func (c *Client) Do(ctx context.Context, method, path string, body, to any) error {
	resp, err := c.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if to == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	if err := json.NewDecoder(resp.Body).Decode(to); err != nil {
		return fmt.Errorf("read the gateway's answer: %w", err)
	}
	return nil
}

func (c *Client) send(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var content io.Reader
	kind := "application/json"
	if text, ok := body.(string); ok {
		content, kind = strings.NewReader(text), "text/plain; charset=utf-8"
	} else if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://gateway"+path, content)
	if err != nil {
		return nil, err
	}
	if content != nil {
		req.Header.Set("Content-Type", kind)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < 400 {
		return resp, nil
	}
	defer resp.Body.Close()
	said := &Error{Status: resp.StatusCode}
	if json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(said) != nil || said.What == "" {
		said.What = "the gateway answered " + resp.Status
	}
	return nil, said
}

// Stream calls f with each event of a path that streams, until ctx ends, the
// gateway ends it (nil), or f returns an error. A body is sent with POST.
func (c *Client) Stream(ctx context.Context, path string, body any, f func(event string, data []byte) error) error {
	method := http.MethodGet
	if body != nil {
		method = http.MethodPost
	}
	resp, err := c.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	var event string
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			if errors.Is(err, io.EOF) || ctx.Err() != nil {
				return ctx.Err()
			}
			return err
		}
		if name, ok := bytes.CutPrefix(line, []byte("event: ")); ok {
			event = string(bytes.TrimSpace(name))
		} else if data, ok := bytes.CutPrefix(line, []byte("data: ")); ok {
			if err := f(event, bytes.TrimSpace(data)); err != nil {
				return err
			}
		}
	}
}

// Status asks how the gateway is.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	s := new(Status)
	return s, c.Get(ctx, "/v1/status", s)
}
