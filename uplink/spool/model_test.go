package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// model drives a spool by hand, without goroutines, against a plain account
// of what was pushed, settled and received. Time is the accepted stamps'.
type model struct {
	t       *testing.T
	r       *rand.Rand
	dir     string
	epoch   uint64
	links   int
	s       *Spool
	up      []bool
	flights [][]*Entry // by link, in order of sending
	pushed  []pushed
	arrived map[string]int // topic -> the largest n that arrived first
	ids     map[[2]uint64]int
	dups    int
	clock   time.Time
	wrong   bool            // counts may be
	sick    map[string]bool // topics that the cloud refuses
	back    int
	held    []map[string]bool // by link
	dead    int
	tight   bool // the disk: what waits for it stays in RAM
}

type pushed struct {
	topic    string
	settled  bool
	reason   byte
	arrivals int
	life     uint64 // epoch
}

// Settle makes the model the owner of all tickets.
func (m *model) Settle(id uint64, reason byte) {
	p := &m.pushed[id]
	if p.settled {
		m.t.Fatalf("message %d was settled twice", id)
	}
	p.settled, p.reason = true, reason
}

func newModel(t *testing.T, seed uint64, tight bool) *model {
	m := &model{t: t, tight: tight, r: rand.New(rand.NewPCG(seed, 1)), dir: t.TempDir(), arrived: make(map[string]int),
		ids: make(map[[2]uint64]int), sick: make(map[string]bool), clock: time.Now().Add(-time.Hour)}
	m.start()
	return m
}

func smallConfig() Config {
	cfg := DefaultConfig()
	cfg.MaxAge = 0
	return cfg
}

func (m *model) start() {
	m.epoch++
	m.links = 1 + m.r.IntN(3)
	if m.r.IntN(3) > 0 {
		m.links = 2
	}
	cfg := smallConfig()
	if m.tight {
		cfg.Normal.Overflow, cfg.Bulk.Overflow = Reject, Reject
	}
	s, err := New(cfg, Options{Dir: m.dir, Links: m.links, Epoch: m.epoch, Wall: noClock, Link: m.linkOf})
	if err != nil {
		m.t.Fatal(err)
	}
	s.disk.fileSize = 64 << 10
	if m.tight {
		s.cfg.MaxDisk = diskMargin + 256<<10
	}
	m.s = s
	m.flights = make([][]*Entry, m.links)
	m.up = make([]bool, m.links)
	m.held = make([]map[string]bool, m.links)
	for i := range m.up {
		m.up[i] = true
		m.held[i] = make(map[string]bool)
	}
	for range m.r.IntN(5) { // some come before the directory is loaded
		m.push()
	}
	if err := s.disk.acquire(); err != nil {
		m.t.Fatal(err)
	}
	if !s.load(m.t.Context()) {
		m.t.Fatal("not loaded")
	}
	m.check()
}

func (m *model) push() {
	n := len(m.pushed)
	topic := fmt.Sprintf("t/%d", m.r.IntN(12))
	m.clock = m.clock.Add(time.Millisecond)
	payload := binary.BigEndian.AppendUint32(make([]byte, 0, 200), uint32(n))
	payload = append(payload, make([]byte, m.r.IntN(300))...)
	if m.r.IntN(50) == 0 {
		payload = append(payload, make([]byte, 10000)...)
	}
	msg := &Message{Topic: topic, Payload: payload, QoS: 1, Accepted: m.clock, From: "d"}
	m.pushed = append(m.pushed, pushed{topic: topic, life: m.epoch})
	m.s.Push(m.linkOf(topic), Class(bucketOf(topic)/7%3), msg, Ticket{m, uint64(n)})
}

func (m *model) linkOf(topic string) int { return int(bucketOf(topic)) % m.links }

// arrive is the cloud receiving a message.
func (m *model) arrive(e *Entry) {
	n := int(binary.BigEndian.Uint32(e.Msg.Payload))
	p := &m.pushed[n]
	id := [2]uint64{e.Epoch, e.Seq}
	if old, ok := m.ids[id]; ok && old != n {
		m.t.Fatalf("id %v belongs to %d and %d", id, old, n)
	}
	m.ids[id] = n
	if e.Msg.Topic != p.topic || e.Epoch != p.life {
		m.t.Fatalf("message %d came as %q of epoch %d, want %q of %d", n, e.Msg.Topic, e.Epoch, p.topic, p.life)
	}
	p.arrivals++
	if p.arrivals > 1 {
		m.dups++
		return
	}
	if last, ok := m.arrived[p.topic]; ok && n < last {
		m.t.Fatalf("topic %s: %d arrives after %d", p.topic, n, last)
	}
	m.arrived[p.topic] = n
}

