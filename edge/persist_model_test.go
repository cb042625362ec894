package edge

import (
	"encoding/binary"
	"flag"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

var modelSeed = flag.Int64("model.seed", 0, "the run of a model to make; 0: those of every day")

// eachModel makes the runs of a model.
func eachModel(t *testing.T, run func(t *testing.T, dice *rand.Rand)) {
	seeds := []int64{1, 7, 11, 28}
	if *modelSeed != 0 {
		seeds = []int64{*modelSeed}
	}
	for _, seed := range seeds {
		t.Run(strconv.FormatInt(seed, 10), func(t *testing.T) {
			t.Parallel()
			run(t, rand.New(rand.NewPCG(uint64(seed), 0)))
		})
	}
}

// TestSessionModel has a subscriber and a publisher come, go, be taken over,
// acknowledge and leave off acknowledging at random, the broker stop and start
// again, and time pass, and holds what arrives against a list: every message,
// in order of first arrival; at QoS 2 once, at QoS 1 again only with DUP; none
// that was over before it was first sent, or is longer than its client takes;
// and a session for as long as it was asked for.
func TestSessionModel(t *testing.T) {
	eachModel(t, func(t *testing.T, dice *rand.Rand) {
		m := &sessionModel{t: t, dir: t.TempDir(), rand: dice, pending: -1}
		m.b, m.stop = startIn(t, m.dir, every(20*time.Millisecond))
		m.arrive()
		for range 150 {
			m.step()
		}
		m.finish()
	})
}

// span is the unit of time of the models. Times of expiry end in the middle of
// one, and a run is shorter than that: what is over does not depend on how fast
// it is.
const span = 1000 * time.Second

func spans(n int) uint32 { return uint32((time.Duration(n)*span - span/2) / time.Second) }

// letPass makes everything that the sessions of b wait for one span older, but
// for those that are just ending.
func letPass(b *Broker) {
	for _, s := range b.sessions() {
		s.mu.Lock()
		if !s.until.IsZero() && !s.dead {
			s.until = s.until.Add(-span)
		}
		for i := range s.out.n {
			if d := s.out.at(i); d.m != nil {
				older := *d.m
				older.Accepted = older.Accepted.Add(-span)
				d.m = &older
			}
		}
		s.mu.Unlock()
	}
}

// modelMessage is a message that was published.
type modelMessage struct {
	qos   byte
	at    int  // spans passed by then
	lasts int  // spans; 0: for ever
	long  bool // longer than shortPacket
	lost  bool // it was too long for a connection that it may have been for
}

// shortPacket is what the subscriber of the model takes, when it takes less than
// anything.
const shortPacket = 100

func (a *modelMessage) over(now int) bool { return a.lasts > 0 && now-a.at >= a.lasts }

// sessionModel is the world of one run. Clients are proper ones: they remember
// the QoS 2 ids they have to.
type sessionModel struct {
	t    *testing.T
	dir  string
	rand *rand.Rand
	b    *Broker
	stop func()
	now  int // spans passed

	from    *peer // nil: away
	pending int   // the QoS 2 message sent and not released; -1: none
	begun   bool  // and PUBREC has come
	sent    []modelMessage

	to      *peer // nil: away
	short   bool  // it takes short packets only
	keeps   int   // spans its session lasts without it; 0: none, or none begun
	left    int   // when it left
	came    int   // messages published by the time it came
	fresh   int   // the first message of the session
	arrived int   // the next message that has not arrived
	unacked []packets.Packet
	owed    []int          // received on an earlier connection, not acknowledged, and to be sent again first
	held    map[uint16]int // QoS 2 ids received and not released, and their messages
}

func (m *sessionModel) step() {
	switch n := m.rand.IntN(100); {
	case n < 28:
		m.publish()
	case n < 36:
		m.publishHalf()
	case n < 50:
		m.receive()
	case n < 70:
		m.acknowledge(m.rand.IntN(len(m.unacked) + 1))
	case n < 79:
		m.arrive() // a takeover, when it is here
	case n < 83:
		m.depart()
	case n < 86:
		m.disconnect()
	case n < 90:
		m.from = nil // its connection stays, to be taken over
	case n < 95:
		m.stop()
		m.from = nil
		m.gone()
		m.b, m.stop = startIn(m.t, m.dir, every(20*time.Millisecond))
	case n < 99:
		m.receive() // what was sent by now was sent in time
		m.now++
		letPass(m.b)
	case m.to != nil:
		m.afresh()
	}
}

// publisher returns the publisher's connection, a new one if need be.
func (m *sessionModel) publisher() *peer {
	if m.from == nil {
		m.from = connect(m.t, m.b, "from", resume(), expiry(spans(600)))
	}
	m.settlePending()
	return m.from
}

// settlePending ends the exchange that was begun, as a client does: with PUBREL
// once PUBREC has come, else with the PUBLISH again.
func (m *sessionModel) settlePending() {
	if m.pending < 0 {
		return
	}
	if !m.begun {
		pk := m.packet(m.pending, 99)
		pk.FixedHeader.Dup = true
		m.from.write(pk)
		m.from.expect(packets.Pubrec)
	}
	m.from.ack(packets.Pubrel, 99)
	m.from.expect(packets.Pubcomp)
	m.pending, m.begun = -1, false
}

// next makes up another message.
func (m *sessionModel) next(qos byte) (n int) {
	a := modelMessage{qos: qos, at: m.now, long: m.rand.IntN(5) == 0}
	if m.rand.IntN(3) == 0 {
		a.lasts = 1 + m.rand.IntN(3)
	}
	a.lost = a.long && m.to != nil && m.short
	m.sent = append(m.sent, a)
	return len(m.sent) - 1
}

func (m *sessionModel) packet(n int, id uint16) *packets.Packet {
	a := &m.sent[n]
	payload := strconv.Itoa(n)
	if a.long {
		payload += strings.Repeat(" ", shortPacket)
	}
	pk := publishPacket("t", payload, a.qos, id)
	if a.lasts > 0 {
		pk.Properties.MessageExpiryInterval = spans(a.lasts)
	}
	return pk
}

func (m *sessionModel) publish() {
	p := m.publisher()
	for range 1 + m.rand.IntN(8) {
		pk := m.packet(m.next(byte(1+m.rand.IntN(2))), 0)
		p.publish(pk.TopicName, string(pk.Payload), pk.FixedHeader.Qos, func(other *packets.Packet) { other.Properties = pk.Properties })
	}
}

// publishHalf leaves a QoS 2 exchange open, and sometimes forgets its PUBREC.
func (m *sessionModel) publishHalf() {
	p := m.publisher()
	m.pending, m.begun = m.next(2), m.rand.IntN(2) == 0
	p.write(m.packet(m.pending, 99))
	p.expect(packets.Pubrec)
	m.from = nil
}

// arrive connects the subscriber, whether or not it is connected.
func (m *sessionModel) arrive() {
	m.gone()
	present := m.keeps > 0 && m.now-m.left < m.keeps
	m.keeps, m.short = []int{1, 2, 600}[m.rand.IntN(3)], m.rand.IntN(4) == 0
	opts := []option{resume(), expiry(spans(m.keeps)), receiveMax(uint16(1 + m.rand.IntN(10)))}
	if m.short {
		opts = append(opts, maxPacket(shortPacket))
	}
	p := dial(m.t, m.b)
	if got := p.connect("to", opts...).SessionPresent; got != present {
		m.t.Fatalf("session present %v, want %v", got, present)
	}
	m.to, m.came = p, len(m.sent)
	if !present {
		m.begin()
	}
	if m.short {
		for n := m.fresh; n < len(m.sent); n++ {
			m.sent[n].lost = m.sent[n].lost || m.sent[n].long
		}
	}
	again := m.owed
	m.owed = nil
	for _, pk := range m.unacked {
		if pk.FixedHeader.Type == packets.Publish {
			m.owe(m.number(&pk))
		}
	}
	for _, n := range again {
		m.owe(n)
	}
	for id, n := range m.held {
		if m.sent[n].lost {
			delete(m.held, id) // as if it had come to its end [MQTT-3.1.2-25]
		}
	}
	m.unacked = nil
}

// owe notes that a message is to be sent again.
func (m *sessionModel) owe(n int) {
	if !m.sent[n].lost {
		m.owed = append(m.owed, n)
	}
}

// begin subscribes in a session that is new.
func (m *sessionModel) begin() {
	m.to.subscribe(sub{filter: "t", qos: 2})
	m.unacked, m.owed, m.held = nil, nil, map[uint16]int{}
	m.fresh, m.arrived = len(m.sent), len(m.sent)
}

// gone notes that the subscriber has no connection any more, or that it is about
// to be taken over.
func (m *sessionModel) gone() {
	if m.to != nil {
		m.to, m.left = nil, m.now
	}
}

// depart drops the connection with what is on its way.
func (m *sessionModel) depart() {
	if m.to != nil {
		m.to.nc.Close()
		until(m.t, "the subscriber is away", func() bool { return m.b.sessionWith("to").conn.Load() == nil })
		m.gone()
	}
}

// disconnect leaves with another expiry of the session [MQTT 5, 3.14.2.2.2].
func (m *sessionModel) disconnect() {
	if m.to == nil {
		return
	}
	m.keeps = m.rand.IntN(4)
	seconds := uint32(0)
	if m.keeps > 0 {
		seconds = spans(m.keeps)
	}
	m.to.raw(binary.BigEndian.AppendUint32([]byte{0xe0, 7, 0, 5, packets.PropSessionExpiryInterval}, seconds))
	m.to.ended()
	m.gone()
}

// afresh begins a new session.
func (m *sessionModel) afresh() {
	p := dial(m.t, m.b)
	m.keeps, m.short = 600, false
	if p.connect("to", expiry(spans(m.keeps))).SessionPresent {
		m.t.Fatal("the session survived a clean start")
	}
	m.to, m.came = p, len(m.sent)
	m.begin()
}

// receive takes all that has come.
func (m *sessionModel) receive() {
	if m.to == nil {
		return
	}
	m.to.untilPing(func(pk *packets.Packet) {
		switch pk.FixedHeader.Type {
		case packets.Publish:
			m.take(pk)
		case packets.Pubrel:
		default:
			m.t.Fatalf("got %s", packets.PacketNames[pk.FixedHeader.Type])
		}
		m.unacked = append(m.unacked, *pk)
	})
}

// number reads which message a PUBLISH is.
func (m *sessionModel) number(pk *packets.Packet) int {
	n, err := strconv.Atoi(strings.TrimSpace(string(pk.Payload)))
	if err != nil || n < m.fresh || n >= len(m.sent) {
		m.t.Fatalf("message %q, want one from %d to %d", pk.Payload, m.fresh, len(m.sent))
	}
	return n
}

// take holds a PUBLISH against the list.
func (m *sessionModel) take(pk *packets.Packet) {
	n := m.number(pk)
	a := &m.sent[n]
	if a.qos != pk.FixedHeader.Qos {
		m.t.Fatalf("message %d at QoS %d, want %d", n, pk.FixedHeader.Qos, a.qos)
	}
	if size := 2 + pk.FixedHeader.Remaining; m.short && size > shortPacket {
		m.t.Fatalf("message %d of %d bytes, want %d at most", n, size, shortPacket)
	}
	m.checkLeft(n, pk.Properties.MessageExpiryInterval)
	again := n < m.arrived
	if again && !pk.FixedHeader.Dup {
		m.t.Fatalf("message %d again, without DUP", n)
	}
	if pk.FixedHeader.Dup && n >= m.came {
		m.t.Fatalf("message %d with DUP, though it is new", n)
	}
	if a.qos == 2 {
		if _, held := m.held[pk.PacketID]; !a.lost && again != held {
			m.t.Fatalf("message %d: again %v, id %d held %v", n, again, pk.PacketID, held)
		}
		m.held[pk.PacketID] = n
	}
	if len(m.owed) > 0 && m.owed[0] == n {
		m.owed = m.owed[1:]
	}
	if again {
		return
	}
	if len(m.owed) > 0 {
		m.t.Fatalf("message %d, though %v were not sent again", n, m.owed)
	}
	if a.over(m.now) && !pk.FixedHeader.Dup {
		m.t.Fatalf("message %d, which was over %d spans ago", n, m.now-a.at-a.lasts)
	}
	m.miss(n)
	m.arrived = n + 1
}

// checkLeft holds the Message Expiry Interval of a message against the time.
func (m *sessionModel) checkLeft(n int, got uint32) {
	a := &m.sent[n]
	least, most := 1, 1
	switch {
	case a.lasts == 0:
		least, most = 0, 0
	case !a.over(m.now):
		most = int(spans(a.lasts - (m.now - a.at)))
		least = max(most-int(span/2/time.Second), 1)
	}
	if int(got) < least || int(got) > most {
		m.t.Fatalf("message %d has %d s left, want %d to %d", n, got, least, most)
	}
}

// miss goes over the messages before n that have not arrived: there must be a
// reason.
func (m *sessionModel) miss(n int) {
	for i := m.arrived; i < n; i++ {
		if a := &m.sent[i]; !a.lost && !a.over(m.now) {
			m.t.Fatalf("message %d did not arrive before %d", i, n)
		}
	}
}

// acknowledge answers the first n packets that wait for it.
func (m *sessionModel) acknowledge(n int) {
	if m.to == nil {
		return
	}
	for _, pk := range m.unacked[:n] {
		switch {
		case pk.FixedHeader.Type == packets.Pubrel:
			delete(m.held, pk.PacketID)
			m.to.ack(packets.Pubcomp, pk.PacketID)
		case pk.FixedHeader.Qos == 2:
			m.to.ack(packets.Pubrec, pk.PacketID)
		default:
			m.to.ack(packets.Puback, pk.PacketID)
		}
	}
	m.unacked = m.unacked[n:]
}

// finish takes all that is left.
func (m *sessionModel) finish() {
	m.publisher()
	m.arrive()
	for m.short {
		m.arrive()
	}
	for again := true; again; {
		m.receive()
		again = len(m.unacked) > 0
		m.acknowledge(len(m.unacked))
	}
	m.miss(len(m.sent))
	if len(m.owed)+len(m.held) > 0 {
		m.t.Fatalf("%v not sent again, exchanges of %v open", m.owed, m.held)
	}
	checkEmpty(m.t, m.b)
}

// checkEmpty says what the sessions of b still hold after everything has come to
// its end.
func checkEmpty(t *testing.T, b *Broker) {
	t.Helper()
	if got := b.Stats(); got.Queued != 0 || got.QueuedBytes != 0 || got.DroppedQueue != 0 {
		t.Errorf("%d messages queued, %d bytes, %d dropped", got.Queued, got.QueuedBytes, got.DroppedQueue)
	}
	for _, s := range b.sessions() {
		s.mu.Lock()
		if o := &s.out; o.n != 0 || o.held != 0 || o.flying != 0 {
			t.Errorf("%s holds %d deliveries, %d bytes, %d in flight", s.id, o.n, o.held, o.flying)
		}
		s.mu.Unlock()
	}
}
