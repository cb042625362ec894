package mdns

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// answer waits to be multicast.
type answer struct {
	link int
	due  time.Time
	list []record
}

// maxWaiting bounds the answers that wait; so many questions at once nobody asks.
const maxWaiting = 64

// take handles a packet.
func (r *Responder) take(p packet) {
	l := r.links[p.link]
	if l == nil || r.isOwn(p.data) {
		return
	}
	m, ok := parse(p.data)
	if !ok {
		return
	}
	here := r.local[p.from.Addr().Unmap().WithZone("")]
	switch {
	case m.response && p.from.Port() == port:
		r.checkAnswers(m.answers, here)
		r.suppress(l, m.answers)
	case m.response:
	default:
		if len(m.proposed) > 0 {
			r.checkProposed(l, m.proposed, here)
		}
		if r.told {
			r.reply(l, &m, p.from)
		}
	}
}

// mine says whether a record is one of the unique names, and how it fits: other
// is one of the same name and kind that says something else.
func (r *Responder) mine(h *heard) (host, name, other bool) {
	known := false
	for _, l := range r.links {
		for _, one := range uniqueOf(r.records(l)) {
			if lower(one.name) != h.name {
				continue
			}
			host, name = host || one.addr, name || !one.addr
			known = known || one.same(h.kind, h.data)
		}
	}
	switch h.kind {
	case dnsmessage.TypeA, dnsmessage.TypeAAAA, dnsmessage.TypeSRV, dnsmessage.TypeTXT:
		return host, name, !known
	}
	return host, name, false
}

// checkAnswers looks for somebody else who has one of the names; here says that
// it is a program of this machine.
func (r *Responder) checkAnswers(list []heard, here bool) {
	for i := range list {
		if r.borrowed && list[i].name == lower(r.hostName()) {
			r.giveBack(&list[i], here)
			continue
		}
		host, name, other := r.mine(&list[i])
		switch {
		case list[i].ttl == 0:
		case host && here:
			r.borrow()
			return
		case other && (host || name):
			r.clash(host)
			return
		}
	}
}

// borrow leaves the host name to another program of this machine, which tells it
// already: two would each find the other's addresses wrong.
func (r *Responder) borrow() {
	if !r.borrowed {
		r.log.Info("another program of this machine tells the host name; services point at it", "endpoint", r.hostLabel()+".local")
		r.borrowed = true
	}
}

// giveBack ends the borrowing when the other program ends, or has lost the name to
// another machine.
func (r *Responder) giveBack(h *heard, here bool) {
	if h.kind != dnsmessage.TypeA && h.kind != dnsmessage.TypeAAAA {
		return
	}
	addr, _ := netip.AddrFromSlice(h.data)
	if here && h.ttl == 0 || !here && h.ttl > 0 && !r.local[addr] {
		r.borrowed = false
		r.probe(time.Second)
	}
}

// clash gives way to another machine. When the names were ours, they are probed
// for first: who answers then keeps them [RFC 6762, 9].
func (r *Responder) clash(host bool) {
	now := time.Now()
	r.clashes = slices.DeleteFunc(append(r.clashes, now), func(t time.Time) bool { return now.Sub(t) > 10*time.Second })
	after := time.Duration(0)
	if len(r.clashes) >= 15 {
		after = 5 * time.Second // [RFC 6762, 8.1]
	}
	probing := r.probes > 0 && r.says == 0 && !r.next.IsZero()
	if !probing {
		if r.told {
			// Not at once: the same answer comes by the other family too, and
			// would count as one to the probe.
			r.told = false
			r.probe(max(after, 2*probeEvery))
		}
		return
	}
	if host {
		r.hostN++
		r.log.Warn("another machine has the host name; this one takes the next", "endpoint", r.hostLabel()+".local")
	} else {
		r.nameN++
		r.log.Warn("another machine has services of the same name; these get a number", "count", r.nameN)
	}
	r.told, r.waiting = false, nil
	r.probe(after)
}

// checkProposed compares this probe with one of somebody else's for the same
// name: the lesser waits, and then finds the other there [RFC 6762, 8.2].
func (r *Responder) checkProposed(l *link, proposed []heard, here bool) {
	if r.probes == 0 || r.says > 0 || r.next.IsZero() {
		if r.told && here && !r.borrowed && slices.ContainsFunc(proposed, func(h heard) bool { return h.name == lower(r.hostName()) }) {
			r.borrow() // the system's own begins to tell it
		}
		return
	}
	byName := map[string][]heard{}
	for _, one := range uniqueOf(r.records(l)) {
		byName[lower(one.name)] = append(byName[lower(one.name)], heard{lower(one.name), one.kind, one.ttl, one.data})
	}
	for name, mine := range byName {
		theirs := slices.DeleteFunc(slices.Clone(proposed), func(h heard) bool { return h.name != name })
		if len(theirs) > 0 && order(mine, theirs) < 0 {
			r.probe(time.Second + time.Duration(rand.Int64N(int64(probeEvery)))) // or both wait for ever, each the lesser in another name
			return
		}
	}
}

