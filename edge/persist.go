package edge

import (
	"cmp"
	"encoding/binary"
	"hash/maphash"
	"math/rand/v2"
	"time"

	"go.etcd.io/bbolt"

	"tidegate/internal/inorder"
)

// defaultYouth is how old a message to a connected client must be before it is
// written down: a client that acknowledges promptly costs the card nothing.
const defaultYouth = 2 * time.Second

// defaultSteady is how long a client is connected before its will is written down,
// for a power cut: one that comes and goes costs the card little.
const defaultSteady = 5 * time.Minute

// keeper writes sessions to edge.db: at each commit it looks at all of them and
// writes what differs from what is there. So a message costs nothing on its way,
// and one that came and was acknowledged between two commits is never written.
// It is used by one goroutine: load's, then run's.
type keeper struct {
	sessions func() []*session // those to be kept
	most     int64             // most bytes of rows of deliveries
	youth    time.Duration
	steady   time.Duration
	kept     map[*session]*keptSession
	next     uint64 // number of the next session
	bytes    int64  // of rows of deliveries on disk
	seed     maphash.Seed
	last     bool // this is the commit of a clean stop
}

// keptSession is what is on disk of a session.
type keptSession struct {
	number uint64
	sum    uint64          // of the row without its times
	lo, hi uint64          // positions of deliveries: those before lo are deleted, those from hi on not written
	holes  map[uint64]bool // positions between them that are not on disk; replaced, never changed
}

// sessionChange is what a commit has to do for one session.
type sessionChange struct {
	s     *session
	row   *savedSession   // nil: unchanged
	add   []savedDelivery // ascending
	gone  []uint64        // positions
	next  keptSession
	ended bool // all of it is to be deleted
}

// changes compares all sessions with the disk. unsaved is how many deliveries
// there was no room for.
func (k *keeper) changes(now time.Time) (list []sessionChange, unsaved int) {
	room := k.most - k.bytes
	alive := map[*session]bool{}
	for _, s := range k.sessions() {
		kept := k.kept[s]
		if kept == nil {
			k.next++
			kept = &keptSession{number: k.next}
		}
		c, left, ok := k.compare(s, *kept, now, &room)
		if !ok {
			continue // it has ended
		}
		alive[s], unsaved = true, unsaved+left
		if c.row != nil || len(c.add)+len(c.gone) > 0 {
			list = append(list, c)
		} else if k.kept[s] != nil {
			*k.kept[s] = c.next
		}
	}
	for s, kept := range k.kept {
		if !alive[s] {
			list = append(list, sessionChange{s: s, next: *kept, ended: true})
		}
	}
	return list, unsaved
}

// compare looks at one session under its lock; rows are encoded later.
func (k *keeper) compare(s *session, kept keptSession, now time.Time, room *int64) (c sessionChange, unsaved int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.expiry == 0 && kept.lo == kept.hi && k.will(s, now) != nil {
		return k.finish(s, sessionChange{s: s, next: kept}, &outbox{}, s.conn.Load() != nil, now), 0, true
	}
	if s.dead || s.expiry == 0 {
		return c, 0, false
	}
	if s.moved {
		s.moved, kept = false, k.renumber(s)
	}
	o := &s.out
	online := s.conn.Load() != nil
	c = sessionChange{s: s, next: kept}
	for at := kept.lo; at < min(o.base, kept.hi); at++ {
		c.gone = append(c.gone, at)
	}
	c.next.lo, c.next.hi = max(kept.lo, o.base), max(kept.hi, o.base)
	c.next.holes = nil
	stopped := false
	for i := range o.n {
		d, at := o.at(i), o.base+uint64(i)
		switch {
		case at < kept.hi:
			if d.m == nil {
				c.hole(at)
				if !kept.holes[at] {
					c.gone = append(c.gone, at)
				}
			}
		case stopped:
			unsaved += ifAny(d.m)
		case d.m == nil && online: // its client is about to end it; noted only when a later one is written
		case d.m == nil:
			c.reach(at + 1)
		case online && now.Sub(d.m.Accepted) < k.youth:
			return k.finish(s, c, o, online, now), unsaved, true
		case queuedSize(d.m) > *room:
			stopped, unsaved = true, 1
		default:
			*room -= queuedSize(d.m)
			c.reach(at)
			c.next.hi = at + 1
			c.add = append(c.add, d.saved(at))
		}
	}
	return k.finish(s, c, o, online, now), unsaved, true
}

