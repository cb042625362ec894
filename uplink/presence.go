package uplink

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"tidegate/internal/wall"
)

// presence tells the cloud on a retained topic that the gateway lives. A birth
// follows every connection of the link that carries commands, -d0, whose will
// is the word of the gateway's death; -d0 hears what stands on the topic and
// sets it right. Nothing of this goes through the spool or to a disk.
//
//	CONNECT with will -> SUBSCRIBE -> birth -> links change: again, at intervals
//	                                        -> somebody else's word: again
//	                                        -> stop: "offline", DISCONNECT
type presence struct {
	up    *Uplink
	dirty atomic.Bool // something may have changed

	sent, corrected atomic.Int64

	mu      sync.Mutex // guards what follows
	reason  string     // of the last change
	number  uint64     // of the last statement
	tries   uint64     // CONNECTs with a will
	consent consent
	muted   error // the cloud refused the will
	withOne bool  // the last CONNECT had a will
	denial  denial
	plain   bool // the cloud has no retained messages
	atMost  bool // the cloud takes QoS 0 only

	tell    error // what mutes this connection, not yet shown
	on      bool  // on this connection; what follows is its
	over    bool  // no more
	qos     byte
	retain  bool
	packet  int       // the cloud's Maximum Packet Size, 0 for none
	said    statement // the last
	body    string    // its JSON
	sentAt  time.Time
	paced   time.Time // when there is room for statusBurst statements again
	waiting bool      // for its PUBACK
	wrong   bool      // something else was heard after it
	amends  int       // corrections in a row
	changed time.Time
	next    time.Time // of the next look, zero for none
}

// The pace of statements.
const (
	statusEvery = 10 * time.Second       // between two because links changed, on average
	statusBurst = 3                      // so many at once, if there were none for a while
	dropsEvery  = time.Minute            // because messages were dropped
	statusCalm  = 500 * time.Millisecond // after a change, for the next one that belongs to it
	amendAfter  = 500 * time.Millisecond // corrections: doubles to half a minute

	statusID = 0xFFFE // the packet ids of statements, this and the next, in turn; SUBSCRIBE does not use them
)

func (p *presence) topic() string { return p.up.settings.Load().own.status }

// note keeps the reason of a change.
func (p *presence) note(reason string) {
	p.mu.Lock()
	p.reason = reason
	p.mu.Unlock()
	p.ring()
}

// ring makes the link look.
func (p *presence) ring() {
	p.dirty.Store(true)
	if d, _ := p.up.downward(); d != nil {
		d.bell.notify()
	}
}

// will adds the will to a CONNECT [MQTT 5, 3.1.2.5].
func (p *presence) will(cp *paho.Connect, c Config) {
	p.mu.Lock()
	defer p.mu.Unlock()
	name, now := p.topic(), time.Now()
	p.withOne = name != "" && !(p.muted != nil && p.denial.lasts(now)) && p.consent.given(now)
	if !p.withOne {
		return
	}
	json, delay, format := byte(1), uint32(0), "application/json"
	if c.Cluster {
		delay = uint32(c.OfflineAfter.Std() / time.Second)
	}
	p.tries++
	cp.WillMessage = &paho.WillMessage{
		Topic: name, QoS: 1, Retain: !p.plain,
		Payload: p.up.bare(offline, (p.tries+1)*numbers-1, "the connection was lost").json(),
	}
	if p.atMost {
		cp.WillMessage.QoS = 0
	}
	cp.WillProperties = &paho.WillProperties{WillDelayInterval: &delay, PayloadFormat: &json, ContentType: format}
}

// refused takes the refusal of a CONNECT, with or without the will, and says
// what to tell. The next CONNECT goes without what was the cause, perhaps.
func (p *presence) refused(withWill bool, reason byte, err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !withWill && reason == 0x87:
		p.muted = nil // it was not the will
	case !withWill:
	case reason == 0x9A:
		p.plain = true
	case reason == 0x9B:
		p.atMost = true
	case reason == 0x87:
		p.muted = fault(FaultWillRefused, fmt.Errorf("the cloud refuses this client with its will on %q (0x87) and is tried without: let it publish there, or set status = false", p.topic()))
		p.denial.enter(time.Now(), p.patience())
		p.denial.words = p.muted.Error()
		return p.muted
	}
	return err
}

