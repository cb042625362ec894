package edge

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"time"
)

// A row of edge.db, version 1. All numbers are little-endian.
//
//	0   version 1
//	1   QoS
//	2   commit, 8 bytes: the transaction that wrote the row; the newest copy wins when a damaged file is read
//	10  expiry left when written, 4 bytes, seconds; 0 for none, the largest number when it was over
//	14  wall clock when written, 8 bytes, Unix seconds; 0 when it was not synchronised
//	22  topic, publisher, properties: each a uvarint length and the bytes; no topic when the key is the topic
//	    payload
//	-4  CRC-32C of the key and all of the row before
const (
	rowVersion = 1
	rowHead    = 22 // bytes
	rowTail    = 4  // bytes
)

// expiredRow is the expiry of a message that was over when it was written.
const expiredRow = math.MaxUint32

// longTopic is where a key becomes a hash of the topic: bbolt takes keys of
// 32 KiB at most, and long keys make deep trees.
const longTopic = 512 // bytes

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	errRow     = errors.New("damaged row")
)

// wallClock returns the time of day and whether it is synchronised; a Pi has
// no clock that runs while it is off.
type wallClock func() (now time.Time, synchronised bool)

func rowKey(topic string) []byte {
	if len(topic) <= longTopic {
		return []byte(topic)
	}
	sum := sha256.Sum256([]byte(topic))
	return append([]byte{0}, sum[:]...) // no topic begins with U+0000
}

// expiryLeft returns the seconds m may still live, rounded up; 0 when it is over.
// Only for a message with an expiry.
func expiryLeft(m *Message, now time.Time) uint32 {
	rest := time.Duration(m.Expiry)*time.Second - max(now.Sub(m.Accepted), 0)
	return uint32((max(rest, 0) + time.Second - 1) / time.Second)
}

func encodeRow(key []byte, m *Message, commit uint64, now time.Time, synchronised bool) []byte {
	b := make([]byte, rowHead, rowHead+len(m.Payload)+len(m.Properties)+len(m.From)+rowTail+12)
	b[0], b[1] = rowVersion, m.QoS
	binary.LittleEndian.PutUint64(b[2:], commit)
	if m.Expiry > 0 {
		left := min(expiryLeft(m, now), expiredRow-1)
		if left == 0 {
			left = expiredRow // 0 would be for ever
		}
		binary.LittleEndian.PutUint32(b[10:], left)
	}
	if synchronised {
		binary.LittleEndian.PutUint64(b[14:], uint64(now.Unix()))
	}
	topic := m.Topic
	if len(topic) <= longTopic {
		topic = ""
	}
	b = appendField(b, topic)
	b = appendField(b, m.From)
	b = appendField(b, string(m.Properties))
	b = append(b, m.Payload...)
	return binary.LittleEndian.AppendUint32(b, rowSum(key, b))
}

func appendField(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func rowSum(key, row []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, row)
}

// decodeRow reads a row back; a message that is over comes back as nil.
func decodeRow(key, row []byte, now time.Time, synchronised bool) (m *Message, commit uint64, err error) {
	m, over, commit, err := decodeAnyRow(key, row, now, synchronised)
	if over {
		m = nil
	}
	return m, commit, err
}

// decodeAnyRow reads a row back, and says whether its message is over. The message
// is accepted now and lives for what was left of it. Time between the two runs
// counts only when the clock was synchronised at both ends.
func decodeAnyRow(key, row []byte, now time.Time, synchronised bool) (m *Message, over bool, commit uint64, err error) {
	if len(row) < rowHead+rowTail || row[0] != rowVersion || row[1] > 2 {
		return nil, false, 0, errRow
	}
	body := row[:len(row)-rowTail]
	if binary.LittleEndian.Uint32(row[len(body):]) != rowSum(key, body) {
		return nil, false, 0, errRow
	}
	var field [3]string
	rest := body[rowHead:]
	for i := range field {
		n, used := binary.Uvarint(rest)
		if used <= 0 || n > uint64(len(rest)-used) {
			return nil, false, 0, errRow
		}
		field[i], rest = string(rest[used:used+int(n)]), rest[used+int(n):]
	}
	if field[0] == "" {
		field[0] = string(key)
	}
	commit = binary.LittleEndian.Uint64(body[2:])
	m = &Message{Topic: field[0], From: field[1], QoS: row[1], Retain: true, Accepted: now, Payload: append([]byte(nil), rest...)}
	if field[2] != "" {
		m.Properties = []byte(field[2])
	}
	if string(rowKey(m.Topic)) != string(key) {
		return nil, false, 0, errRow
	}
	expiry, stored := binary.LittleEndian.Uint32(body[10:]), int64(binary.LittleEndian.Uint64(body[14:]))
	if expiry == 0 {
		return m, false, commit, nil
	}
	if away := now.Unix() - stored; expiry != expiredRow && synchronised && stored > 0 && away > 0 {
		expiry -= uint32(min(away, int64(expiry)))
	}
	if m.Expiry = expiry; expiry == 0 || expiry == expiredRow {
		m.Expiry, m.Accepted = 1, now.Add(-time.Second)
		return m, true, commit, nil
	}
	return m, false, commit, nil
}
