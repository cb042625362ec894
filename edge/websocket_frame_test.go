package edge

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// frameOf is a frame as a client sends it.
func frameOf(first byte, payload []byte) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	mask := [4]byte{1, 0xff, 3, 0x80}
	b = append(b, mask[:]...)
	for i, c := range payload {
		b = append(b, c^mask[i%4])
	}
	return b
}

// TestUnframe sends messages of all sizes, in fragments, with control frames
// between them, in reads of all sizes.
func TestUnframe(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		var sent, want []byte
		var pings, pongs [][]byte
		for range 20 {
			payload := bytes.Repeat([]byte{byte(r.Uint32()), byte(r.Uint32()), 3}, []int{0, 1, 40, 42, 43, 22000}[r.IntN(6)])
			want = append(want, payload...)
			for op := byte(opBinary); ; op = opContinue {
				n := r.IntN(len(payload) + 1)
				if n == len(payload) {
					sent = append(sent, frameOf(0x80|op, payload)...)
					break
				}
				sent, payload = append(sent, frameOf(op, payload[:n])...), payload[n:]
				if r.IntN(3) == 0 {
					ping := bytes.Repeat([]byte{'p'}, r.IntN(126))
					pings = append(pings, ping)
					sent = append(append(sent, frameOf(0x80|opPing, ping)...), frameOf(0x80|opPong, []byte("unasked"))...)
				}
			}
		}
		var w webSocket
		var got []byte
		for len(sent) > 0 {
			n := min(len(sent), 1+r.IntN(1<<r.IntN(16)))
			part := bytes.Clone(sent[:n])
			got = append(got, part[:w.unframe(part, func(p []byte) { pongs = append(pongs, bytes.Clone(p)) })]...)
			sent = sent[n:]
		}
		if w.err != nil || !bytes.Equal(got, want) || !slices.EqualFunc(pings, pongs, bytes.Equal) {
			t.Fatalf("seed %d: got %d bytes, %d pings, %v, want %d bytes, %d pings", seed, len(got), len(pongs), w.err, len(want), len(pings))
		}
	}
}

// TestBadFrames breaks RFC 6455 in every way that a client can.
func TestBadFrames(t *testing.T) {
	whole := func(op byte, payload string) string { return string(frameOf(0x80|op, []byte(payload))) }
	part := func(op byte, payload string) string { return string(frameOf(op, []byte(payload))) }
	for name, c := range map[string]struct {
		sent string
		want error
	}{
		"not masked":               {"\x82\x01x", statusProtocol},
		"empty, not masked":        {"\x82\x00", statusProtocol},
		"text":                     {whole(opText, "hello"), statusUnsupported},
		"a fragment of text":       {part(opText, "hello"), statusUnsupported},
		"reserved bit 1":           {"\xc2\x81\x00\x00\x00\x00x", statusProtocol},
		"reserved bit 3":           {"\x92\x81\x00\x00\x00\x00x", statusProtocol},
		"reserved opcode":          {whole(3, ""), statusProtocol},
		"reserved control opcode":  {whole(0xb, ""), statusProtocol},
		"continuation of nothing":  {whole(opContinue, "x"), statusProtocol},
		"continuation of a whole":  {whole(opBinary, "x") + whole(opContinue, "x"), statusProtocol},
		"message within another":   {part(opBinary, "x") + whole(opBinary, "x"), statusProtocol},
		"text within another":      {part(opBinary, "x") + whole(opText, "x"), statusProtocol},
		"fragment of a ping":       {part(opPing, "x"), statusProtocol},
		"long ping":                {whole(opPing, strings.Repeat("x", 126)), statusProtocol},
		"length with the top bit":  {"\x82\xff\x80\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00", statusProtocol},
		"close":                    {whole(opClose, ""), errClosed},
		"close with a reason":      {whole(opClose, "\x03\xe8bye"), errClosed},
		"close of half a status":   {whole(opClose, "\x03"), statusProtocol},
		"close by 1005":            {whole(opClose, "\x03\xed"), statusProtocol},
		"close by 999":             {whole(opClose, "\x03\xe7"), statusProtocol},
		"close by 5000":            {whole(opClose, "\x13\x88"), statusProtocol},
		"close by 4000":            {whole(opClose, "\x0f\xa0"), errClosed},
		"close for a wrong reason": {whole(opClose, "\x03\xe8\xff"), statusInvalid},
	} {
		for size := range 3 {
			var w webSocket
			for left := []byte(c.sent); len(left) > 0; {
				n := len(left)
				if size > 0 {
					n = min(size, n)
				}
				w.unframe(left[:n], func([]byte) {})
				left = left[n:]
			}
			if w.err != c.want {
				t.Errorf("%s: got %v, want %v", name, w.err, c.want)
			}
		}
	}
	var w webSocket
	huge := []byte("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00x")
	if n := w.unframe(huge, nil); n != 1 || w.err != nil || huge[0] != 'x' {
		t.Errorf("a huge frame: got %d bytes, %v", n, w.err)
	}
}

