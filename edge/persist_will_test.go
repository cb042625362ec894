package edge

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
	"go.etcd.io/bbolt"

	"tidegate/internal/conf"
)

// A will that waits for its delay is published after a restart too, unless its
// client comes back first [MQTT 5, 3.1.2.5]; who may not publish it any more
// has none.
func TestDelayedWillsAcrossRestart(t *testing.T) {
	dir := t.TempDir()
	b, stop := startIn(t, dir)
	s := connect(t, b, "s", resume(), expiry(3600))
	s.subscribe(sub{filter: "will/#", qos: 1})
	s.bye()
	for id, delay := range map[string]uint32{"gone": 3, "late": 3600, "back": 3600} {
		p := connect(t, b, id, resume(), expiry(7200), willOf("will/"+id, "x", 2, true, delay))
		p.nc.Close()
	}
	until(t, "all are away", func() bool { return b.Stats().Connected == 0 })
	stop()

	b, stop = startIn(t, dir)
	connect(t, b, "back", resume(), expiry(7200)).bye()
	until(t, "one will is published", func() bool { return b.Stats().Wills == 1 })
	s = connect(t, b, "s", resume(), expiry(3600))
	s.message("will/gone", "x")
	s.nothing()
	s.bye()
	stop()

	b, _ = startIn(t, dir)
	if got := b.Stats(); got.Retained != 1 || got.Wills != 0 {
		t.Errorf("%d retained, %d wills, want will/gone alone, and none", got.Retained, got.Wills)
	}
	for id, want := range map[string]bool{"gone": false, "late": true, "back": false} {
		b.mu.Lock()
		w := b.seats[id].sess.will
		b.mu.Unlock()
		if (w != nil) != want {
			t.Errorf("%s: will %v, want one: %v", id, w, want)
		}
		if w != nil && (!w.msg.Retain || w.msg.QoS != 2 || w.msg.From != id || !w.allowed(w.grant)) {
			t.Errorf("%s: will %+v", id, w.msg)
		}
	}
}

// A session that is one too many after a restart leaves its will, and to another
// member of a shared subscription what it had not been sent.
func TestTooManyAtTheStart(t *testing.T) {
	dir := t.TempDir()
	b := listenIn(t, dir, func(c *Config) { c.Session.Sessions = 1 })
	of := func(topic string) *Message {
		return &Message{Topic: topic, Payload: []byte("x"), QoS: 1, Retain: topic == "will"}
	}
	waits := savedDelivery{m: of("t"), qos: 1, shared: "$share/g/t"}
	b.restore([]*savedSession{
		{number: 1, id: "kept", expiry: time.Hour, left: time.Hour, subs: []savedSub{{"$share/g/t", 1, nil}}},
		{number: 2, id: "one too many", expiry: time.Hour, left: time.Hour, subs: []savedSub{{"$share/g/t", 1, nil}}, will: &savedWill{time.Hour, false, *of("will")}, queue: []savedDelivery{waits}},
	}, false, true)
	run(t, b)
	until(t, "the will is retained", func() bool { return b.Stats().Retained == 1 })
	if got := b.Stats().DroppedSessions; got != 1 {
		t.Errorf("%d sessions dropped, want 1", got)
	}
	kept := connect(t, b, "kept", resume(), expiry(3600))
	kept.message("t", "x")
	if dial(t, b).connect("one too many", resume(), expiry(3600)).SessionPresent {
		t.Error("the session is there")
	}
}

// A session whose time was over while the power was off leaves its will, and to
// another member of a shared subscription what it had not been sent.
func TestExpiredWhileOff(t *testing.T) {
	b := listenIn(t, t.TempDir())
	of := func(topic string) *Message {
		return &Message{Topic: topic, Payload: []byte("x"), QoS: 1, Retain: topic == "will"}
	}
	waits := savedDelivery{m: of("t"), qos: 1, shared: "$share/g/t"}
	b.restore([]*savedSession{
		{number: 1, id: "p", expiry: time.Hour, subs: []savedSub{{"$share/g/t", 1, nil}}, will: &savedWill{time.Hour, false, *of("will")}, queue: []savedDelivery{waits}},
		{number: 2, id: "other", expiry: time.Hour, left: time.Hour, subs: []savedSub{{"$share/g/t", 1, nil}}},
	}, false, true)
	run(t, b)
	until(t, "the will is retained", func() bool { return b.Stats().Retained == 1 })
	other := connect(t, b, "other", resume(), expiry(3600))
	other.message("t", "x")
	if dial(t, b).connect("p", resume(), expiry(3600)).SessionPresent {
		t.Error("the session is there")
	}
}

// withGrace sets how long clients may take to come back after a restart.
func withGrace(d time.Duration) func(*Config) {
	return func(c *Config) { c.Session.WillGrace = conf.Duration(d) }
}

// hurry makes the wills of those who are away due d earlier.
func hurry(b *Broker, d time.Duration) {
	for _, s := range b.sessions() {
		s.mu.Lock()
		if s.will != nil && s.conn.Load() == nil {
			sooner := *s.will
			sooner.due = sooner.due.Add(-d)
			s.will = &sooner
			if s.expiry == 0 {
				s.until = sooner.due
			}
		}
		s.mu.Unlock()
	}
}

