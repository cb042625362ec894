package spool

import (
	"bytes"
	"os"
	"path/filepath"
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
	f.Add(appendCursor(nil, cursor{r.stream, mark{12, []stretch{{14, 3}, {20, 1}}}}))
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

// FuzzPages gives the page reader a file with one page of the fuzzer's.
func FuzzPages(f *testing.F) {
	s, err := New(smallConfig(), Options{Dir: f.TempDir(), Links: 2, Epoch: 1, Wall: noClock})
	if err != nil {
		f.Fatal(err)
	}
	s.admit(nil)
	s.Online(0, false)
	s.Online(1, false)
	for n := range 120 {
		s.Push(n%2, Class(n%3), numbered("t", n), Ticket{})
		if n%40 == 0 {
			if _, err := s.write(); err != nil {
				f.Fatal(err)
			}
		}
	}
	if err := s.shutdown(); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(filepath.Join(s.opt.Dir, "00000001.spool"))
	if err != nil {
		f.Fatal(err)
	}
	whole = whole[:32*pageSize]
	for id := range 32 {
		f.Add(uint8(id), whole[id*pageSize:(id+1)*pageSize])
	}
	f.Fuzz(func(t *testing.T, id uint8, b []byte) {
		file := bytes.Clone(whole)
		copy(file[int(id)%32*pageSize:], b)
		r, size := bytes.NewReader(file), int64(len(file))
		rows := 0
		scan(r, size, func(value []byte, offset int64) {
			if offset < 0 || offset+int64(len(value)) > size || !bytes.Equal(file[offset:offset+int64(len(value))], value) {
				t.Fatalf("value at %d is not there", offset)
			}
			rows++
		})
		var rep Report
		sum := newSummary(&rep)
		tree := tree{r: r, size: size, row: sum.row, bucket: sum.bucket}
		if tree.walk() == nil && int(rep.Rows) > rows {
			t.Errorf("the tree has %d rows, the scan finds %d", rep.Rows, rows)
		}
	})
}