// begin starts a connection. It is called by its reader.
func (p *presence) begin(l limits) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.withOne {
		p.muted = nil
	}
	p.on = p.topic() != "" && p.muted == nil && p.consent.given(now)
	p.tell = p.muted
	p.qos, p.retain, p.packet = min(l.qos, 1), l.retain, l.packet
	p.number = max(p.number, p.tries*numbers)
	p.waiting, p.wrong, p.amends, p.said, p.body = false, false, 0, statement{}, ""
	p.sentAt, p.changed, p.next, p.over = time.Time{}, time.Time{}, p.consent.until, false
	p.dirty.Store(true)
}

// end notes that the connection has gone.
func (p *presence) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.on = false
	if p.consent.lost(time.Now()) {
		p.up.log.Warn("the cloud ended several connections right after a statement on the status topic: none for a while; let this client publish and subscribe there, or set status = false",
			"topic", p.topic(), "for", p.consent.spell)
	}
}

// tend says what has to be said, and returns when to look again; 0 for when
// something changes. No lock is held while it writes: that may block.
func (p *presence) tend(w *wire, now time.Time) (again time.Duration, err error) {
	statement, again := p.look(now)
	if statement != nil {
		err = w.send(statement)
	}
	return again, err
}

// look returns a statement to send, nil for none, and when to look again.
func (p *presence) look(now time.Time) (packet []byte, again time.Duration) {
	if !p.dirty.Swap(false) {
		p.mu.Lock()
		next := p.next
		p.mu.Unlock()
		if next.IsZero() {
			return nil, 0
		}
		if left := next.Sub(now); left > 0 {
			return nil, left
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, l := p.up.downward(); p.tell != nil {
		l.explain(p.tell)
		l.log.Warn("no presence", "err", p.tell)
		p.tell = nil
	}
	if left, denied := p.denial.left(now); denied && !p.on && !p.over && p.topic() != "" {
		if left > 0 {
			p.next = p.denial.again
			return nil, left
		}
		p.denial.again, p.on, p.body = time.Time{}, true, "" // a birth, on its own
	}
	if !p.on && !p.over && p.muted == nil && p.topic() != "" {
		if left := p.consent.until.Sub(now); left > 0 {
			p.next = p.consent.until
			return nil, left
		}
		p.on = true // without the will, until the next connection
	}
	if !p.on {
		p.next = time.Time{}
		return nil, 0
	}
	if left := p.sentAt.Add(statusEvery).Sub(now); p.waiting && left > 0 {
		p.next = now.Add(left)
		return nil, left
	}
	set, _ := wall.Set()
	next := p.up.statement(p.number+1, p.reason, now, set)
	due := p.due(next, now)
	if due.IsZero() {
		p.next = now.Add(dropsEvery)
	} else if p.next = due; !due.After(now) {
		if p.wrong && p.body != "" {
			p.amend(now)
			next.Reason = "corrected what another wrote here"
		}
		packet = p.say(next, now)
		p.next = now.Add(dropsEvery)
	}
	return packet, max(p.next.Sub(now), time.Millisecond)
}

// amend counts corrections, and says that there are some.
func (p *presence) amend(now time.Time) {
	if now.Sub(p.sentAt) > dropsEvery {
		p.amends = 0
	}
	if p.amends++; p.amends == 1 {
		p.up.log.Warn("another client wrote to the status topic, or the will of a lost connection did: corrected; if it comes again, see whether two gateways have one id", "topic", p.topic())
	}
	p.corrected.Add(1)
}

// due returns when the statement next must be made; zero: there is no need.
func (p *presence) due(next statement, now time.Time) time.Time {
	if p.body == "" {
		return now // the birth
	}
	if p.wrong {
		return p.sentAt.Add(amendAfter << min(p.amends, 6))
	}
	if same := sameLinks(p.said.Links, next.Links); !same {
		if p.changed.IsZero() {
			p.changed = now
		}
		return latest(p.changed.Add(statusCalm), p.paced.Add(-(statusBurst-1)*statusEvery))
	}
	p.changed = time.Time{}
	if next.dropped() != p.said.dropped() {
		return p.sentAt.Add(dropsEvery)
	}
	return time.Time{}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func sameLinks(a, b []linkStatement) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].ID != b[i].ID || a[i].State != b[i].State || a[i].Endpoint != b[i].Endpoint {
			return false
		}
	}
	return true
}