// renumber has a session whose deliveries have other positions than on disk
// written under a new number, and what is there under the old one deleted, by
// the same commit.
func (k *keeper) renumber(s *session) keptSession {
	if old := k.kept[s]; old != nil {
		delete(k.kept, s)
		k.kept[&session{dead: true}] = old
	}
	k.next++
	return keptSession{number: k.next}
}

// reach takes what is over before a position for written.
func (c *sessionChange) reach(end uint64) {
	for ; c.next.hi < end; c.next.hi++ {
		c.hole(c.next.hi)
	}
}

// hole notes that a delivery among those written is over.
func (c *sessionChange) hole(at uint64) {
	if c.next.holes == nil {
		c.next.holes = map[uint64]bool{}
	}
	c.next.holes[at] = true
}

// finish adds the session's own row if it is not on disk as it is. s.mu is held.
func (k *keeper) finish(s *session, c sessionChange, o *outbox, online bool, now time.Time) sessionChange {
	v := &savedSession{number: c.next.number, id: s.id, user: s.user, expiry: s.expiry, left: s.expiry}
	left := min(s.until.Sub(now), s.expiry)
	if left > 0 {
		left = max(left, time.Second) // the row has whole seconds
	}
	// A client that is just coming back has no end of its session.
	if !online && !s.until.IsZero() && (k.last || s.expiry-left > s.expiry/10) {
		v.left = max(left, 0)
	} else {
		v.still = true
	}
	v.will = k.will(s, now)
	if s.expiry == 0 {
		return k.changed(s, c, v) // of it nothing else stays
	}
	for _, sub := range s.subs {
		v.subs = append(v.subs, savedSub{sub.filter, sub.options(), sub.ids})
	}
	inorder.Sort(v.subs, func(a, b savedSub) int { return cmp.Compare(a.filter, b.filter) })
	// Packet ids matter for what is in flight, and is on disk.
	if sent := min(o.gone, int(max(c.next.hi, o.base)-o.base)); sent > 0 {
		v.base, v.first = o.base, o.first
		for i := range sent {
			v.states = append(v.states, o.at(i).state)
		}
	}
	if k.last {
		// An id that is remembered from before a crash could be taken for a
		// duplicate of what the client sends with it after.
		v.base, v.first, v.serial = o.base, o.first, s.serial
		for id, e := range s.in2 {
			settled := uint64(0)
			if e.settled {
				settled = 1
			}
			v.received = append(v.received, savedExchange{uint64(id), settled})
		}
	}
	return k.changed(s, c, v)
}

// will is that of a session: one that waits, or of a client that is connected and
// has been for some time.
func (k *keeper) will(s *session, now time.Time) *savedWill {
	if w := s.will; w != nil {
		return &savedWill{max(w.due.Sub(now), 0), w.shut, w.msg}
	}
	if c := s.conn.Load(); c != nil && c.will != nil && now.Sub(c.came) >= k.steady {
		return &savedWill{min(c.will.delay, s.expiry), true, c.will.msg}
	}
	return nil
}

// changed adds the row to c unless it is on disk as it is.
func (k *keeper) changed(s *session, c sessionChange, v *savedSession) sessionChange {
	state := v.appendState(nil)
	if v.still {
		state = append(state, 1)
	}
	if sum := maphash.Bytes(k.seed, state); sum != c.next.sum || k.last || k.kept[s] == nil {
		c.row, c.next.sum = v, sum
	}
	return c
}

// options returns the byte of SUBSCRIBE [MQTT 5, 3.8.3.1].
func (sub *subscription) options() byte {
	b := sub.qos | sub.handle<<4
	if sub.noLocal {
		b |= 1 << 2
	}
	if sub.asSent {
		b |= 1 << 3
	}
	return b
}

