package edge

import (
	"testing"
	"time"
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
		{number: 2, id: "one too many", expiry: time.Hour, left: time.Hour, subs: []savedSub{{"$share/g/t", 1, nil}}, will: &savedWill{time.Hour, *of("will")}, queue: []savedDelivery{waits}},
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
		{number: 1, id: "p", expiry: time.Hour, subs: []savedSub{{"$share/g/t", 1, nil}}, will: &savedWill{time.Hour, *of("will")}, queue: []savedDelivery{waits}},
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

// A clean stop under connected clients publishes no wills. Whoever has a will
// with a delay and a session that stays must be back within the delay after the
// restart [MQTT 5, 3.1.2.5].
func TestWillsOfThoseConnectedAtAStop(t *testing.T) {
	dir := t.TempDir()
	b, stop := startIn(t, dir)
	for id, delay := range map[string]uint32{"stays away": 1, "comes back": 3600, "waits": 3600, "no delay": 0} {
		connect(t, b, id, resume(), expiry(7200), willOf("will/"+id, "x", 1, true, delay))
	}
	connect(t, b, "no session", willOf("will/no session", "x", 1, true, 3600))
	stop()
	if got := b.Stats().Wills; got != 0 {
		t.Errorf("%d wills published at the stop", got)
	}

	b, stop = startIn(t, dir)
	connect(t, b, "comes back", resume(), expiry(7200)).bye()
	until(t, "one will is published", func() bool { return b.Stats().Wills == 1 })
	s := connect(t, b, "s")
	s.subscribe(sub{filter: "will/#", qos: 1})
	s.message("will/stays away", "x")
	s.nothing()
	for id, want := range map[string]bool{"waits": true, "comes back": false, "no delay": false} {
		if c, _ := b.Client(id); (c.Will != nil) != want {
			t.Errorf("%s: will %+v, want one: %v", id, c.Will, want)
		}
	}
	stop()
}