func (m *model) take(link, n int) int {
	if !m.up[link] {
		return 0
	}
	room := min(n, 40-len(m.flights[link]))
	got := m.s.Take(link, nil, room, 1<<uint(6+m.r.IntN(12)))
	if room > 0 && len(got) > room {
		m.t.Fatalf("took %d of %d", len(got), room)
	}
	for _, e := range got {
		if m.sick[e.Msg.Topic] || m.held[link][e.Msg.Topic] {
			m.returned(link, e)
			continue
		}
		m.flights[link] = append(m.flights[link], e)
		if m.r.IntN(20) == 0 { // the connection breaks: the rest is sent later
			m.up[link] = false
			m.s.Online(link, false)
		}
		if m.up[link] {
			m.arrive(e)
		}
	}
	return len(got)
}

func (m *model) ack(link int, any bool) {
	f := m.flights[link]
	if !m.up[link] || len(f) == 0 {
		return
	}
	i := 0
	if any {
		i = m.r.IntN(len(f))
	}
	e := f[i]
	m.flights[link] = append(f[:i:i], f[i+1:]...)
	m.s.Ack(e)
}

// online reconnects a link, which sends again what it has in flight.
func (m *model) online(link int) {
	if m.up[link] {
		return
	}
	m.up[link] = true
	m.s.Online(link, true)
	flights := m.flights[link]
	m.flights[link] = nil
	for _, e := range flights {
		if m.held[link][e.Msg.Topic] {
			m.s.Return(e)
			continue
		}
		m.flights[link] = append(m.flights[link], e)
		m.arrive(e)
	}
}

// returned holds the topic of e back, from now on, and e first of all.
func (m *model) returned(link int, e *Entry) {
	if !m.held[link][e.Msg.Topic] {
		m.held[link][e.Msg.Topic] = true
		m.s.Hold(link, m.holds(link))
	}
	m.s.Return(e)
	m.back++
}

func (m *model) holds(link int) func(Class, string) bool {
	if len(m.held[link]) == 0 {
		return nil
	}
	held := maps.Clone(m.held[link])
	return func(_ Class, topic string) bool { return held[topic] }
}

// hold has one more topic wait. What is in flight of it stays there.
func (m *model) hold(link int) {
	m.held[link][fmt.Sprintf("t/%d", m.r.IntN(12))] = true
	m.s.Hold(link, m.holds(link))
}

// refuse has the cloud refuse for good what it got.
func (m *model) refuse(link int) {
	f := m.flights[link]
	if !m.up[link] || len(f) == 0 {
		return
	}
	i := m.r.IntN(len(f))
	e := f[i]
	m.flights[link] = append(f[:i:i], f[i+1:]...)
	m.s.Refuse(e, 0x87)
	m.dead++
}

// decide has some of the dead letters sent again, or drops them.
func (m *model) decide(again bool) {
	some := uint64(1 + m.r.IntN(3))
	if _, err := takeOut(m.dir, again, func(id ID) bool { return id.Seq%some == 0 }); err != nil {
		m.t.Fatal(err)
	}
	m.s.graves.empty = m.s.graves.empty && !again
}

// release lets one topic go, or all.
func (m *model) release(link int, all bool) {
	for topic := range m.held[link] {
		delete(m.held[link], topic)
		if !all {
			break
		}
	}
	m.s.Release(link, m.holds(link))
}

// sicken has the cloud refuse a topic, or take it again.
func (m *model) sicken() {
	topic := fmt.Sprintf("t/%d", m.r.IntN(12))
	if m.sick[topic] = !m.sick[topic]; !m.sick[topic] {
		delete(m.sick, topic)
	}
}

func (m *model) write() {
	// Everything accepted up to some moment of the last 40 is due.
	cut := m.clock.Add(-time.Duration(m.r.IntN(40)) * time.Millisecond)
	m.s.spill = time.Since(cut)
	m.s.along = m.s.spill
	if _, err := m.s.write(); err != nil {
		m.t.Fatal(err)
	}
}

// breakDisk has the next commit fail at some point: when it writes, when it
// syncs, or, for all the committer knows, when it was already on disk.
func (m *model) breakDisk() {
	f := m.s.disk.active
	if f == nil {
		return
	}
	switch m.r.IntN(3) {
	case 0:
		putUnder(m.t, f, "/dev/full")
	case 1:
		putUnder(m.t, f, "/dev/null")
	case 2:
		segments := m.s.collect()
		for _, seg := range segments {
			for _, e := range m.s.pending[seg.start:seg.end] {
				m.s.encode(seg.st, e, m.clock, 0)
			}
		}
		f, _, err := m.s.disk.writable(0)
		if err != nil {
			m.t.Fatal(err)
		}
		_, err = f.append(&m.s.batchBuf) // which may fail: it may be broken already
		m.s.disk.abandon(f, errors.Join(err, errors.New("made up")))
		m.s.giveUp(segments)
		m.s.batchBuf.reset()
	}
}

