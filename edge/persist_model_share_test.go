package edge

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// TestShareModel has three members of a shared subscription come, go and
// acknowledge at random, their sessions end, the broker stop and start again,
// and time pass, and holds what arrives against a list: every message at one
// member, which alone gets it again while it has not acknowledged it. When its
// session ends, what it was not sent goes to another, and of what it was sent
// QoS 1 only [MQTT-4.8.2-4, MQTT-4.8.2-5].
func TestShareModel(t *testing.T) {
	eachModel(t, func(t *testing.T, dice *rand.Rand) {
		m := &shareModel{t: t, dir: t.TempDir(), rand: dice}
		for i := range m.members {
			m.members[i] = &shareMember{id: fmt.Sprint("member", i)}
		}
		m.start()
		for range 200 {
			m.step()
		}
		m.finish()
	})
}

// Where a message is, if not with a member.
const (
	withNobody = -1 // it waits for a member
	withAll    = -2 // acknowledged, or nobody is to get it
)

// shareMember is one member. It takes what has come before it goes, so that
// what it was sent is known.
type shareMember struct {
	id      string
	p       *peer // nil: away
	keeps   int   // spans its session lasts without it; 0: it has none
	left    int   // when it left
	unacked []packets.Packet
	owed    []int // messages to be sent again first
}

// shareModel is the world of one run.
type shareModel struct {
	t       *testing.T
	dir     string
	rand    *rand.Rand
	b       *Broker
	stop    func()
	now     int // spans passed
	from    *peer
	members [3]*shareMember
	sent    []modelMessage
	where   []int // of each the place of its member, or with whom else it is
}

func (m *shareModel) start() {
	m.b, m.stop = startIn(m.t, m.dir, every(20*time.Millisecond))
	m.from = connect(m.t, m.b, "from")
}

func (m *shareModel) step() {
	i := m.rand.IntN(len(m.members))
	one := m.members[i]
	switch n := m.rand.IntN(100); {
	case n < 30:
		m.publish(1 + m.rand.IntN(8))
	case n < 45:
		m.receive(i)
	case n < 65:
		m.acknowledge(i, m.rand.IntN(len(one.unacked)+1))
	case n < 80:
		m.arrive(i, m.rand.IntN(8) == 0)
	case n < 86:
		m.depart(i, -1)
	case n < 90:
		m.depart(i, m.rand.IntN(3))
	case n < 94:
		m.restart()
	default:
		m.pass()
	}
}

func (m *shareModel) publish(n int) {
	for range n {
		a := modelMessage{qos: byte(1 + m.rand.IntN(2)), at: m.now}
		if m.rand.IntN(4) == 0 {
			a.lasts = 1 + m.rand.IntN(3)
		}
		m.from.publish("s", strconv.Itoa(len(m.sent)), a.qos, func(pk *packets.Packet) {
			if a.lasts > 0 {
				pk.Properties.MessageExpiryInterval = spans(a.lasts)
			}
		})
		at := withAll
		if m.anybody() {
			at = withNobody
		}
		m.sent, m.where = append(m.sent, a), append(m.where, at)
	}
}

// anybody says whether any member has a session.
func (m *shareModel) anybody() bool {
	for _, one := range m.members {
		if one.keeps > 0 {
			return true
		}
	}
	return false
}

// arrive connects a member, who may be connected, with a session afresh or not.
func (m *shareModel) arrive(i int, clean bool) {
	m.receive(i)
	one := m.members[i]
	present := one.keeps > 0 && !clean
	keeps := []int{1, 2, 600}[m.rand.IntN(3)]
	opts := []option{resume(), expiry(spans(keeps)), receiveMax(uint16(1 + m.rand.IntN(6)))}
	if clean {
		opts = opts[1:]
	}
	p := dial(m.t, m.b)
	if got := p.connect(one.id, opts...).SessionPresent; got != present {
		m.t.Fatalf("%s: session present %v, want %v", one.id, got, present)
	}
	if !present {
		m.end(i)
		p.subscribe(sub{filter: "$share/g/s", qos: 2})
	}
	one.p, one.keeps = p, keeps
	later := one.owed
	one.owed = nil
	for _, pk := range one.unacked {
		if n := m.number(&pk); n >= 0 && m.where[n] == i {
			one.owed = append(one.owed, n)
		}
	}
	for _, n := range later {
		if m.where[n] == i {
			one.owed = append(one.owed, n)
		}
	}
	one.unacked = nil
}

// end notes that a member's session has ended, if it had one.
func (m *shareModel) end(i int) {
	m.members[i].keeps = 0
	for n, at := range m.where {
		switch {
		case at == i && m.sent[n].qos == 2, at != withAll && !m.anybody():
			m.where[n] = withAll
		case at == i:
			m.where[n] = withNobody
		}
	}
}

