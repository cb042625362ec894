package edge

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
	"go.etcd.io/bbolt"

	"tidegate/internal/boltpage"
	"tidegate/internal/conf"
)

// startIn runs a broker on a directory until the test ends or stop is called.
func startIn(t testing.TB, dir string, change ...func(*Config)) (b *Broker, stop func()) {
	t.Helper()
	b = listenIn(t, dir, change...)
	return b, run(t, b)
}

// listenIn makes a broker that is not run yet.
func listenIn(t testing.TB, dir string, change ...func(*Config)) *Broker {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Listeners = []ListenerConfig{{Bind: "127.0.0.1:0", Anonymous: true}}
	for _, f := range change {
		f(&cfg)
	}
	b, err := New(cfg, Options{Dir: dir, Checker: childChecker(t)})
	if err == nil {
		err = b.Listen()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func every(d time.Duration) func(*Config) {
	return func(c *Config) { c.SyncInterval = conf.Duration(d) }
}

// A clean stop keeps QoS 2 in every state, both ways, and goes on exactly once.
func TestCleanStopKeepsEveryState(t *testing.T) {
	dir := t.TempDir()
	b, stop := startIn(t, dir)
	s := connect(t, b, "s", resume(), expiry(3600), receiveMax(2))
	s.subscribe(sub{filter: "a/+", qos: 2, id: 7})
	from := connect(t, b, "from", resume(), expiry(3600))
	for i := range 4 {
		from.publish(fmt.Sprint("a/", i), "x", 2)
	}
	released, sent := s.expect(packets.Publish), s.expect(packets.Publish)
	s.ack(packets.Pubrec, released.PacketID)
	s.expect(packets.Pubrel)
	from.write(publishPacket("a/4", "x", 2, 99))
	from.expect(packets.Pubrec) // and no PUBREL
	stop()

	b, _ = startIn(t, dir)
	from = dial(t, b)
	if ack := from.connect("from", resume(), expiry(3600)); !ack.SessionPresent {
		t.Fatal("the publisher's session is gone")
	}
	from.write(publishPacket("a/4", "x", 2, 99))
	from.expect(packets.Pubrec)
	from.ack(packets.Pubrel, 99)
	from.expect(packets.Pubcomp)
	s = dial(t, b)
	if ack := s.connect("s", resume(), expiry(3600), receiveMax(2)); !ack.SessionPresent {
		t.Fatal("the subscriber's session is gone")
	}
	if got := s.expect(packets.Pubrel).PacketID; got != released.PacketID {
		t.Errorf("PUBREL of %d, want %d", got, released.PacketID)
	}
	s.ack(packets.Pubcomp, released.PacketID)
	for i := 1; i < 5; i++ {
		pk := s.message(fmt.Sprint("a/", i), "x")
		if i == 1 && (pk.PacketID != sent.PacketID || !pk.FixedHeader.Dup) {
			t.Errorf("packet id %d, DUP %v, want %d again", pk.PacketID, pk.FixedHeader.Dup, sent.PacketID)
		}
		if ids := pk.Properties.SubscriptionIdentifier; len(ids) != 1 || ids[0] != 7 {
			t.Errorf("a/%d: identifiers %v, want 7", i, ids)
		}
	}
	s.nothing()
}

// Messages that connected clients acknowledge promptly are never written.
func TestPromptTrafficWritesNothing(t *testing.T) {
	b := listenIn(t, t.TempDir(), every(20*time.Millisecond))
	b.store.keeper.youth = time.Hour // prompt on the slowest machine
	run(t, b)
	s := connect(t, b, "s", resume(), expiry(3600))
	s.subscribe(sub{filter: "a", qos: 2})
	from := connect(t, b, "from", resume(), expiry(3600))
	until(t, "both sessions are on disk", func() bool { return b.Stats().DiskSessions == 2 })
	settled := b.Stats().DiskCommits
	for i := range 300 {
		from.publish("a", fmt.Sprint(i), byte(1+i%2))
		s.message("a", fmt.Sprint(i))
	}
	if got := b.Stats(); got.DiskCommits != settled || got.DiskQueued != 0 {
		t.Errorf("%d commits for 300 messages, %d bytes queued on disk, want none", got.DiskCommits-settled, got.DiskQueued)
	}
}

// What does not fit into disk-bytes stays in RAM, is told, and is written when
// there is room again.
func TestDiskBytes(t *testing.T) {
	dir := t.TempDir()
	const most = 4 << 10
	b, stop := startIn(t, dir, every(20*time.Millisecond), func(c *Config) { c.Session.DiskBytes = most })
	s := connect(t, b, "s", resume(), expiry(3600), receiveMax(1))
	s.subscribe(sub{filter: "a", qos: 1})
	s.bye()
	from := connect(t, b, "from")
	payload := strings.Repeat("x", 500)
	for i := range 20 {
		from.publish("a", fmt.Sprint(payload, i), 1)
	}
	until(t, "the disk is full", func() bool { st := b.Stats(); return st.DiskUnsaved > 0 && st.DiskQueued > most/2 })
	if got := b.Stats(); got.DiskQueued > most || got.DroppedQueue > 0 {
		t.Errorf("got %d bytes on disk, %d dropped, want at most %d, none", got.DiskQueued, got.DroppedQueue, most)
	}
	s = connect(t, b, "s", resume(), expiry(3600))
	for i := range 20 {
		s.message("a", fmt.Sprint(payload, i))
	}
	until(t, "the disk is empty", func() bool { st := b.Stats(); return st.DiskUnsaved == 0 && st.DiskQueued == 0 })
	s.bye()
	from.publish("a", "last", 1)
	stop()
	b, _ = startIn(t, dir)
	s = connect(t, b, "s", resume(), expiry(3600))
	s.message("a", "last")
	s.nothing()
}

// A damaged edge.db gives back the sessions that can still be read, and they
// are written to the file that is begun afresh.
func TestSessionsOfADamagedFile(t *testing.T) {
	dir := t.TempDir()
	b, stop := startIn(t, dir)
	for i := range 60 {
		s := connect(t, b, fmt.Sprint("s", i), resume(), expiry(3600))
		s.subscribe(sub{filter: "a", qos: 1}, sub{filter: strings.Repeat("long/", 30), qos: 1})
		s.bye()
	}
	from := connect(t, b, "from")
	from.publish("a", "x", 1)
	from.publish("a", "y", 1)
	stop()
	damagePage(t, filepath.Join(dir, "edge.db"), sessionBucket)
	b, stop = startIn(t, dir)
	got := b.Stats()
	if got.Sessions < 10 || got.Sessions >= 60 || got.DiskDamaged != 1 {
		t.Fatalf("%d sessions are back, %d files set aside, want some and not all, and one", got.Sessions, got.DiskDamaged)
	}
	stop()
	b, _ = startIn(t, dir) // out of the new file
	whole := 0
	for i := range 60 {
		s := dial(t, b)
		if s.connect(fmt.Sprint("s", i), resume(), expiry(3600)).SessionPresent {
			s.message("a", "x")
			s.message("a", "y")
			whole++
		}
		s.nc.Close()
	}
	if whole != got.Sessions {
		t.Errorf("%d sessions with their queue, want %d", whole, got.Sessions)
	}
}

// damagePage writes noise over the first leaf of a bucket.
func damagePage(t *testing.T, path string, bucket []byte) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	var id uint64
	err = db.View(func(tx *bbolt.Tx) error { id = uint64(tx.Bucket(bucket).Root()); return nil })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for {
		p, err := boltpage.Read(bytes.NewReader(data), int64(len(data)), id)
		if err != nil {
			t.Fatal(err)
		}
		if p.Flags == boltpage.Leaf {
			break
		}
		_, id, _ = p.Child(0)
	}
	copy(data[id*dbPageSize:], bytes.Repeat([]byte("noise"), 800))
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A session that ended leaves the disk; so does one whose client began afresh.
func TestEndedSessionsLeaveTheDisk(t *testing.T) {
	dir := t.TempDir()
	b, stop := startIn(t, dir)
	for _, id := range []string{"ends", "afresh", "stays"} {
		s := connect(t, b, id, resume(), expiry(3600))
		s.subscribe(sub{filter: "a", qos: 1})
		s.bye()
	}
	connect(t, b, "from").publish("a", "x", 1)
	stop()
	b, stop = startIn(t, dir)
	connect(t, b, "ends").bye()
	connect(t, b, "afresh", expiry(3600)).bye()
	stop()
	b, _ = startIn(t, dir)
	for id, want := range map[string]bool{"ends": false, "afresh": true, "stays": true} {
		s := dial(t, b)
		if got := s.connect(id, resume(), expiry(3600)).SessionPresent; got != want {
			t.Errorf("%s: session present %v, want %v", id, got, want)
		}
		if id == "stays" {
			s.message("a", "x")
		}
		s.nothing()
	}
}

func TestQueuePolicy(t *testing.T) {
	for policy, want := range map[string][]string{dropNewest: {"0", "1", "2"}, dropOldest: {"7", "8", "9"}} {
		b, _ := startIn(t, t.TempDir(), func(c *Config) { c.Session.Queue, c.Session.QueuePolicy = 3, policy })
		s := connect(t, b, "s", resume(), expiry(3600), receiveMax(1))
		s.subscribe(sub{filter: "a", qos: 1})
		from := connect(t, b, "from")
		from.publish("a", "sent", 1)
		s.expect(packets.Publish)
		s.nc.Close()
		until(t, "s is away", func() bool { return b.Stats().Connected == 1 })
		for i := range 10 {
			from.publish("a", fmt.Sprint(i), 1)
		}
		if got := b.Stats().DroppedQueue; got != 7 {
			t.Errorf("%s: %d dropped, want 7", policy, got)
		}
		s = connect(t, b, "s", resume(), expiry(3600), receiveMax(1))
		for _, payload := range append([]string{"sent"}, want...) {
			s.message("a", payload)
		}
		s.nothing()
	}
}

// Rows that are not ours, or of newer software, are errors that say so.
func TestSessionRows(t *testing.T) {
	key := sessionKey(5)
	v := &savedSession{number: 5, id: "c", user: "u", expiry: time.Hour, left: time.Minute, states: []byte{1}, subs: []savedSub{{"a/#", 9, []uint32{3}}}}
	now := time.Unix(1_700_000_000, 0)
	row := encodeSession(key, v, now, true)
	for away, want := range map[time.Duration]time.Duration{20 * time.Second: 40 * time.Second, -time.Hour: time.Minute, time.Hour: 0} {
		if got, err := decodeSession(key, row, now.Add(away), true); err != nil || got.left != want || got.expiry != time.Hour {
			t.Errorf("away %v: got %+v, %v, want %v left", away, got, err, want)
		}
	}
	if got, err := decodeSession(key, row, now.Add(time.Hour), false); err != nil || got.left != time.Minute {
		t.Errorf("without a clock: got %+v, %v", got, err)
	}
	for i := range row {
		broken := append([]byte(nil), row...)
		broken[i] ^= 1
		if _, err := decodeSession(key, broken, now, true); err == nil {
			t.Errorf("byte %d flipped: no error", i)
		}
	}
	newer := append([]byte{sessionVersion + 1}, row[1:len(row)-rowTail]...)
	if _, err := decodeSession(key, seal(key, newer), now, true); err == nil {
		t.Error("a newer version: no error")
	}
}

// BenchmarkRestart opens edge.db with 10,000 sessions and 100,000 retained
// messages, after a clean stop.
func BenchmarkRestart(b *testing.B) {
	dir := b.TempDir()
	cfg := DefaultConfig()
	cfg.Listeners = []ListenerConfig{{Bind: "127.0.0.1:0", Anonymous: true}}
	cfg.Session.Sessions, cfg.Limits.Retained = 20_000, 200_000
	open := func() *Broker {
		br, err := New(cfg, Options{Dir: dir})
		if err == nil {
			err = br.open()
		}
		if err != nil {
			b.Fatal(err)
		}
		return br
	}
	br := open()
	for i := range 100_000 {
		br.retain(retained(fmt.Sprintf("home/room%d/sensor%d/value", i/100, i%100), "21.5 degrees"))
	}
	for i := range 10_000 {
		s := newSession(br, fmt.Sprint("device-", i))
		s.expiry, s.until, s.subs = time.Hour, time.Now().Add(time.Hour), map[string]*subscription{}
		for _, filter := range []string{fmt.Sprintf("device/%d/set", i), "all/+"} {
			sub := &subscription{s: s, filter: filter}
			sub.qos = 1
			s.subs[filter] = sub
		}
		br.seats[s.id] = &seat{sess: s}
	}
	br.store.keeper.last = true
	mustWrite(b, br.store)
	br.store.close()
	for b.Loop() {
		br := open()
		if got := br.Stats(); got.Sessions != 10_000 || got.Retained != 100_000 {
			b.Fatalf("got %d sessions, %d retained", got.Sessions, got.Retained)
		}
		b.StopTimer()
		br.store.close()
		b.StartTimer()
	}
}
