package edge

// What waits in a session for a shared subscription, and was not sent yet, goes
// to another connected member when the client leaves [MQTT 5, 4.8.2]. What was
// sent stays until the session ends; then QoS 1 messages go to another member,
// and QoS 2 messages to nobody [MQTT-4.8.2-5].

// pick chooses the member whose turn it is among those that are connected,
// rather not one whose queue is long; when none is, one whose session waits for
// it, if the message is worth waiting for.
func (g *sharers) pick(qos byte) *subscription {
	turn := g.turn.Add(1) - 1
	var busy, away *subscription
	for i := range uint32(len(g.members)) {
		sub := g.members[(turn+i)%uint32(len(g.members))]
		switch {
		case sub.s.conn.Load() == nil:
			if away == nil && min(qos, sub.qos) > 0 {
				away = sub
			}
		case sub.s.crowded():
			if busy == nil {
				busy = sub
			}
		default:
			if i > 0 {
				g.turn.Add(i) // else whoever comes after those passed over would have their turns, too
			}
			return sub
		}
	}
	if busy != nil {
		return busy
	}
	return away
}

// sharersOf returns the members of the shared subscription that a filter names,
// "$share/group/" included.
func (t *trie) sharersOf(whole string) (g sharers, ok bool) {
	name, filter, _ := cutShare(whole)
	t.mu.RLock()
	defer t.mu.RUnlock()
	n := t.root.find(filter)
	if n == nil || n.groups[name] == nil {
		return g, false
	}
	return sharers{n.groups[name].members, n.groups[name].turn}, true
}

// heir returns the member that takes a delivery over; nil: none.
func (b *Broker) heir(d *delivery) *subscription {
	g, ok := b.trie.sharersOf(d.f.member.filter)
	if !ok {
		return nil
	}
	return g.pick(d.m.QoS)
}

// inheritance is a message and the member that gets it.
type inheritance struct {
	m  *Message
	to *subscription
}

// handOver takes out of the queue what other members, who are connected, can
// have. The client has left; mu is held.
func (s *session) handOver() (list []inheritance) {
	kept := s.out.gone
	for i := s.out.gone; i < s.out.n; i++ {
		d := *s.out.at(i)
		if d.f.member != nil {
			if to := s.b.heir(&d); to != nil && to.s != s && to.s.conn.Load() != nil {
				list = append(list, inheritance{d.m, to})
				s.grown(d.m, -1)
				continue
			}
		}
		*s.out.at(kept) = d
		kept++
	}
	for i := kept; i < s.out.n; i++ {
		*s.out.at(i) = delivery{}
	}
	s.out.n = kept
	s.moved = s.moved || len(list) > 0
	return list
}

// orphans returns what a session leaves to the other members as it ends. mu is
// held.
func (o *outbox) orphans() (list []delivery) {
	for i := range o.n {
		d := *o.at(i)
		if d.m != nil && d.f.member != nil && (i >= o.gone || d.state == isSent && d.qos == 1) {
			list = append(list, d)
		}
	}
	return list
}

// bequeath gives what a session that ended left to the other members.
func (b *Broker) bequeath(left []delivery) {
	var list []inheritance
	for i := range left {
		if to := b.heir(&left[i]); to != nil {
			list = append(list, inheritance{left[i].m, to})
		}
	}
	b.passOn(list)
}

// passOn delivers what another member had. Nobody waits for those who take it.
func (b *Broker) passOn(list []inheritance) {
	if len(list) == 0 {
		return
	}
	bt := newBatch(b)
	for _, one := range list {
		if b.deliverTo(bt, one.to.s, one.m, &one.to.form, nil) {
			continue
		}
		g, _ := b.trie.sharersOf(one.to.filter) // its session is ending, too
		for range g.members {
			if to := g.pick(one.m.QoS); to == nil || b.deliverTo(bt, to.s, one.m, &to.form, nil) {
				break
			}
		}
	}
	bt.full = bt.full[:0]
	bt.settle(nil)
}
