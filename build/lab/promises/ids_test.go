package promises

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// ids checks what a consumer relies on that drops duplicates by the message's
// id: an id never names two messages, and the ids with which the messages of a
// topic arrive first only rise, by epoch and then by sequence. (What a device
// sends again after a kill has a second id; what the network still held of the
// killed gateway's can come after it.)
type ids struct {
	mu      sync.Mutex
	payload map[string]string // by id
	seen    map[string]bool   // by payload
	last    map[string]id     // by topic: the highest so far
	wrong   []string          // the first few
}

type id struct{ epoch, seq uint64 }

func (a id) above(b id) bool { return a.epoch > b.epoch || a.epoch == b.epoch && a.seq > b.seq }

func newIDs() *ids {
	return &ids{payload: map[string]string{}, seen: map[string]bool{}, last: map[string]id{}}
}

// arrival enters a message with its properties as on the wire.
func (s *ids) arrival(topic string, payload, properties []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, ok := property(properties, "tidegate-id")
	if !ok {
		s.complain("%s: a message without an id", topic)
		return
	}
	if known, ok := s.payload[text]; ok {
		if known != string(payload) {
			s.complain("%s: the id %s names two messages", topic, text)
		}
		return
	}
	s.payload[text] = string(payload)
	if s.seen[string(payload)] {
		return
	}
	s.seen[string(payload)] = true
	n, err := parseID(text)
	if err != nil {
		s.complain("%s: %v", topic, err)
		return
	}
	if !n.above(s.last[topic]) {
		s.complain("%s: the new id %s does not rise above %v", topic, text, s.last[topic])
		return
	}
	s.last[topic] = n
}

func (s *ids) complain(format string, args ...any) {
	if len(s.wrong) < 10 {
		s.wrong = append(s.wrong, fmt.Sprintf(format, args...))
	}
}

// state returns how many ids arrived, and what was wrong with them.
func (s *ids) state() (int, []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.payload), s.wrong
}

// property returns the value of a user property [MQTT 5, 2.2.2.2].
func property(properties []byte, key string) (string, bool) {
	head := append([]byte{0x26, 0, byte(len(key))}, key...)
	i := bytes.Index(properties, head)
	if i < 0 || len(properties) < i+len(head)+2 {
		return "", false
	}
	rest := properties[i+len(head):]
	n := int(binary.BigEndian.Uint16(rest))
	if len(rest) < 2+n {
		return "", false
	}
	return string(rest[2 : 2+n]), true
}

// parseID reads "<gateway>/<epoch>/<seq>".
func parseID(text string) (id, error) {
	fields := strings.Split(text, "/")
	if len(fields) != 3 || fields[0] != "lab" {
		return id{}, fmt.Errorf("%q is not an id", text)
	}
	epoch, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil {
		return id{}, fmt.Errorf("%q is not an id: %w", text, err)
	}
	seq, err := strconv.ParseUint(fields[2], 10, 64)
	if err != nil {
		return id{}, fmt.Errorf("%q is not an id: %w", text, err)
	}
	return id{epoch, seq}, nil
}