// put writes the changes into a transaction. It returns by how much the rows of
// deliveries have grown.
func (k *keeper) put(tx *bbolt.Tx, list []sessionChange, now time.Time, synchronised bool) (grown int64, err error) {
	sessions, err := tx.CreateBucketIfNotExists(sessionBucket)
	if err != nil {
		return 0, err
	}
	queues, err := tx.CreateBucketIfNotExists(queueBucket)
	if err != nil {
		return 0, err
	}
	queues.FillPercent = 0.9
	drop := func(key []byte) error {
		grown -= int64(len(queues.Get(key)))
		return queues.Delete(key)
	}
	for i := range list {
		c := &list[i]
		if c.ended {
			if err := sessions.Delete(sessionKey(c.next.number)); err != nil {
				return grown, err
			}
			for at := c.next.lo; at < c.next.hi; at++ {
				c.gone = append(c.gone, at)
			}
		}
		for _, at := range c.gone {
			if err := drop(queueKey(c.next.number, at)); err != nil {
				return grown, err
			}
		}
		for j := range c.add {
			key := queueKey(c.next.number, c.add[j].at)
			row := encodeDelivery(key, &c.add[j], uint64(tx.ID()), now, synchronised)
			grown += int64(len(row)) - int64(len(queues.Get(key)))
			if err := queues.Put(key, row); err != nil {
				return grown, err
			}
		}
		if c.row != nil {
			key := sessionKey(c.next.number)
			if err := sessions.Put(key, encodeSession(key, c.row, now, synchronised)); err != nil {
				return grown, err
			}
		}
	}
	if !k.last {
		return grown, nil
	}
	return grown, sessions.Put(finalKey, binary.LittleEndian.AppendUint64(nil, uint64(tx.ID())))
}

// settled notes that the changes are on disk.
func (k *keeper) settled(list []sessionChange, grown int64) {
	k.bytes += grown
	for _, c := range list {
		if c.ended {
			delete(k.kept, c.s)
			continue
		}
		next := c.next
		k.kept[c.s] = &next
	}
}

// age makes the next commit write the deliveries that have an expiry again, so
// that the time they spent in this run is written down.
func (k *keeper) age(list []sessionChange) []sessionChange {
	for i := range list {
		c := &list[i]
		if c.ended {
			continue
		}
		c.s.mu.Lock()
		for j := range c.s.out.n {
			d, at := c.s.out.at(j), c.s.out.base+uint64(j)
			if kept := k.kept[c.s]; kept != nil && at < kept.hi && d.m != nil && d.m.Expiry > 0 {
				c.add = append(c.add, d.saved(at))
			}
		}
		c.s.mu.Unlock()
	}
	return list
}

// restore makes sessions of what was on disk; their clients are away. final
// says that a clean stop wrote it last, anew that it is not on disk any more.
func (b *Broker) restore(saved []*savedSession, final, anew bool) {
	k := &b.store.keeper
	now := time.Now()
	stay := 0
	for _, v := range saved {
		k.next = max(k.next, v.number)
		older := b.seats[v.id]
		if older == nil && v.expiry > 0 { // not one that is there for its will alone
			if stay++; stay > b.config().Session.Sessions {
				b.stats.droppedSessions.Add(1)
				v.left = 0
			}
		}
		s, whole := b.revived(v, final, now)
		if !anew {
			k.found(s, v, whole)
		}
		if v.id == "" {
			s.end() // and leaves the disk with the next commit
			continue
		}
		if older != nil {
			delete(b.absent, older.sess)
			older.sess.end()
		}
		if v.left > 0 {
			for _, sub := range s.subs {
				b.trie.subscribe(sub)
			}
		} else {
			s.dead = true // keepHouse ends it, with its will and what it leaves to others
			if v.expiry == 0 && s.will != nil {
				s.until = s.will.due
			}
		}
		b.seats[v.id] = &seat{sess: s}
		b.absent[s] = struct{}{}
	}
	for _, s := range b.absentees() {
		b.reviewAway(s) // the users file may be another than before
	}
}

