package edge

import (
	"context"
	"sync"
	"time"
)

// seat is the place of a client id: it makes those who come with the same id
// wait for each other.
type seat struct {
	attach sync.Mutex // held while a connection joins the session
	sess   *session   // guarded by Broker.mu; nil: none
	users  int        // guarded by Broker.mu; connections that are joining
}

func newSession(b *Broker, id string) *session {
	s := &session{b: b, id: id}
	s.owe(sessionCost + 2*int64(len(id)))
	return s
}

// sit returns the seat of a client id; stand lets go of it.
func (b *Broker) sit(id string) *seat {
	b.mu.Lock()
	defer b.mu.Unlock()
	st := b.seats[id]
	if st == nil {
		st = &seat{}
		b.seats[id] = st
	}
	st.users++
	return st
}

func (b *Broker) stand(id string, st *seat) {
	b.mu.Lock()
	defer b.mu.Unlock()
	st.users--
	if st.users == 0 && st.sess == nil {
		delete(b.seats, id)
	}
}

func (b *Broker) sessionOf(st *seat) *session {
	b.mu.Lock()
	defer b.mu.Unlock()
	return st.sess
}

func (b *Broker) seatSession(st *seat, s *session) {
	b.mu.Lock()
	defer b.mu.Unlock()
	st.sess = s
}

// endSession ends a session for good. A will that still waited is due then
// [MQTT 5, 3.1.3.2.2].
func (b *Broker) endSession(s *session) {
	b.mu.Lock()
	delete(b.absent, s)
	if st := b.seats[s.id]; st != nil && st.sess == s {
		st.sess = nil
		if st.users == 0 {
			delete(b.seats, s.id)
		}
	}
	b.mu.Unlock()
	w, left := s.end()
	if b.isStopping() {
		return
	}
	b.bequeath(left)
	if w != nil {
		b.publishDue(w, s)
	}
}

// away notes that the client of s has gone, and ends the session that has been
// alone for longest when they are too many.
func (b *Broker) away(s *session) {
	most := b.config().Session.Sessions
	var oldest *session
	b.mu.Lock()
	b.absent[s] = struct{}{}
	if len(b.absent) > most {
		for other := range b.absent {
			if oldest == nil || other.leftAt.Load() < oldest.leftAt.Load() {
				oldest = other
			}
		}
	}
	b.mu.Unlock()
	if oldest != nil && oldest.expired(time.Time{}) {
		b.stats.droppedSessions.Add(1)
		b.endSession(oldest)
	}
}

// back notes that the client of s is here again.
func (b *Broker) back(s *session) {
	b.mu.Lock()
	delete(b.absent, s)
	b.mu.Unlock()
}

// fullQueue is what is told of a queue that was full, by policy.
var fullQueue = map[string]string{
	dropNewest: "queue full, the newest messages are dropped",
	dropOldest: "queue full, the oldest messages are dropped",
}

// houseEvery is how often what waits for its time is looked at.
const houseEvery = 500 * time.Millisecond

// keepHouse ends sessions, publishes delayed wills and drops retained messages
// when their time has come, and tells of queues that were full. All times are
// monotonic.
func (b *Broker) keepHouse(ctx context.Context) {
	var sys sysTree
	b.tellSys(&sys, time.Now(), b.config().SysInterval.Std())
	tick := time.NewTicker(houseEvery)
	defer tick.Stop()
	for turn := 1; ; turn++ {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			b.visitAbsent(now)
			b.releaseOverdue(now)
			b.feed()
			b.tellSys(&sys, now, b.config().SysInterval.Std())
			if s := b.flooded.Swap(nil); s != nil {
				b.notice(fullQueue[b.config().Session.QueuePolicy], s.id)
			}
			if turn%60 == 0 {
				b.dropExpired()
			}
			b.Flush()
		}
	}
}

// absentees are the sessions whose client is away.
func (b *Broker) absentees() []*session {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]*session, 0, len(b.absent))
	for s := range b.absent {
		list = append(list, s)
	}
	return list
}

func (b *Broker) visitAbsent(now time.Time) {
	for _, s := range b.absentees() {
		if s.expired(now) {
			b.stats.expiredSessions.Add(1)
			b.endSession(s)
		} else if w := s.dueWill(now); w != nil {
			b.publishDue(w, s)
		}
	}
}

// publishDue publishes a will from a goroutine that does not read, and has others
// to see to.
func (b *Broker) publishDue(w *will, s *session) {
	bt := newBatch(b)
	b.publishWill(bt, w, s)
	bt.full = bt.full[:0] // nobody waits for them
	bt.settle(nil)
}

// dropExpired drops retained messages past their expiry.
func (b *Broker) dropExpired() {
	for _, m := range b.trie.expired() {
		b.dropRetained(m)
	}
}

// dropRetained drops m, unless another message has taken its place.
func (b *Broker) dropRetained(m *Message) {
	one := b.retention(m.Topic)
	one.Lock()
	defer one.Unlock()
	gone := *m
	gone.Payload = nil
	if b.trie.replace(m, &gone) && b.store != nil {
		b.store.retain(&gone)
	}
}

// expired says whether the session's time is over, and then marks it so that
// its client cannot come back to it. Zero now means that it is over anyhow.
func (s *session) expired(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn.Load() != nil || s.until.IsZero() || !now.IsZero() && now.Before(s.until) {
		return false
	}
	s.dead = true
	return true
}

// revive takes the session back into use, unless it has ended, or its time is
// over though keepHouse has not seen that yet.
func (s *session) revive(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dead = s.dead || !s.until.IsZero() && !now.Before(s.until)
	s.until = time.Time{}
	return !s.dead
}

// recall takes back a will that only the gateway's own end has caused.
func (s *session) recall() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.will != nil && s.will.shut {
		s.leaveWill(nil)
	}
}

// dueWill takes the will whose delay is over.
func (s *session) dueWill(now time.Time) *will {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.will == nil || s.conn.Load() != nil || now.Before(s.will.due) {
		return nil
	}
	w := s.will
	s.leaveWill(nil)
	return w
}
