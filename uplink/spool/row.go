package spool

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// streamKey names a stream on disk. The layout is the boot epoch from which on
// the uplink had that many links: which link a topic belongs to depends on
// their number, so streams of another layout are other streams.
type streamKey struct {
	Layout uint64
	Links  uint16
	Link   uint16
	Class  Class
}

const bucketName = 13 // bytes

// name is the stream's bucket in a file.
func (k streamKey) name() []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, bucketName), k.Layout)
	b = binary.BigEndian.AppendUint16(b, k.Links)
	b = binary.BigEndian.AppendUint16(b, k.Link)
	return append(b, byte(k.Class))
}

func parseStreamName(b []byte) (streamKey, bool) {
	if len(b) != bucketName || b[12] >= classes {
		return streamKey{}, false
	}
	return streamKey{binary.BigEndian.Uint64(b), binary.BigEndian.Uint16(b[8:]), binary.BigEndian.Uint16(b[10:]), Class(b[12])}, true
}

// stamp is when a message was accepted, for a machine without a clock.
type stamp struct {
	Epoch uint64 // boot epoch
	Mono  int64  // milliseconds since that process started
	Wall  int64  // milliseconds since 1970, 0 if the clock was not synchronised
}

// row is a message as it is stored. All of it stands in the value, the stream
// and the sequence too, so that a page of a broken file speaks for itself.
type row struct {
	stream streamKey
	seq    uint64 // in the stream; the key of the row
	id     uint64 // of the message within its epoch
	at     stamp
	msg    Message // without Accepted
}

// A stored value begins with its version and a CRC-32C of that byte and all
// that follows. rowVersion: flags (QoS, 4 = retain), class, then as uvarints
// layout, links, link, seq, epoch, id, mono, wall, expiry, then topic, client
// id, properties with their lengths, then the payload. cursorVersion: class,
// layout, links, link, seq, runs of a mark.
const (
	rowVersion    = 1
	cursorVersion = 0x81
	valueHead     = 5 // version and CRC
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errRow = errors.New("not a stored row")

func sum(b []byte) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, b[:1]), castagnoli, b[valueHead:])
}

func seal(b []byte, start int) []byte {
	binary.LittleEndian.PutUint32(b[start+1:], sum(b[start:]))
	return b
}

// appendRow appends the stored form of r to b.
func appendRow(b []byte, r *row) []byte {
	start := len(b)
	flags := r.msg.QoS & 3
	if r.msg.Retain {
		flags |= 4
	}
	b = append(b, rowVersion, 0, 0, 0, 0, flags, byte(r.stream.Class))
	for _, v := range [...]uint64{r.stream.Layout, uint64(r.stream.Links), uint64(r.stream.Link), r.seq,
		r.at.Epoch, r.id, uint64(r.at.Mono), uint64(r.at.Wall), uint64(r.msg.Expiry)} {
		b = binary.AppendUvarint(b, v)
	}
	b = append(binary.AppendUvarint(b, uint64(len(r.msg.Topic))), r.msg.Topic...)
	b = append(binary.AppendUvarint(b, uint64(len(r.msg.From))), r.msg.From...)
	b = append(binary.AppendUvarint(b, uint64(len(r.msg.Properties))), r.msg.Properties...)
	return seal(append(b, r.msg.Payload...), start)
}

// parseRow reads a stored row. Payload and properties point into b.
func parseRow(b []byte, r *row) error {
	if len(b) < valueHead+2 || b[0] != rowVersion || binary.LittleEndian.Uint32(b[1:]) != sum(b) {
		return errRow
	}
	flags := b[5]
	c := cut{b: b[7:]}
	*r = row{stream: streamKey{Class: Class(b[6])}}
	r.stream.Layout, r.stream.Links, r.stream.Link = c.number(), uint16(c.number()), uint16(c.number())
	r.seq = c.number()
	r.at.Epoch, r.id = c.number(), c.number()
	r.at.Mono, r.at.Wall = int64(c.number()), int64(c.number())
	r.msg.Expiry = uint32(c.number())
	r.msg.Topic, r.msg.From = string(c.bytes()), string(c.bytes())
	r.msg.Properties = c.bytes()
	r.msg.Payload = c.b
	r.msg.QoS, r.msg.Retain = flags&3, flags&4 != 0
	if c.bad || r.stream.Class >= classes || flags > 7 || r.at.Mono < 0 || r.at.Wall < 0 {
		return errRow
	}
	return nil
}

// cut takes a stored value apart; bad is set once something does not fit.
type cut struct {
	b   []byte
	bad bool
}

func (c *cut) number() uint64 {
	v, n := binary.Uvarint(c.b)
	if n <= 0 {
		c.bad, c.b = true, nil
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cut) bytes() []byte {
	n := c.number()
	if n > uint64(len(c.b)) {
		c.bad, c.b = true, nil
		return nil
	}
	v := c.b[:n:n]
	c.b = c.b[n:]
	return v
}

// cursor is the mark of a stream.
type cursor struct {
	stream streamKey
	mark
}

func appendCursor(b []byte, c cursor) []byte {
	start := len(b)
	b = append(b, cursorVersion, 0, 0, 0, 0, byte(c.stream.Class))
	for _, v := range [...]uint64{c.stream.Layout, uint64(c.stream.Links), uint64(c.stream.Link), c.seq} {
		b = binary.AppendUvarint(b, v)
	}
	return seal(appendRuns(b, c.mark), start)
}

func parseCursor(b []byte) (cursor, error) {
	if len(b) < valueHead+1 || b[0] != cursorVersion || binary.LittleEndian.Uint32(b[1:]) != sum(b) {
		return cursor{}, errRow
	}
	c := cut{b: b[6:]}
	k := streamKey{Layout: c.number(), Links: uint16(c.number()), Link: uint16(c.number()), Class: Class(b[5])}
	m := mark{seq: c.number()}
	m.done = c.runs(m.seq)
	if c.bad || k.Class >= classes {
		return cursor{}, errRow
	}
	return cursor{k, m}, nil
}

// messageSize is what a message counts against limits: its text and payload.
func messageSize(m *Message) int {
	return len(m.Topic) + len(m.Payload) + len(m.Properties) + len(m.From)
}

const hashBuckets = 4096

// bucketOf is the hash bucket of a topic (FNV-1a, folded).
func bucketOf(topic string) uint16 {
	h := uint32(2166136261)
	for i := range len(topic) {
		h = (h ^ uint32(topic[i])) * 16777619
	}
	return uint16((h ^ h>>12 ^ h>>24) & (hashBuckets - 1))
}