// found notes what a session has on disk. If its deliveries have other
// positions now, that is to be deleted, and s is written under another number.
func (k *keeper) found(s *session, v *savedSession, whole bool) {
	kept := &keptSession{number: v.number}
	for i, d := range v.queue {
		k.bytes += d.size
		if i == 0 {
			kept.lo = d.at
		}
		kept.hi = d.at + 1
	}
	if !whole {
		s = &session{dead: true}
	}
	k.kept[s] = kept
}

// revived makes the session of a row. whole says that its deliveries have the
// positions that they have on disk.
func (b *Broker) revived(v *savedSession, final bool, now time.Time) (s *session, whole bool) {
	s = newSession(b, v.id)
	s.user, s.expiry, s.until = v.user, v.expiry, now.Add(v.left)
	s.leftAt.Store(b.departures.Add(1))
	s.subs = map[string]*subscription{}
	for _, one := range v.subs {
		sub := &subscription{s: s, filter: one.filter, noLocal: one.options&4 != 0, handle: one.options >> 4 & 3}
		sub.qos, sub.asSent, sub.ids = one.options&3, one.options&8 != 0, one.ids
		s.subs[sub.filter] = sub
		s.texts += len(sub.filter)
	}
	if w := v.will; w != nil {
		w.m.From = v.id
		grace := b.config().Session.WillGrace.Std()
		if w.shut {
			w.left = max(w.left, grace)
		}
		s.will = &will{msg: w.m, due: now.Add(w.left), shut: w.shut && grace > 0, grant: &grant{user: v.user}} // until it is judged
	}
	if final {
		s.serial = v.serial
		for _, e := range v.received {
			if s.in2 == nil {
				s.in2 = map[uint16]*exchange{}
			}
			// What was not settled went to nobody who would settle it now: the
			// client sends it again, and it is taken afresh.
			if e.settled == 1 {
				s.in2[uint16(e.id)] = &exchange{settled: true}
			}
		}
	}
	return s, s.requeue(v, final)
}

// requeue fills the outbox from the rows.
func (s *session) requeue(v *savedSession, final bool) (whole bool) {
	o := &s.out
	o.base, o.first, whole = v.base, v.first, true
	sent := len(v.states)
	if sent == 0 && !final {
		// The client may hold ids from after the last commit: new messages
		// with them would pass for duplicates.
		o.first = uint16(rand.IntN(packetIDs))
	}
	if sent == 0 && len(v.queue) > 0 {
		o.base = v.queue[0].at
	}
	next := 0
	for i := range sent {
		d := delivery{state: isOver}
		for next < len(v.queue) && v.queue[next].at < o.base+uint64(i) {
			next++
		}
		switch at := o.base + uint64(i); {
		case v.states[i] == isReleased:
			d = delivery{state: isReleased, qos: 2}
		case v.states[i] == isSent && next < len(v.queue) && v.queue[next].at == at:
			d = s.restored(&v.queue[next])
			d.state = isSent
			o.held += queuedSize(d.m)
		}
		o.add(d)
		o.gone++
	}
	for i := range v.queue {
		one := &v.queue[i]
		if one.at < o.base+uint64(sent) {
			continue
		}
		whole = whole && !one.over && o.base+uint64(o.n) == one.at
		if one.over { // [MQTT-3.3.2-5]; what was sent goes on [MQTT-4.3.3-7]
			continue
		}
		o.add(s.restored(one))
		s.grown(one.m, 1)
	}
	o.trim()
	return whole
}

// saved is the delivery as its row has it.
func (d *delivery) saved(at uint64) savedDelivery {
	v := savedDelivery{at: at, m: d.m, qos: d.qos, retain: d.retain, ids: d.f.ids}
	if d.f.member != nil {
		v.shared = d.f.member.filter
	}
	return v
}

// restored is the delivery of a row: of a shared subscription, as long as the
// session has that, so that other members can still take it over.
func (s *session) restored(d *savedDelivery) delivery {
	f := &form{ids: d.ids}
	if d.shared != "" {
		f.member = s.subs[d.shared]
	}
	return delivery{m: d.m, f: f, qos: d.qos, retain: d.retain}
}