// reply answers a question.
func (r *Responder) reply(l *link, m *message, from netip.AddrPort) {
	all := r.records(l)
	var list []record
	quick, unicast := true, len(m.questions) > 0
	for _, q := range m.questions {
		found := r.find(all, q)
		if from.Port() != port {
			r.replyLegacy(l, m.id, q, found, all, from)
			continue
		}
		for _, one := range found {
			if !m.knows(&one) && !contains(list, &one) {
				list = append(list, one)
				quick = quick && one.unique
			}
		}
		unicast = unicast && q.unicast
	}
	if len(list) == 0 {
		return
	}
	now, defends := time.Now(), len(m.proposed) > 0
	if unicast && !defends && r.fresh(l, list, now) {
		if packet, err := response(list, additional(all, list), false); err == nil {
			r.sock.unicast(l, from, packet)
		}
		return
	}
	if !defends {
		list = slices.DeleteFunc(list, func(one record) bool { return r.waits(l, &one) })
	}
	if len(list) == 0 || len(r.waiting) >= maxWaiting {
		return
	}
	due := now
	if !quick && !defends {
		due = now.Add(20*time.Millisecond + time.Duration(rand.Int64N(int64(100*time.Millisecond))))
	}
	for i := range list { // each at most once in a second [RFC 6762, 6]
		if soon := r.lastSent(l, &list[i]).Add(time.Second); !defends && soon.After(due) {
			due = soon
		}
	}
	r.waiting = append(r.waiting, answer{l.index, due, list})
}

// waits says whether a record is about to be multicast anyhow.
func (r *Responder) waits(l *link, one *record) bool {
	return slices.ContainsFunc(r.waiting, func(a answer) bool { return a.link == l.index && contains(a.list, one) })
}

// find returns what answers a question; that there is nothing of this kind, if a
// name is ours.
func (r *Responder) find(all []record, q question) (found []record) {
	var kinds []dnsmessage.Type
	name := ""
	for i := range all {
		if lower(all[i].name) != q.name {
			continue
		}
		if all[i].unique {
			name, kinds = all[i].name, append(kinds, all[i].kind)
		}
		if q.kind == dnsmessage.TypeALL || q.kind == all[i].kind {
			found = append(found, all[i])
		}
	}
	if len(found) == 0 && name != "" {
		found = append(found, nsec(name, kinds))
	}
	return found
}

func (r *Responder) replyLegacy(l *link, id uint16, q question, found, all []record, from netip.AddrPort) {
	if len(found) == 0 {
		return
	}
	if packet, err := legacyResponse(id, q, found, additional(all, found)); err == nil {
		r.sock.unicast(l, from, packet)
	}
}

// knows says whether the one who asks has told that it has this already, for at
// least half of its time [RFC 6762, 7.1].
func (m *message) knows(one *record) bool {
	return slices.ContainsFunc(m.answers, func(h heard) bool {
		return h.name == lower(one.name) && one.same(h.kind, h.data) && h.ttl >= one.ttl/2
	})
}

func contains(list []record, one *record) bool {
	return slices.ContainsFunc(list, func(have record) bool { return have.name == one.name && have.same(one.kind, one.data) })
}

// additional returns what whoever got list will ask next: an instance's SRV and
// TXT, a host's addresses.
func additional(all, list []record) (more []record) {
	have := slices.Clone(list)
	for i := 0; i < len(have); i++ {
		for _, one := range all {
			wanted := one.name == have[i].to || one.name == have[i].name && one.addr && have[i].addr
			if wanted && !contains(have, &one) && one.name != "" {
				have, more = append(have, one), append(more, one)
			}
		}
	}
	return more
}

func (r *Responder) lastSent(l *link, one *record) time.Time {
	return r.sentAt[told{l.index, one.name, one.kind, string(one.data)}]
}

// fresh says whether all was multicast not long ago, so that one alone may be
// answered [RFC 6762, 5.4].
func (r *Responder) fresh(l *link, list []record, now time.Time) bool {
	for i := range list {
		if now.Sub(r.lastSent(l, &list[i])) > time.Duration(list[i].ttl)*time.Second/4 {
			return false
		}
	}
	return true
}

// suppress takes out of the answers that wait what another one has just told
// [RFC 6762, 7.4].
func (r *Responder) suppress(l *link, heard []heard) {
	for i := range r.waiting {
		w := &r.waiting[i]
		if w.link == l.index {
			m := message{answers: heard}
			w.list = slices.DeleteFunc(w.list, func(one record) bool { return !one.unique && m.knows(&one) })
		}
	}
}

// answerDue multicasts what has waited long enough, all of a link in one packet.
func (r *Responder) answerDue(now time.Time) {
	byLink := map[int][]record{}
	r.waiting = slices.DeleteFunc(r.waiting, func(a answer) bool {
		if a.due.After(now) {
			return false
		}
		for _, one := range a.list {
			if list := byLink[a.link]; !contains(list, &one) {
				byLink[a.link] = append(list, one)
			}
		}
		return true
	})
	for index, list := range byLink {
		if l := r.links[index]; l != nil && r.told {
			r.tell(l, list, additional(r.records(l), list), now)
		}
	}
}