// The wills of clients that a stop of the gateway has cut off are published after
// the restart [MQTT-3.1.2-8], when their delay is over, but for those of clients
// that are back within the grace, with their session or without.
func TestWillsOfThoseConnectedAtAStop(t *testing.T) {
	dir := t.TempDir()
	b, stop := startIn(t, dir)
	for id, delay := range map[string]uint32{"short delay": 60, "no delay": 0, "back": 0, "back afresh": 0, "long delay": 7000} {
		connect(t, b, id, resume(), expiry(8000), willOf("will/"+id, "x", 1, true, delay))
	}
	for _, id := range []string{"no session", "back without"} {
		connect(t, b, id, willOf("will/"+id, "x", 1, true, 3600)) // its session ends with the connection, and the delay
	}
	connect(t, b, "gone", willOf("will/gone", "x", 1, true, 0)).bye()
	stop()
	if got := b.Stats().Wills; got != 0 {
		t.Errorf("%d wills published at the stop", got)
	}

	b, stop = startIn(t, dir, withGrace(time.Hour))
	s := connect(t, b, "s")
	s.subscribe(sub{filter: "will/#", qos: 1})
	for id, present := range map[string]bool{"back": true, "back afresh": false, "back without": false} {
		opts := []option{resume(), expiry(8000)}
		if id == "back afresh" {
			opts = opts[1:]
		}
		p := dial(t, b)
		if got := p.connect(id, opts...).SessionPresent; got != present {
			t.Errorf("%s: session present %v, want %v", id, got, present)
		}
		p.bye()
	}
	for _, s := range b.sessions() {
		s.mu.Lock()
		if w := s.will; w != nil && (!w.shut || time.Until(w.due) < 30*time.Minute || s.expiry == 0 && s.until != w.due) {
			t.Errorf("%s: its will is due in %v, its session over in %v", s.id, time.Until(w.due), time.Until(s.until))
		}
		s.mu.Unlock()
	}
	s.nothing()
	hurry(b, 90*time.Minute)
	want := map[string]bool{"will/short delay": true, "will/no delay": true, "will/no session": true}
	for len(want) > 0 {
		pk := s.expect(packets.Publish)
		s.ack(packets.Puback, pk.PacketID)
		if !want[pk.TopicName] {
			t.Errorf("got the will %s", pk.TopicName)
		}
		delete(want, pk.TopicName)
	}
	s.nothing()
	s.bye()
	stop()

	b, _ = startIn(t, dir, withGrace(0))
	if got := b.Stats().Retained; got != 3 {
		t.Errorf("%d wills retained, want 3", got)
	}
	s = connect(t, b, "s")
	s.subscribe(sub{filter: "will/#", handle: 2})
	s.nothing()
	if c, _ := b.Client("long delay"); c.Will == nil {
		t.Error("the will with a long delay is gone")
	}
}

// The wills of clients that were connected for some time are on disk: after a power
// cut they are published, at once when there is no grace.
func TestWillsAfterAPowerCut(t *testing.T) {
	b := listenIn(t, t.TempDir(), every(20*time.Millisecond))
	b.store.keeper.steady = 0
	run(t, b)
	connect(t, b, "session", resume(), expiry(3600), willOf("will/session", "x", 1, true, 0))
	connect(t, b, "none", willOf("will/none", "x", 1, true, 0))
	gone := connect(t, b, "gone", willOf("will/gone", "x", 1, true, 0))
	until(t, "all are on disk", func() bool { return b.Stats().DiskSessions == 3 })
	gone.bye()
	until(t, "one has left the disk", func() bool { return b.Stats().DiskSessions == 2 })
	for _, grace := range []time.Duration{0, time.Hour} {
		dir := t.TempDir()
		if err := b.store.db.View(func(tx *bbolt.Tx) error { return tx.CopyFile(filepath.Join(dir, "edge.db"), 0o600) }); err != nil {
			t.Fatal(err)
		}
		after := listenIn(t, dir, withGrace(grace))
		for _, s := range after.sessions() {
			if s.will == nil || s.will.shut != (grace > 0) {
				t.Errorf("grace of %v: %s has the will %+v", grace, s.id, s.will)
			}
		}
		stop := run(t, after)
		if grace > 0 {
			connect(t, after, "none").bye()
			connect(t, after, "session").bye()
			until(t, "nobody has a session", func() bool { return len(after.sessions()) == 0 })
		} else {
			until(t, "the wills are published", func() bool { return after.Stats().Retained == 2 })
		}
		if got, want := after.Stats().Wills, map[bool]int64{true: 2}[grace == 0]; got != want {
			t.Errorf("grace of %v: %d wills, want %d", grace, got, want)
		}
		stop()
	}
}

// A client that has just come is not worth a commit for its will.
func TestWillIsNotWrittenAtOnce(t *testing.T) {
	b := startBroker(t, Options{Dir: t.TempDir()})
	connect(t, b, "p", willOf("will", "x", 1, true, 0))
	s := b.sessionWith("p")
	s.mu.Lock()
	defer s.mu.Unlock()
	for later, want := range map[time.Duration]bool{0: false, 2 * defaultSteady: true} {
		if got := b.store.keeper.will(s, s.conn.Load().came.Add(later)); (got != nil) != want {
			t.Errorf("after %v: will %+v, want one: %v", later, got, want)
		}
	}
}
