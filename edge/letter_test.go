package edge

import (
	"bytes"
	"testing"
)

// TestLetter makes a letter of every length: the body is a copy of its own that
// cannot be appended to in place, and up to a kilobyte there is one allocation.
func TestLetter(t *testing.T) {
	packet := make([]byte, 1200)
	for i := range packet {
		packet[i] = byte(i*7 + 1)
	}
	var m *Message
	var body []byte
	for n := range len(packet) {
		m, body = letter(packet[:n])
		*m = Message{Topic: "t", Payload: body, From: "c", Retain: true}
		if !bytes.Equal(body, packet[:n]) {
			t.Fatalf("%d bytes: the body is not the packet's", n)
		}
		if n < 1 {
			continue
		}
		if n <= 1032 && cap(body) != n {
			t.Errorf("%d bytes: there is room for %d", n, cap(body))
		}
		if body[0]++; body[0] == packet[0] {
			t.Errorf("%d bytes: the body is the packet's memory", n)
		}
		clear(body)
		if m.Topic != "t" || m.From != "c" || !m.Retain || len(m.Payload) != n {
			t.Errorf("%d bytes: the body reaches into the message: %+v", n, m)
		}
		if n%8 > 1 {
			continue // each limit is a multiple of 8
		}
		want := 1.0
		if n > 1032 {
			want = 2
		}
		if got := testing.AllocsPerRun(100, func() { m, body = letter(packet[:n]) }); got != want {
			t.Errorf("%d bytes: %v allocations, want %v", n, got, want)
		}
	}
}
