package edge

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"tidegate/edge/internal/lan"
)

// upgradeLimit bounds the request that begins a WebSocket, in bytes.
const upgradeLimit = 8 << 10

// refusal is a response to a request that does not become a WebSocket.
type refusal struct {
	code int
	why  string
	tell bool // in the log: whoever sets the client up looks there
}

func (r *refusal) Error() string { return r.why }

// upgrade does the opening handshake [RFC 6455, 4.2].
func (c *conn) upgrade() error {
	request := &io.LimitedReader{R: c.nc, N: upgradeLimit}
	in := bufio.NewReaderSize(request, tlsReadSize)
	r, err := http.ReadRequest(in)
	if err != nil {
		if request.N == 0 {
			err = &refusal{http.StatusRequestHeaderFieldsTooLarge, "the request is too long", false}
		} else if errors.Is(err, io.EOF) || request.N == upgradeLimit {
			return err
		} else {
			err = &refusal{http.StatusBadRequest, "this is no HTTP request", false}
		}
	}
	var answer []byte
	if err == nil {
		answer, err = c.terms.accept(r)
	}
	var no *refusal
	if errors.As(err, &no) {
		if no.tell {
			c.b.notice("WebSocket refused", c.host, "err", no.why)
		}
		c.nc.Write(no.response())
		return errRefused
	}
	if _, err := c.nc.Write(answer); err != nil {
		return err
	}
	c.mu.Lock()
	c.ws.open = true
	c.mu.Unlock()
	early, _ := in.Peek(in.Buffered())
	return c.in.preload(early)
}

// accept returns the response that makes a request a WebSocket, or a refusal.
func (t *terms) accept(r *http.Request) ([]byte, error) {
	key := r.Header.Get("Sec-WebSocket-Key")
	raw, err := base64.StdEncoding.DecodeString(key)
	var protocol string
	for _, p := range []string{"mqtt", "mqttv3.1"} { // the other one is what some clients call MQTT 3.1
		if protocol == "" && hasToken(r.Header, "Sec-WebSocket-Protocol", p) {
			protocol = p
		}
	}
	origin := r.Header.Get("Origin")
	switch {
	case r.URL.Path != t.path:
		return nil, &refusal{http.StatusNotFound, fmt.Sprintf("there is nothing at %s; MQTT over WebSocket is at %s", clip(r.URL.Path), t.path), true}
	case r.Method != http.MethodGet, !r.ProtoAtLeast(1, 1), r.ContentLength != 0, !hasToken(r.Header, "Connection", "upgrade"), !hasToken(r.Header, "Upgrade", "websocket"):
		return nil, &refusal{http.StatusUpgradeRequired, "this is for MQTT over WebSocket only", false}
	case r.Header.Get("Sec-WebSocket-Version") != "13":
		return nil, &refusal{http.StatusUpgradeRequired, "this needs version 13 of WebSocket", true}
	case err != nil || len(raw) != 16:
		return nil, &refusal{http.StatusBadRequest, "Sec-WebSocket-Key is not 16 bytes in base64", true}
	case protocol == "":
		return nil, &refusal{http.StatusBadRequest, "the client does not offer the WebSocket protocol mqtt", true} // [MQTT-6.0.0-3]
	case !t.welcomes(origin, r.Host):
		return nil, &refusal{http.StatusForbidden, fmt.Sprintf("pages from %s may not connect (origins of the listener)", clip(origin)), true}
	}
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return fmt.Appendf(nil, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:]), protocol), nil // [MQTT-6.0.0-4]
}

func (r *refusal) response() []byte {
	more := ""
	if r.code == http.StatusUpgradeRequired {
		more = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
	}
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nConnection: close\r\n%sContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nContent-Length: %d\r\n\r\n%s\n",
		r.code, http.StatusText(r.code), more, len(r.why)+1, r.why)
}

// hasToken says whether a list in a header has a token, in any case.
func hasToken(h http.Header, name, token string) bool {
	for _, list := range h.Values(name) {
		for one := range strings.SplitSeq(list, ",") {
			if strings.EqualFold(strings.TrimSpace(one), token) {
				return true
			}
		}
	}
	return false
}

// welcomes says whether a page of this origin may connect to the host of the
// request. A browser lets every page that it shows, of whomever, open WebSockets
// to every address that it can reach, but tells whose page it is. By default only
// pages from the gateway's own address are let in, at any port: from the name or
// IP address that the client called. A name counts only if nobody can own it on
// the internet: a stranger can let a name of his own point to the gateway, once
// his page is loaded. Other programs than browsers send no origin.
func (t *terms) welcomes(origin, host string) bool {
	if origin == "" || slices.Contains(t.cfg.Origins, "*") || slices.ContainsFunc(t.cfg.Origins, func(o string) bool { return strings.EqualFold(o, origin) }) {
		return true
	}
	page, err := url.Parse(origin)
	if err != nil || page.Scheme != "http" && page.Scheme != "https" {
		return false
	}
	called := (&url.URL{Host: host}).Hostname()
	return called != "" && strings.EqualFold(page.Hostname(), called) && lan.Name(called)
}