// readFrames undoes seal.
func readFrames(t testing.TB, b []byte) (data []byte, ops []byte) {
	for len(b) > 0 {
		n, head := int(b[1]), 2
		if n == 126 {
			n, head = int(binary.BigEndian.Uint16(b[2:])), 4
		}
		if b[0]&0xf0 != 0x80 || n > mostMessage || head+n > len(b) {
			t.Fatalf("frame % x of %d bytes", b[:head], n)
		}
		if ops = append(ops, b[0]&15); b[0]&15 == opBinary {
			data = append(data, b[head:head+n]...)
		}
		b = b[head+n:]
	}
	return data, ops
}

func TestSeal(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 127, mostMessage - 1, mostMessage, mostMessage + 1, mostMessage + 126, 3 * mostMessage, 3*mostMessage + 5} {
		w := webSocket{open: true}
		var want, b []byte
		for i := range n {
			want = append(want, byte(i), byte(i>>8))
		}
		b = append(b, want[:n]...)
		b = w.put(b, opPong, []byte("pong"))
		b = append(b, want[n:]...)
		b = w.put(b, opClose, []byte{3, 232})
		w.open = false
		b = w.take(append(b, "too late"...))
		got, ops := readFrames(t, b)
		if !bytes.Equal(got, want) || ops[len(ops)-1] != opClose || !slices.Contains(ops, opPong) || w.sealed != 0 {
			t.Errorf("%d bytes twice: got %d bytes in frames %d", n, len(got), ops)
		}
	}
}

// TestSealCutsAtPackets: one message for each packet, several for a long one.
func TestSealCutsAtPackets(t *testing.T) {
	w := webSocket{open: true}
	var b []byte
	var want []int
	for _, n := range []int{0, 10, 124, 200, 3 * mostMessage, 1} {
		packet := encode(t, publishPacket("t", strings.Repeat("x", n), 0, 0))
		b = append(b, packet...)
		for part := range slices.Chunk(packet, mostMessage) {
			want = append(want, len(part))
		}
	}
	var got []int
	for b = w.take(b); len(b) > 0; {
		n, head := int(b[1]), 2
		if n == 126 {
			n, head = int(binary.BigEndian.Uint16(b[2:])), 4
		}
		got, b = append(got, n), b[head+n:]
	}
	if !slices.Equal(got, want) {
		t.Errorf("got messages of %d bytes, want %d", got, want)
	}
}

// FuzzUnframe holds the reader of frames against itself: however the bytes are
// cut into reads, the result is the same.
func FuzzUnframe(f *testing.F) {
	f.Add(slices.Concat(frameOf(opBinary, []byte("hello")), frameOf(0x80|opPing, []byte("x")), frameOf(0x80|opContinue, make([]byte, 300))), byte(3))
	f.Add(frameOf(0x80|opClose, []byte("\x03\xe8bye")), byte(1))
	f.Add(frameOf(0x80|opBinary, make([]byte, 70_000)), byte(200))
	f.Fuzz(func(t *testing.T, sent []byte, size byte) {
		read := func(size int) (got, pings []byte, w webSocket) {
			for part := range slices.Chunk(bytes.Clone(sent), size) {
				before := len(part)
				n := w.unframe(part, func(p []byte) {
					if len(p) > 125 {
						t.Fatal("a long ping")
					}
					pings = append(append(pings, '|'), p...)
				})
				if n < 0 || n > before {
					t.Fatalf("%d bytes of %d", n, before)
				}
				got = append(got, part[:n]...)
			}
			return got, pings, w
		}
		all, pings, w := read(max(len(sent), 1))
		some, alike, v := read(int(size) + 1)
		if w.err != v.err || w.reply != v.reply || !bytes.Equal(pings, alike) || !bytes.Equal(all, some) {
			t.Fatalf("got %q %q %v, in pieces %q %q %v", all, pings, w.err, some, alike, v.err)
		}
	})
}

// FuzzSeal appends, seals and takes in any order.
func FuzzSeal(f *testing.F) {
	f.Add([]byte{10, 0xf0, 200, 0xf1, 3, 0xf2, 0xe0, 0xe0})
	f.Fuzz(func(t *testing.T, steps []byte) {
		w := webSocket{open: true}
		var buf, sent, want []byte
		for i, step := range steps[:min(len(steps), 200)] {
			switch {
			case step == 0xf0:
				buf = w.put(buf, opPong, []byte{byte(i)})
			case step == 0xf1:
				buf = w.seal(buf)
			case step == 0xf2:
				sent, buf = append(sent, w.take(buf)...), nil
			default:
				n := int(step)
				if step >= 0xe0 {
					n = mostMessage - 0xe0 + int(step)
				}
				data := bytes.Repeat([]byte{byte(i)}, n)
				buf, want = append(buf, data...), append(want, data...)
			}
		}
		sent = append(sent, w.take(buf)...)
		if got, _ := readFrames(t, sent); !bytes.Equal(got, want) {
			t.Fatalf("got %d bytes, want %d", len(got), len(want))
		}
	})
}
