package edge

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
	"go.etcd.io/bbolt"
)

// The time of a session does not run while its client is connected, whatever
// the clock says when the power comes back; and a client that leaves for a
// moment costs no commit.
func TestExpiryOnDisk(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Listeners = []ListenerConfig{{Bind: "127.0.0.1:0", Anonymous: true}}
	b, err := New(cfg, Options{Dir: t.TempDir()})
	if err == nil {
		err = b.open()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer b.store.close()
	wall := time.Now()
	b.store.clock = func() (time.Time, bool) { return wall, true }
	s := newSession(b, "c")
	s.expiry = time.Hour
	b.seats["c"] = &seat{sess: s}
	for _, c := range []struct {
		what   string
		away   time.Duration // 0: connected
		writes bool
		left   time.Duration // after three hours without power
		soon   time.Duration // after a quarter of an hour
	}{
		{"connected", 0, true, time.Hour, time.Hour},
		{"just away", time.Minute, false, time.Hour, time.Hour},
		{"away", 20 * time.Minute, true, 0, 25 * time.Minute},
		{"back", 0, true, time.Hour, time.Hour},
	} {
		if s.conn.Store(nil); c.away == 0 {
			s.conn.Store(&conn{})
		}
		s.until = time.Now().Add(s.expiry - c.away)
		before := b.store.snapshot().Commits
		mustWrite(t, b.store)
		if got := b.store.snapshot().Commits > before; got != c.writes {
			t.Errorf("%s: written %v, want %v", c.what, got, c.writes)
		}
		for later, want := range map[time.Duration]time.Duration{3 * time.Hour: c.left, 15 * time.Minute: c.soon} {
			if got := storedLeft(t, b.store, wall.Add(later)); got > want || got < want-time.Minute {
				t.Errorf("%s: %v left after %v without power, want %v", c.what, got, later, want)
			}
		}
	}
}

// storedLeft returns the time that the only session on disk has left.
func storedLeft(t *testing.T, s *store, now time.Time) (left time.Duration) {
	t.Helper()
	err := s.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(sessionBucket).ForEach(func(key, row []byte) error {
			v, err := decodeSession(key, row, now, true)
			if err == nil {
				left = v.left
			}
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return left
}

// Sessions are judged by the permissions that hold when the broker starts, as at
// a reload.
func TestSessionsJudgedAtStart(t *testing.T) {
	entry := func(name, filter string) string {
		return "[[user]]\nname = \"" + name + "\"\npassword = \"" + cheapHash("pw") + "\"\npublish = [\"#\"]\nsubscribe = [\"" + filter + "\"]\n"
	}
	users := filepath.Join(t.TempDir(), "users.toml")
	replaceFile(t, users, []byte(entry("ann", "#")+entry("bob", "#")+entry("eve", "#")))
	with := func(c *Config) { c.Access.UsersFile = users }
	dir := t.TempDir()
	b, stop := startIn(t, dir, with)
	for _, name := range []string{"ann", "bob", "eve"} {
		p := connect(t, b, name, user(name, "pw"), resume(), expiry(3600))
		p.subscribe(sub{filter: "a/#", qos: 1})
		p.bye()
	}
	stop()
	replaceFile(t, users, []byte(entry("ann", "#")+entry("bob", "b/#")))
	b, _ = startIn(t, dir, with)
	if got := b.Stats().Sessions; got != 1 {
		t.Errorf("%d sessions, want ann's alone", got)
	}
	p := dial(t, b)
	if !p.connect("ann", user("ann", "pw"), resume(), expiry(3600)).SessionPresent {
		t.Error("ann's session is gone")
	}
}

// A queued message is older after a restart by the time since it was written down,
// and is not sent when its time was over by then.
func TestQueuedMessagesAgeOverARestart(t *testing.T) {
	dir := t.TempDir()
	b, stop := startIn(t, dir, every(20*time.Millisecond))
	s := connect(t, b, "s", resume(), expiry(3600))
	s.subscribe(sub{filter: "t", qos: 1})
	s.bye()
	for _, m := range []Message{{Expiry: 50, Payload: []byte("short")}, {Expiry: 100, Payload: []byte("long")}} {
		before := b.Stats().DiskQueued
		m.Topic, m.QoS, m.Accepted = "t", 1, time.Now()
		b.Publish(&m, Ticket{})
		until(t, "it is written", func() bool { return b.Stats().DiskQueued > before })
	}
	away := b.sessionWith("s")
	away.mu.Lock()
	for i := range away.out.n { // a minute passes
		m := away.out.at(i).m
		m.Accepted = m.Accepted.Add(-time.Minute)
	}
	away.mu.Unlock()
	stop()

	b, _ = startIn(t, dir)
	s = connect(t, b, "s", resume(), expiry(3600))
	if left := s.message("t", "long").Properties.MessageExpiryInterval; left == 0 || left > 40 {
		t.Errorf("got %d s left, want 40 at most", left)
	}
	s.nothing()
}

// What was sent before its time was over is sent again after restarts, until it
// is acknowledged [MQTT-4.3.3-7, MQTT-4.4.0-1]; what was not is deleted
// [MQTT-3.3.2-5].
func TestWhatWasSentOutlivesItsExpiry(t *testing.T) {
	dir := t.TempDir()
	b, stop := startIn(t, dir)
	s := connect(t, b, "s", resume(), expiry(3600), receiveMax(2))
	s.subscribe(sub{filter: "t", qos: 2})
	p := connect(t, b, "p")
	for i, payload := range []string{"at least once", "exactly once", "too late"} {
		p.publish("t", payload, byte(1+i%2), func(pk *packets.Packet) { pk.Properties.MessageExpiryInterval = 1000 })
	}
	sent := []*packets.Packet{s.expect(packets.Publish), s.expect(packets.Publish)}
	for range 2 {
		here := b.sessionWith("s")
		here.mu.Lock()
		for i := range here.out.n { // two thousand seconds pass
			d := here.out.at(i)
			older := *d.m
			older.Accepted = older.Accepted.Add(-2000 * time.Second)
			d.m = &older
		}
		here.mu.Unlock()
		stop()
		b, stop = startIn(t, dir)
	}
	s = connect(t, b, "s", resume(), expiry(3600), receiveMax(2))
	for _, first := range sent {
		pk := s.message("t", string(first.Payload))
		if pk.PacketID != first.PacketID || !pk.FixedHeader.Dup || pk.FixedHeader.Qos != first.FixedHeader.Qos {
			t.Errorf("%s: packet id %d, DUP %v, QoS %d, want %d again", first.Payload, pk.PacketID, pk.FixedHeader.Dup, pk.FixedHeader.Qos, first.PacketID)
		}
	}
	s.nothing()
	if got := b.Stats(); got.Queued != 0 || got.QueuedBytes != 0 {
		t.Errorf("%d messages queued, %d bytes", got.Queued, got.QueuedBytes)
	}
}

// The place of a message that was over at a restart is not the place of the next
// one: that is written, and there after another restart.
func TestQueueGoesOnAfterWhatExpired(t *testing.T) {
	dir := t.TempDir()
	b, stop := startIn(t, dir, every(20*time.Millisecond))
	s := connect(t, b, "s", resume(), expiry(3600))
	s.subscribe(sub{filter: "t", qos: 1})
	s.bye()
	b.Publish(&Message{Topic: "t", Payload: []byte("short"), QoS: 1, Expiry: 100, Accepted: time.Now().Add(-50 * time.Second)}, Ticket{})
	until(t, "it is written", func() bool { return b.Stats().DiskQueued > 0 })
	away := b.sessionWith("s")
	away.mu.Lock()
	older := *away.out.at(0).m
	older.Accepted = older.Accepted.Add(-time.Minute)
	away.out.at(0).m = &older
	away.mu.Unlock()
	stop()
	b, stop = startIn(t, dir)
	connect(t, b, "p").publish("t", "next", 1)
	stop()
	b, _ = startIn(t, dir)
	s = connect(t, b, "s", resume(), expiry(3600))
	s.message("t", "next")
	s.nothing()
}

// A session whose time is over at a clean stop is not there after it.
func TestSessionOverAtAStop(t *testing.T) {
	dir := t.TempDir()
	b, stop := startIn(t, dir)
	connect(t, b, "s", resume(), expiry(3600)).bye()
	stop()
	s := b.sessionWith("s")
	s.until = time.Now().Add(-time.Second)
	k := &keeper{kept: map[*session]*keptSession{}, seed: b.seed, last: true}
	room := int64(0)
	if c, _, ok := k.compare(s, keptSession{number: 1}, time.Now(), &room); !ok || c.row.left != 0 {
		t.Errorf("kept %v, with %v left", ok, c.row.left)
	}
	s.until = time.Time{} // its client is coming back
	if c, _, ok := k.compare(s, keptSession{number: 1}, time.Now(), &room); !ok || c.row.left != time.Hour {
		t.Errorf("coming back: kept %v, with %v left", ok, c.row.left)
	}
}