// depart drops the connection, or with 0 or more disconnects, the session to be
// kept for so many spans.
func (m *shareModel) depart(i, keeps int) {
	one := m.members[i]
	if one.p == nil {
		return
	}
	m.receive(i)
	if keeps < 0 {
		one.p.nc.Close()
	} else {
		seconds := uint32(0)
		if keeps > 0 {
			seconds = spans(keeps)
		}
		one.p.raw(binary.BigEndian.AppendUint32([]byte{0xe0, 7, 0, 5, packets.PropSessionExpiryInterval}, seconds))
		one.keeps = keeps
	}
	one.p, one.left = nil, m.now
	connected := 1
	for _, one := range m.members {
		connected += ifPeer(one.p)
	}
	until(m.t, "the member is away", func() bool { return m.b.Stats().Connections == connected })
	if keeps == 0 {
		m.end(i)
	}
}

func ifPeer(p *peer) int {
	if p == nil {
		return 0
	}
	return 1
}

func (m *shareModel) restart() {
	for i := range m.members {
		m.receive(i)
	}
	m.stop()
	for _, one := range m.members {
		if one.p != nil {
			one.p, one.left = nil, m.now
		}
	}
	m.start()
}

// pass lets a span of time pass, and the sessions end whose time is over.
func (m *shareModel) pass() {
	for i := range m.members {
		m.receive(i)
	}
	m.now++
	var over []int
	for i, one := range m.members {
		if one.p == nil && one.keeps > 0 && m.now-one.left >= one.keeps {
			m.b.sessionWith(one.id).expired(time.Time{}) // as keepHouse does, but now
			over = append(over, i)
		}
	}
	letPass(m.b)
	for _, i := range over {
		m.b.endSession(m.b.sessionWith(m.members[i].id))
		m.end(i)
	}
}

// receive has a member take all that has come.
func (m *shareModel) receive(i int) {
	one := m.members[i]
	if one.p == nil {
		return
	}
	one.p.untilPing(func(pk *packets.Packet) {
		switch pk.FixedHeader.Type {
		case packets.Publish:
			m.take(i, pk)
		case packets.Pubrel:
		default:
			m.t.Fatalf("%s: got %s", one.id, packets.PacketNames[pk.FixedHeader.Type])
		}
		one.unacked = append(one.unacked, *pk)
	})
}

// number reads which message a PUBLISH is; -1: none.
func (m *shareModel) number(pk *packets.Packet) int {
	n, err := strconv.Atoi(string(pk.Payload))
	if err != nil || pk.FixedHeader.Type != packets.Publish {
		return -1
	}
	return n
}

// take holds a PUBLISH against the list.
func (m *shareModel) take(i int, pk *packets.Packet) {
	one := m.members[i]
	n := m.number(pk)
	switch {
	case n < 0 || n >= len(m.sent):
		m.t.Fatalf("%s: message %q", one.id, pk.Payload)
	case pk.FixedHeader.Qos != m.sent[n].qos:
		m.t.Fatalf("%s: message %d at QoS %d, want %d", one.id, n, pk.FixedHeader.Qos, m.sent[n].qos)
	case pk.FixedHeader.Dup != (m.where[n] == i):
		m.t.Fatalf("%s: message %d with DUP %v, it was with %d", one.id, n, pk.FixedHeader.Dup, m.where[n])
	case m.where[n] == i:
		if len(one.owed) == 0 || one.owed[0] != n {
			m.t.Fatalf("%s: message %d again, want %v", one.id, n, one.owed)
		}
		one.owed = one.owed[1:]
	case m.where[n] != withNobody:
		m.t.Fatalf("%s: message %d, which is with %d", one.id, n, m.where[n])
	case len(one.owed) > 0:
		m.t.Fatalf("%s: message %d, though %v were not sent again", one.id, n, one.owed)
	case m.sent[n].over(m.now):
		m.t.Fatalf("%s: message %d, which is over", one.id, n)
	default:
		m.where[n] = i
	}
}

// acknowledge has a member answer the first n packets that wait for it.
func (m *shareModel) acknowledge(i, n int) {
	one := m.members[i]
	if one.p == nil {
		return
	}
	for _, pk := range one.unacked[:n] {
		kind := byte(packets.Puback)
		switch {
		case pk.FixedHeader.Type == packets.Pubrel:
			one.p.ack(packets.Pubcomp, pk.PacketID)
			continue
		case pk.FixedHeader.Qos == 2:
			kind = packets.Pubrec
		}
		one.p.ack(kind, pk.PacketID)
		m.where[m.number(&pk)] = withAll
	}
	one.unacked = one.unacked[n:]
}

// finish has all members take what is left.
func (m *shareModel) finish() {
	for i := range m.members {
		m.arrive(i, false)
	}
	for again := true; again; {
		again = false
		for i, one := range m.members {
			m.receive(i)
			again = again || len(one.unacked) > 0
			m.acknowledge(i, len(one.unacked))
		}
	}
	for n, at := range m.where {
		if at != withAll && !(at == withNobody && m.sent[n].over(m.now)) {
			m.t.Errorf("message %d of QoS %d is with %d", n, m.sent[n].qos, at)
		}
	}
	checkEmpty(m.t, m.b)
}
