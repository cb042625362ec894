package load

import (
	"encoding/binary"
	"time"
)

// StampSize is the smallest payload in bytes: what the ledger needs to
// recognise a message. What is longer is filled up.
const StampSize = 44

// stampMark begins every payload; its last byte is the version of the layout.
const stampMark = "tgl\x01"

// stamp is what a payload says about itself, big endian on the wire: mark (4),
// run (8), publisher (4), topic (4), seq (8), sent (8), payload length (4), and
// in the last 4 a checksum of the rest of the stamp.
type stamp struct {
	run       uint64
	publisher uint32
	topic     uint32
	seq       uint64        // within the topic, from 0
	sent      time.Duration // since the ledger was made
	size      uint32        // of the whole payload in bytes
}

// append appends the payload, s.size bytes but at least StampSize.
func (s stamp) append(b []byte) []byte {
	start := len(b)
	s.size = max(s.size, StampSize)
	b = append(b, stampMark...)
	b = binary.BigEndian.AppendUint64(b, s.run)
	b = binary.BigEndian.AppendUint32(b, s.publisher)
	b = binary.BigEndian.AppendUint32(b, s.topic)
	b = binary.BigEndian.AppendUint64(b, s.seq)
	b = binary.BigEndian.AppendUint64(b, uint64(s.sent))
	b = binary.BigEndian.AppendUint32(b, s.size)
	b = binary.BigEndian.AppendUint32(b, checksum(b[start:]))
	for rest := int(s.size) - StampSize; rest > 0; {
		n := min(rest, len(filling))
		b = append(b, filling[:n]...)
		rest -= n
	}
	return b
}

// parseStamp reads a payload; false for one that is not ours, cut or damaged.
func parseStamp(b []byte) (s stamp, ok bool) {
	if len(b) < StampSize || string(b[:4]) != stampMark {
		return s, false
	}
	s = stamp{
		run:       binary.BigEndian.Uint64(b[4:]),
		publisher: binary.BigEndian.Uint32(b[12:]),
		topic:     binary.BigEndian.Uint32(b[16:]),
		seq:       binary.BigEndian.Uint64(b[20:]),
		sent:      time.Duration(binary.BigEndian.Uint64(b[28:])),
		size:      binary.BigEndian.Uint32(b[36:]),
	}
	return s, int(s.size) == len(b) && checksum(b[:40]) == binary.BigEndian.Uint32(b[40:])
}

// Sent returns when a payload of this package was published, by its ledger's
// clock; false for any other payload.
func Sent(payload []byte) (at time.Duration, ok bool) {
	s, ok := parseStamp(payload)
	return s.sent, ok
}

// checksum mixes the 40 bytes before it, word by word as FNV-1a does.
func checksum(b []byte) uint32 {
	h := uint64(14695981039346656037)
	for ; len(b) >= 8; b = b[8:] {
		h = (h ^ binary.LittleEndian.Uint64(b)) * 1099511628211
	}
	return uint32(h ^ h>>32)
}

const filling = "................................................................"
