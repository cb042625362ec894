package load

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

func TestFrame(t *testing.T) {
	tests := []struct {
		name          string
		in            []byte
		header, total int
		err           error
	}{
		{"ping", []byte{0xc0, 0}, 2, 2, nil},
		{"one byte", []byte{0xc0}, 0, 0, errIncomplete},
		{"empty", nil, 0, 0, errIncomplete},
		{"cut body", []byte{0x40, 2, 0}, 2, 4, errIncomplete},
		{"two length bytes", append([]byte{0x30, 0x80, 1}, make([]byte, 128)...), 3, 131, nil},
		{"cut length", []byte{0x30, 0x80}, 0, 0, errIncomplete},
		{"five length bytes", []byte{0x30, 0x80, 0x80, 0x80, 0x80, 1}, 0, 0, errMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			header, total, err := frame(tt.in)
			if header != tt.header || total != tt.total || !errors.Is(err, tt.err) {
				t.Errorf("got %d %d %v, want %d %d %v", header, total, err, tt.header, tt.total, tt.err)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct {
		name string
		in   []byte
	}{
		{"type 0", []byte{0, 0}},
		{"QoS 3", []byte{0x36, 5, 0, 1, 'a', 0, 1}},
		{"identifier 0", []byte{0x40, 2, 0, 0}},
		{"topic beyond the packet", []byte{0x30, 3, 0, 9, 'a'}},
		{"properties beyond the packet", []byte{0x30, 4, 0, 1, 'a', 9}},
		{"PUBACK without identifier", []byte{0x40, 1, 0}},
		{"CONNACK without code", []byte{0x20, 1, 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var p packet
			if _, err := parse(tt.in, MQTT5, &p); !errors.Is(err, errMalformed) {
				t.Errorf("got %v, want %v", err, errMalformed)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte{0x30, 4, 0, 1, 'a', 0}, true)
	f.Add([]byte{0x32, 7, 0, 1, 'a', 0, 1, 0, 'x'}, true)
	f.Add([]byte{0x20, 2, 1, 0}, false)
	f.Add([]byte{0x90, 4, 0, 1, 0, 0x80}, true)
	f.Add([]byte{0xe0, 2, 0x8e, 0}, true)
	f.Fuzz(func(t *testing.T, in []byte, five bool) {
		version := byte(MQTT311)
		if five {
			version = MQTT5
		}
		var p packet
		size, err := parse(in, version, &p)
		if err != nil {
			return
		}
		if size < 2 || size > len(in) {
			t.Fatalf("packet of %d bytes in %d", size, len(in))
		}
		d := decoder{b: p.props, ok: true}
		for len(d.b) > 0 {
			d.property()
		}
		if p.kind != publish {
			return
		}
		out := appendPublish(nil, version, p.flags, p.id, p.topic, p.props, len(p.payload))
		out = append(out, p.payload...)
		var again packet
		if _, err := parse(out, version, &again); err != nil {
			t.Fatalf("parse what was encoded: %v", err)
		}
		if !bytes.Equal(again.topic, p.topic) || !bytes.Equal(again.props, p.props) || !bytes.Equal(again.payload, p.payload) || again.id != p.id {
			t.Errorf("got %+v, want %+v", again, p)
		}
	})
}

func FuzzStamp(f *testing.F) {
	f.Add(stamp{run: 1, topic: 2, seq: 3}.append(nil), uint64(1), 0)
	f.Add([]byte("tgl\x01"), uint64(9), 100)
	f.Fuzz(func(t *testing.T, in []byte, n uint64, size int) {
		parseStamp(in) // must not panic
		want := stamp{run: n, publisher: uint32(n), topic: uint32(n >> 7), seq: n, sent: time.Duration(n >> 1), size: uint32(size & 0xffff)}
		b := want.append(nil)
		want.size = max(want.size, StampSize)
		if got, ok := parseStamp(b); !ok || got != want {
			t.Errorf("got %+v %v, want %+v", got, ok, want)
		}
		b[n%StampSize] ^= 0x40
		if got, ok := parseStamp(b); ok {
			t.Errorf("a damaged payload was taken as %+v", got)
		}
	})
}

func TestUserProperty(t *testing.T) {
	props := []byte{0x01, 1, 0x02, 0, 0, 0, 9, 0x0b, 0x80, 1, 0x03, 0, 1, 'x'}
	pairs := []string{"a", "1", "tidegate-id", "house/7/4/18446744073709551615", "a", "2"}
	for i := 0; i < len(pairs); i += 2 {
		props = appendString(appendString(append(props, propUser), pairs[i]), pairs[i+1])
	}
	m := Message{props: props}
	if got, ok := m.UserProperty("a"); got != "1" || !ok {
		t.Errorf("a: got %q %v", got, ok)
	}
	if got, ok := m.UserProperty("b"); ok {
		t.Errorf("b: got %q", got)
	}
	want := GatewayID{"house/7", 4, 18446744073709551615}
	if got, ok := m.GatewayID(); got != want || !ok {
		t.Errorf("got %+v %v, want %+v", got, ok, want)
	}
	for _, bad := range []string{"", "x", "x/1", "x/y/1", "x/1/y"} {
		m := Message{props: appendString(appendString([]byte{propUser}, "tidegate-id"), bad)}
		if got, ok := m.GatewayID(); ok {
			t.Errorf("%q: got %+v", bad, got)
		}
	}
}