// putUnder replaces what f's descriptor refers to.
func putUnder(t *testing.T, f *file, device string) {
	t.Helper()
	d, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := unix.Dup3(int(d.Fd()), int(f.handle.Fd()), unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
}

func (m *model) crash() {
	if err := m.s.disk.close(); err != nil {
		m.t.Fatal(err)
	}
	m.start()
}

func (m *model) restart() {
	if err := m.s.shutdown(); err != nil {
		m.t.Fatal(err)
	}
	for i, p := range m.pushed {
		if !p.settled && p.life == m.epoch && !m.tight {
			m.t.Fatalf("message %d is not settled after a clean stop", i)
		}
	}
	m.start()
}

// miscount makes a count wrong. A bucket may claim too much, never too little:
// that would let a message pass others of its topic.
func (m *model) miscount() {
	all := m.s.every()
	st := all[m.r.IntN(len(all))]
	if st.read == st.stored {
		return // the counts are right from here on
	}
	st.unsent += m.r.IntN(200) - 100
	n := m.r.IntN(5)
	st.buckets[bucketOf(fmt.Sprintf("t/%d", m.r.IntN(12)))] += uint32(n)
	st.backlog += n
}

func (m *model) check() {
	for _, st := range m.s.every() {
		if m.wrong && st.read < st.stored {
			continue
		}
		sum := 0
		for _, n := range st.buckets {
			sum += int(n)
		}
		if sum != st.backlog || st.backlog != st.unsent+st.behind.n && !(m.wrong && st.passed != 0) {
			m.t.Fatalf("%v: buckets %d, backlog %d, unsent %d, behind %d", st.key, sum, st.backlog, st.unsent, st.behind.n)
		}
		if st.read > st.stored || st.read == st.stored && st.passed == 0 && st.unsent != st.ahead.n {
			m.t.Fatalf("%v: read %d, stored %d, unsent %d", st.key, st.read, st.stored, st.unsent)
		}
	}
}

// drain has everything sent and acknowledged.
func (m *model) drain() {
	clear(m.sick)
	for l := range m.links {
		m.release(l, true)
	}
	for idle := 0; idle < 3; {
		idle++
		m.write() // what was refused, and what of it is sent again
		for l := range m.links {
			m.online(l)
			for m.take(l, 10) > 0 {
				idle = 0
			}
			for len(m.flights[l]) > 0 {
				m.online(l)
				m.ack(l, true)
				idle = 0
			}
		}
	}
}

func (m *model) finish() {
	m.drain()
	for n, p := range m.pushed {
		if p.arrivals == 0 && (p.settled || p.life == m.epoch) {
			m.t.Errorf("message %d (epoch %d of %d) is lost", n, p.life, m.epoch)
		}
	}
	m.s.drainedAt = time.Now().Add(-time.Minute)
	m.write()
	if _, err := takeOut(m.dir, false, func(ID) bool { return true }); err != nil {
		m.t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(m.dir, "*")); len(left) > 0 {
		m.t.Errorf("files left after everything was acknowledged: %v", left)
	}
	st := m.s.Stats()
	for _, x := range st.Streams {
		if m.wrong {
			x.Dropped.Damaged = 0
		}
		x.Dropped.Refused = 0
		if x.Dropped != (Drops{}) || x.Waiting+x.InFlight+x.Stored != 0 || x.Disk != 0 {
			m.t.Errorf("at the end: %+v", x)
		}
	}
	if err := m.s.disk.close(); err != nil {
		m.t.Fatal(err)
	}
}

func TestModel(t *testing.T) {
	for seed := range uint64(120) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			m := newModel(t, seed, seed >= 100)
			m.wrong = seed%3 == 2
			refuses := seed >= 60
			decides := seed >= 80
			slow := m.r.IntN(2) == 0 // more comes than goes: a long backlog
			for range 1500 {
				link := m.r.IntN(m.links)
				switch x := m.r.IntN(100); {
				case refuses && m.r.IntN(30) == 0:
					m.sicken()
				case refuses && m.r.IntN(20) == 0:
					m.release(link, m.r.IntN(3) == 0)
				case decides && m.r.IntN(30) == 0:
					m.refuse(link)
				case decides && m.r.IntN(100) == 0:
					m.decide(m.r.IntN(3) > 0)
				case decides && m.r.IntN(30) == 0:
					m.hold(link)
				case x < 50:
					m.push()
				case x < 65 && (!slow || m.r.IntN(4) == 0):
					m.take(link, 1+m.r.IntN(20))
				case x < 88:
					m.ack(link, m.r.IntN(2) == 0)
				case x < 93:
					m.write()
				case x < 95:
					m.up[link] = false
					m.s.Online(link, false)
				case x < 97:
					m.online(link)
				case x == 97 && m.wrong && m.r.IntN(2) == 0:
					m.miscount()
				case x == 97 && m.r.IntN(2) == 0:
					m.breakDisk()
				case x == 98 && m.r.IntN(4) == 0:
					m.crash()
				case x == 99 && m.r.IntN(4) == 0:
					m.restart()
				}
				m.check()
			}
			m.finish()
			t.Logf("%d messages, %d duplicates, %d starts, %d returned, %d refused", len(m.pushed), m.dups, m.epoch, m.back, m.dead)
		})
	}
}
