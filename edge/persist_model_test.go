package edge

import (
	"flag"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

var modelSeed = flag.Int64("model.seed", 0, "the run of the session model to make; 0: those of every day")

// TestSessionModel has a subscriber and a publisher come, go, be taken over,
// acknowledge and leave off acknowledging at random, and the broker stop and
// start again, and holds what arrives against a list: every message, in order
// of first arrival; at QoS 2 once, at QoS 1 again only with DUP.
func TestSessionModel(t *testing.T) {
	seeds := []int64{1, 2, 3}
	if *modelSeed != 0 {
		seeds = []int64{*modelSeed}
	}
	for _, seed := range seeds {
		t.Run(strconv.FormatInt(seed, 10), func(t *testing.T) {
			m := &sessionModel{t: t, dir: t.TempDir(), rand: rand.New(rand.NewPCG(uint64(seed), 0))}
			m.start()
			for range 120 {
				m.step()
			}
			m.finish()
		})
	}
}

// sessionModel is the world of one run. Clients are proper ones: they remember
// the QoS 2 ids they have to.
type sessionModel struct {
	t    *testing.T
	dir  string
	rand *rand.Rand
	b    *Broker
	stop func()

	from    *peer  // nil: away
	pending int    // the QoS 2 message sent and not released; -1: none
	begun   bool   // and PUBREC has come
	sent    int    // messages published
	qos     []byte // of each

	to      *peer // nil: away
	fresh   int   // the first message of the session
	arrived int   // the next message that has not arrived
	unacked []packets.Packet
	held    map[uint16]bool // QoS 2 ids received and not released
}

func (m *sessionModel) start() {
	m.b, m.stop = startIn(m.t, m.dir, every(20*time.Millisecond))
	if m.held == nil {
		m.pending, m.held = -1, map[uint16]bool{}
		m.arrive(false)
		m.to.subscribe(sub{filter: "t", qos: 2})
	}
}

func (m *sessionModel) step() {
	switch n := m.rand.IntN(100); {
	case n < 30:
		m.publish()
	case n < 40:
		m.publishHalf()
	case n < 55:
		m.receive()
	case n < 75:
		m.acknowledge(m.rand.IntN(len(m.unacked) + 1))
	case n < 83:
		m.arrive(true) // a takeover, when it is here
	case n < 88:
		m.depart()
	case n < 92:
		m.from = nil // its connection stays, to be taken over
	case n < 98:
		m.stop()
		m.from, m.to, m.unacked = nil, nil, nil
		m.start()
	case n < 99 && m.to != nil:
		m.afresh()
	}
}

// publisher returns the publisher's connection, a new one if need be.
func (m *sessionModel) publisher() *peer {
	if m.from == nil {
		m.from = connect(m.t, m.b, "from", resume(), expiry(3600))
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
		pk := publishPacket("t", strconv.Itoa(m.pending), 2, 99)
		pk.FixedHeader.Dup = true
		m.from.write(pk)
		m.from.expect(packets.Pubrec)
	}
	m.from.ack(packets.Pubrel, 99)
	m.from.expect(packets.Pubcomp)
	m.pending, m.begun = -1, false
}

func (m *sessionModel) publish() {
	p := m.publisher()
	for range 1 + m.rand.IntN(8) {
		qos := byte(1 + m.rand.IntN(2))
		p.publish("t", strconv.Itoa(m.sent), qos)
		m.sent, m.qos = m.sent+1, append(m.qos, qos)
	}
}

// publishHalf leaves a QoS 2 exchange open, and sometimes forgets its PUBREC.
func (m *sessionModel) publishHalf() {
	p := m.publisher()
	p.write(publishPacket("t", strconv.Itoa(m.sent), 2, 99))
	p.expect(packets.Pubrec)
	m.pending, m.begun = m.sent, m.rand.IntN(2) == 0
	m.sent, m.qos = m.sent+1, append(m.qos, 2)
	m.from = nil
}

// arrive connects the subscriber, whether or not it is connected.
func (m *sessionModel) arrive(present bool) {
	p := dial(m.t, m.b)
	if got := p.connect("to", resume(), expiry(3600), receiveMax(uint16(1+m.rand.IntN(10)))).SessionPresent; got != present {
		m.t.Fatalf("session present %v, want %v", got, present)
	}
	m.to, m.unacked = p, nil
}

// depart drops the connection with what is on its way.
func (m *sessionModel) depart() {
	if m.to != nil {
		m.to.nc.Close()
		m.to, m.unacked = nil, nil
	}
}

// afresh begins a new session.
func (m *sessionModel) afresh() {
	p := dial(m.t, m.b)
	if p.connect("to", expiry(3600)).SessionPresent {
		m.t.Fatal("the session survived a clean start")
	}
	p.subscribe(sub{filter: "t", qos: 2})
	m.to, m.unacked, m.held, m.fresh, m.arrived = p, nil, map[uint16]bool{}, m.sent, m.sent
}

// receive takes all that has come.
func (m *sessionModel) receive() {
	if m.to == nil {
		return
	}
	m.to.raw([]byte{0xc0, 0})
	for {
		pk, err := m.to.read(patience)
		switch {
		case err != nil:
			m.t.Fatal(err)
		case pk.FixedHeader.Type == packets.Pingresp:
			return
		case pk.FixedHeader.Type == packets.Publish:
			m.take(pk)
		case pk.FixedHeader.Type != packets.Pubrel:
			m.t.Fatalf("got %s", packets.PacketNames[pk.FixedHeader.Type])
		}
		m.unacked = append(m.unacked, *pk)
	}
}

// take holds a PUBLISH against the list.
func (m *sessionModel) take(pk *packets.Packet) {
	n, err := strconv.Atoi(string(pk.Payload))
	if err != nil || n < m.fresh || n > m.arrived {
		m.t.Fatalf("message %q, want %d", pk.Payload, m.arrived)
	}
	if m.qos[n] != pk.FixedHeader.Qos {
		m.t.Fatalf("message %d at QoS %d, want %d", n, pk.FixedHeader.Qos, m.qos[n])
	}
	again := n < m.arrived
	if again && !pk.FixedHeader.Dup {
		m.t.Fatalf("message %d again, without DUP", n)
	}
	if pk.FixedHeader.Qos == 2 {
		if again != m.held[pk.PacketID] {
			m.t.Fatalf("message %d: again %v, id %d held %v", n, again, pk.PacketID, m.held[pk.PacketID])
		}
		m.held[pk.PacketID] = true
	}
	if !again {
		m.arrived++
	}
}

// acknowledge answers the first n packets that wait for it.
func (m *sessionModel) acknowledge(n int) {
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
	m.arrive(true)
	for end := time.Now().Add(patience); m.arrived < m.sent || len(m.held) > 0; {
		m.receive()
		m.acknowledge(len(m.unacked))
		if time.Now().After(end) {
			m.t.Fatalf("%d of %d messages arrived, %d exchanges open", m.arrived, m.sent, len(m.held))
		}
	}
	m.to.ping()
	if got := m.b.Stats(); got.Queued != 0 || got.DroppedQueue != 0 {
		m.t.Errorf("%d messages queued, %d dropped", got.Queued, got.DroppedQueue)
	}
}
