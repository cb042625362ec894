package uplink

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
)

// firstBytes remembers how the other side began.
type firstBytes struct {
	net.Conn
	mu  sync.Mutex // guards got
	got []byte
}

func (f *firstBytes) Read(b []byte) (int, error) {
	n, err := f.Conn.Read(b)
	f.mu.Lock()
	defer f.mu.Unlock()
	if room := 16 - len(f.got); room > 0 {
		f.got = append(f.got, b[:min(n, room)]...)
	}
	return n, err
}

// NetConn returns the connection below.
func (f *firstBytes) NetConn() net.Conn { return f.Conn }

func (f *firstBytes) begins(with string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.HasPrefix(string(f.got), with)
}

// tls says whether a TLS record came: an alert or a handshake [RFC 8446, 5.1].
func (f *firstBytes) tls() bool { return f.begins("\x15\x03") || f.begins("\x16\x03") }

// old says whether a CONNACK of MQTT 3.1.1 came [MQTT 3.1.1, 3.2]: a newer one
// is longer.
func (f *firstBytes) old() bool { return f.begins("\x20\x02") }

// saidInstead finds out why CONNECT was not answered as it must be.
func (p *probe) saidInstead(ctx context.Context, e endpoint, seen *firstBytes, err error) error {
	kind := faultOf(err)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.set.cfg.ConnectTimeout.Std())
	defer cancel()
	switch {
	case seen.begins("HTTP/"):
		return fault(FaultHTTP, errors.New("an HTTP server answers there: a log-in page of this network, a proxy, or another service"))
	case seen.tls():
		return fault(FaultNeedsTLS, errors.New("TLS is spoken there, and the endpoint is one without"))
	case kind == FaultVersion || seen.old():
		return fault(FaultVersion, errors.New("MQTT 3.1.1 is spoken there and not MQTT 5, which the gateway needs"))
	case kind != FaultNoNode && kind != FaultNoAnswer && kind != FaultProtocol:
		return err
	case p.speaksOld(ctx, e) == "3.1.1":
		return fault(FaultVersion, errors.New("MQTT 3.1.1 is spoken there; a CONNECT of MQTT 5, which the gateway needs, is not answered"))
	case !e.tls && e.path == "" && p.speaksTLS(ctx, e):
		return fault(FaultNeedsTLS, errors.New("TLS is spoken there, and the endpoint is one without"))
	}
	return err
}

// speaksOld says what a CONNECT of MQTT 3.1.1 without user and password is
// answered with: "3.1.1", "other" for a CONNACK that refuses the version, or ""
// for nothing that is MQTT.
func (p *probe) speaksOld(ctx context.Context, e endpoint) string {
	nc := p.again(ctx, e)
	if nc == nil {
		return ""
	}
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { nc.Close() })()
	const id = "tidegatetest"
	b := []byte{0x10, byte(12 + len(id)), 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60}
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(id))), id...)
	if _, err := nc.Write(b); err != nil {
		return ""
	}
	var answer [4]byte
	if _, err := io.ReadFull(nc, answer[:]); err != nil || answer[0] != 0x20 {
		return ""
	}
	if answer[1] == 2 && answer[3] != 1 {
		return "3.1.1"
	}
	return "other"
}
