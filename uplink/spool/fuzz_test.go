package spool

import (
	"bytes"
	"reflect"
	"testing"
)

func sampleRow() row {
	return row{stream: streamKey{7, 2, 1, Bulk}, seq: 99, id: 5, at: stamp{3, 1234, 1_700_000_000_000},
		msg: Message{Topic: "a/b", Payload: []byte("21.5"), Properties: []byte{1, 1}, From: "c1", Expiry: 60, QoS: 2, Retain: true}}
}

func TestRow(t *testing.T) {
	want := sampleRow()
	b := appendRow(nil, &want)
	var got row
	if err := parseRow(b, &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v %v, want %+v", got, err, want)
	}
	for i := range b {
		for bit := range 8 {
			b[i] ^= 1 << bit
			if parseRow(b, &got) == nil {
				t.Errorf("bit %d of byte %d may flip", bit, i)
			}
			b[i] ^= 1 << bit
		}
		if parseRow(b[:i], &got) == nil {
			t.Errorf("may be cut to %d bytes", i)
		}
	}
}

// FuzzRow repairs the checksum, so that all of the decoder is reached.
func FuzzRow(f *testing.F) {
	r := sampleRow()
	f.Add(appendRow(nil, &r))
	f.Add(appendRow(nil, &row{}))
	f.Add(appendCursor(nil, cursor{r.stream, mark{seq: 12, done: []stretch{{14, 3}, {20, 1}}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < valueHead {
			return
		}
		b = seal(bytes.Clone(b), 0)
		var r, again row
		if parseRow(b, &r) == nil {
			if err := parseRow(appendRow(nil, &r), &again); err != nil || !reflect.DeepEqual(r, again) {
				t.Errorf("%+v becomes %+v, %v", r, again, err)
			}
		}
		if c, err := parseCursor(b); err == nil {
			if again, err := parseCursor(appendCursor(nil, c)); err != nil || !reflect.DeepEqual(again, c) {
				t.Errorf("%+v becomes %+v, %v", c, again, err)
			}
		}
	})
}
