package spool

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
)

const (
	deadWaiting = 4096    // refusals that may wait for a disk that does not write
	deadHeld    = 4 << 20 // bytes of their messages
)

// refusals are messages the cloud refused for good, on their way to the dead
// letters.
type refusals struct {
	mu      sync.Mutex // guards waiting and held
	waiting []refusal
	held    int // bytes
	lost    atomic.Int64
}

type refusal struct {
	e      *Entry
	reason byte
}

func (r *refusals) any() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waiting) > 0
}

// Refuse says that the cloud will never take e, with its MQTT 5 reason code.
// The message goes to the dead letters and its ticket is settled as kept; the
// stream goes on. The entry is the spool's from now on.
func (s *Spool) Refuse(e *Entry, reason byte) {
	st := e.stream
	st.mu.Lock()
	st.drops.Refused++
	st.mu.Unlock()
	s.drop(victim{cause: ForRefusal, class: e.Class, topic: e.Msg.Topic, id: ID{e.Epoch, e.Seq}})
	s.links[st.link].flight.Add(-1) // others go on, also while the disk does not
	s.refused.mu.Lock()
	room := len(s.refused.waiting) < deadWaiting && s.refused.held+e.size <= deadHeld
	if room {
		s.refused.held += e.size
		s.refused.waiting = append(s.refused.waiting, refusal{e, reason})
	}
	s.refused.mu.Unlock()
	if !room {
		s.refused.lost.Add(1)
		s.drop(victim{cause: ForNoLetter, class: e.Class, topic: e.Msg.Topic, id: ID{e.Epoch, e.Seq}})
		s.done(e)
	}
	s.work.Wake()
}

// writeRefused adds what was refused to the dead letters, synced, and settles
// it. After an error the refusals wait for the next try.
func (s *Spool) writeRefused() (int64, error) {
	s.refused.mu.Lock()
	todo := s.refused.waiting
	s.refused.waiting = nil
	s.refused.mu.Unlock()
	if len(todo) == 0 {
		return 0, nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	wall := s.clock.wall()
	for _, r := range todo {
		_ = enc.Encode(newLetter(r.e, r.reason, wall)) // a Buffer takes all
	}
	n := int64(b.Len())
	gone, err := appendDead(s.opt.Dir, b.Bytes())
	for _, l := range gone {
		s.refused.lost.Add(1)
		s.drop(victim{cause: ForNoLetter, class: l.Class, topic: l.Topic, id: l.ID()})
	}
	if err != nil {
		s.refused.mu.Lock()
		s.refused.waiting = append(todo, s.refused.waiting...)
		s.refused.mu.Unlock()
		return 0, fmt.Errorf("write dead letters: %w", err)
	}
	held := 0
	for _, r := range todo {
		held += r.e.size
		s.done(r.e)
	}
	s.refused.mu.Lock()
	s.refused.held -= held
	s.refused.mu.Unlock()
	s.opt.Settled()
	return n + pageSize, nil
}
