package edge

import (
	"reflect"
	"testing"
	"time"
)

// FuzzSessionRow reads rows with a right checksum and anything before it: what
// can be read comes back the same when it is written and read again.
func FuzzSessionRow(f *testing.F) {
	now, key := time.Unix(1_700_000_000, 0), sessionKey(5)
	for _, v := range []*savedSession{{id: "c", expiry: time.Hour, left: time.Minute}, {
		id: "c", user: "u", expiry: time.Hour, left: time.Hour, base: 1 << 40, first: 65534, serial: 9, states: []byte{isSent, isReleased},
		subs: []savedSub{{"a/#", 9, []uint32{3, 1 << 27}}, {"$share/g/t", 1, nil}}, received: []savedExchange{{7, 1}, {8, 0}},
		will: &savedWill{time.Minute, true, Message{Topic: "t", Payload: []byte("x"), Properties: []byte{1}, QoS: 1, Retain: true, Expiry: 5}}}} {
		row := encodeSession(key, v, now, true)
		f.Add(row[:len(row)-rowTail])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		v, err := decodeSession(key, seal(key, append([]byte(nil), body...)), now, false)
		if err != nil {
			return
		}
		again, err := decodeSession(key, encodeSession(key, v, now, true), now, true)
		if err != nil || !reflect.DeepEqual(again, v) {
			t.Errorf("got %+v, %v, want %+v", again, err, v)
		}
	})
}

// FuzzDeliveryRow does the same to rows of queues.
func FuzzDeliveryRow(f *testing.F) {
	now, key := time.Unix(1_700_000_000, 0), queueKey(5, 1<<33)
	for _, d := range []savedDelivery{{qos: 1}, {qos: 2, retain: true, ids: []uint32{1, 300}, shared: "$share/g/t"}} {
		d.m = &Message{Topic: "t", Payload: []byte("x"), QoS: 2, Accepted: time.Now()}
		row := encodeDelivery(key, &d, 3, now, true)
		f.Add(row[:len(row)-rowTail])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := decodeDelivery(key, seal(key, append([]byte(nil), body...)), now, false)
		if err != nil || d.m == nil {
			return
		}
		again, err := decodeDelivery(key, encodeDelivery(key, &d, 3, now, true), now, true)
		if err != nil || again.m == nil {
			t.Fatalf("got %+v, %v", again, err)
		}
		if again.m.Topic != d.m.Topic || string(again.m.Payload) != string(d.m.Payload) || again.m.QoS != d.m.QoS {
			t.Errorf("got message %+v, want %+v", again.m, d.m)
		}
		d.m, d.size, again.m, again.size = nil, 0, nil, 0
		if !reflect.DeepEqual(again, d) {
			t.Errorf("got %+v, want %+v", again, d)
		}
	})
}