// say notes a statement as made and returns its packet. What would be too large
// for the cloud is left out; nil when even the rest is.
func (p *presence) say(s statement, now time.Time) (packet []byte) {
	body, name := s.json(), p.topic()
	if room := p.packet - len(name) - 64; p.packet > 0 && len(body) > room {
		short := s
		short.Drops, short.Links = nil, nil
		if body = short.json(); len(body) > room {
			return nil
		}
	}
	first := byte(0x30) | p.qos<<1
	if p.retain {
		first |= 1
	}
	p.number, p.said, p.body, p.sentAt = s.Number, s, string(body), now
	p.pace(now)
	p.waiting, p.wrong, p.changed = p.qos > 0, false, time.Time{}
	if p.waiting {
		p.consent.ask(now)
	}
	p.sent.Add(1)
	return appendOwn(nil, first, name, p.id(), statementProperties, body)
}

// pace notes a statement: one for each statusEvery, and a few ahead of that.
func (p *presence) pace(now time.Time) {
	if p.paced = latest(p.paced, now).Add(statusEvery); p.paced.Sub(now) > statusBurst*statusEvery {
		p.paced = now.Add(statusBurst * statusEvery)
	}
}

// id is the packet id of the last statement.
func (p *presence) id() uint16 { return statusID + uint16(p.number&1) }

// acked takes a PUBACK.
func (p *presence) acked(id uint16, reason byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.waiting || id != p.id() {
		return
	}
	p.waiting = false
	p.consent.grant()
	_, l := p.up.downward()
	if reason < 0x80 {
		if (p.muted != nil || p.denial.spell > 0) && l != nil {
			l.content(p.denial.words)
			l.log.Info("presence again", "topic", p.topic())
		}
		p.muted, p.denial = nil, denial{}
		p.ring()
		return
	}
	if p.on = false; p.over {
		return
	}
	first := p.denial.spell == 0
	p.denial.enter(time.Now(), p.patience())
	p.ring()
	err := fault(FaultNotAuthorized, fmt.Errorf("the cloud does not take the statement on the status topic %q (0x%02X): let this client publish there, or set status = false", p.topic(), reason))
	p.denial.words = err.Error()
	if first && l != nil {
		l.complain(err)
		l.log.Warn("no presence", "err", err)
	}
}

// saw takes what came on the status topic. An own statement of before the last
// may still come: then the last one follows, and nothing is wrong any more.
func (p *presence) saw(payload []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.on || p.body == "" {
		return
	}
	if p.wrong = string(payload) != p.body; p.wrong {
		p.ring()
	}
}

// leave says that the link goes on purpose: for good, or, where the brokers are
// separate, to another one. In a cluster a move is not worth a word: the next
// birth follows.
func (p *presence) leave(ctx context.Context, c *client, d *downward) {
	cfg := d.link.config()
	switch {
	case ctx.Err() == nil: // a return
	case faultOf(context.Cause(ctx)) != FaultMoving:
		p.stop(c, d.bell, "stopped", cfg.DrainTimeout.Std())
	case !cfg.Cluster:
		p.stop(c, d.bell, "moved to another broker", cfg.DrainTimeout.Std())
	}
}

// stop says that the gateway is gone, and waits in bounded time until the
// cloud has that.
func (p *presence) stop(c *client, b *bell, reason string, most time.Duration) {
	now := time.Now()
	p.mu.Lock()
	if !p.on {
		p.mu.Unlock()
		return
	}
	packet := p.say(p.up.bare(offline, p.number+1, reason), now)
	p.on, p.over = false, true
	p.mu.Unlock()
	if packet == nil {
		return
	}
	err := c.wire.send(packet)
	for until := now.Add(most); err == nil; {
		left := time.Until(until)
		if !p.unanswered() || left <= 0 {
			return
		}
		select {
		case <-c.Done():
			return
		default:
			b.park(context.Background(), c.Done(), left)
		}
	}
}

func (p *presence) unanswered() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waiting
}

func (p *presence) stats() StatusStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := StatusStats{Topic: p.topic(), Sent: p.sent.Load(), Corrected: p.corrected.Load()}
	if p.muted != nil {
		s.Fault = p.muted.Error()
	}
	return s
}
