package edge

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"tidegate/internal/conf"
)

// A dashboard made for Mosquitto finds every topic here, in the same form: a real
// Mosquitto's are asked for.
func TestSysIsMosquittos(t *testing.T) {
	theirs, ours := mosquittosSys(t), map[string]string{}
	b := startBroker(t, Options{Version: "v1"}, func(c *Config) { c.SysInterval = conf.Duration(time.Second) })
	p := connect(t, b, "p")
	p.subscribe(sub{filter: "$SYS/#"})
	p.publish("a", "x", 0) // so that something changes
	for end := time.Now().Add(time.Minute); len(ours) < len(theirs) && time.Now().Before(end); {
		takeSys(t, p, ours)
	}
	for name, text := range theirs {
		mine, here := ours[name]
		if !here || sysForm(mine) != sysForm(text) && name != "$SYS/broker/version" {
			t.Errorf("%s: Mosquitto says %q, we say %q", name, text, mine)
		}
	}
	for name, text := range ours {
		if _, there := theirs[name]; !there {
			t.Errorf("%s: %q: Mosquitto has no such topic", name, text)
		}
	}
	if got := ours["$SYS/broker/version"]; got != "tidegate v1" {
		t.Errorf("version: got %q", got)
	}
}

// mosquittosSys returns what a Mosquitto has below $SYS once it has named nothing
// new for some seconds.
func mosquittosSys(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	config := replaceFile(t, filepath.Join(dir, "conf"), fmt.Appendf(nil, "listener 0 %s\nallow_anonymous true\nsys_interval 1\nuser root\n", socket))
	if _, err := exec.LookPath("mosquitto"); err != nil {
		t.Fatalf("%v; install it with: make setup (apt install mosquitto)", err)
	}
	start(t, exec.Command("mosquitto", "-c", config))
	var nc net.Conn
	until(t, "Mosquitto listens", func() bool {
		var err error
		nc, err = net.Dial("unix", socket)
		return err == nil
	})
	p := newPeer(t, nc)
	p.connect("p")
	p.subscribe(sub{filter: "$SYS/#"})
	all := map[string]string{}
	for last := time.Now(); time.Since(last) < 3*time.Second; {
		before := len(all)
		if takeSys(t, p, all); len(all) > before {
			last = time.Now()
		}
	}
	if len(all) < 40 {
		t.Fatalf("got %d topics of Mosquitto", len(all))
	}
	return all
}

// takeSys reads one message.
func takeSys(t *testing.T, p *peer, into map[string]string) {
	t.Helper()
	pk, err := p.read(2 * time.Second)
	if err == nil && pk.FixedHeader.Type == packets.Publish {
		into[pk.TopicName] = string(pk.Payload)
	}
}

var digits = regexp.MustCompile(`[0-9]+`)

func sysForm(s string) string {
	whole, cents, is := strings.Cut(s, ".")
	if is {
		return digits.ReplaceAllString(whole, "N") + "." + strings.Repeat("n", len(cents))
	}
	return digits.ReplaceAllString(s, "N")
}

// sysRetained returns what is retained below $SYS.
func sysRetained(b *Broker) map[string]string {
	all := map[string]string{}
	for _, n := range b.trie.retainedFor(sysRoot + "#") {
		if m := n.retained.Load(); m != nil {
			all[strings.TrimPrefix(m.Topic, sysRoot)] = string(m.Payload)
		}
	}
	return all
}

func noSys(c *Config) { c.SysInterval = 0 }

// The numbers are those of what has happened.
func TestSysNumbers(t *testing.T) {
	b := startBroker(t, Options{}, noSys)
	var tree sysTree
	now := time.Now()
	b.tellSys(&tree, now, 10*time.Second)
	p, away := connect(t, b, "p"), connect(t, b, "away", resume(), expiry(3600))
	away.subscribe(sub{filter: "q", qos: 1}, sub{filter: "$share/g/x"})
	away.bye()
	p.subscribe(sub{filter: "a"})
	p.write(publishPacket("a", "four", 1, 100))
	p.expect(packets.Publish)
	p.expect(packets.Puback)
	p.publish("q", "waits", 1)
	p.publish("kept", "1", 1, asRetained())
	p.ping()
	until(t, "all is counted", func() bool { return b.Stats().Connected == 1 && b.Stats().PacketsReceived >= 9 })
	b.tellSys(&tree, now.Add(10*time.Second), 10*time.Second) // a new round
	b.tellSys(&tree, now.Add(20*time.Second), 10*time.Second) // which is over
	got := sysRetained(b)
	for name, want := range map[string]string{
		"uptime": "10 seconds", "clients/total": "2", "clients/connected": "1", "clients/active": "1", "clients/disconnected": "1", "clients/inactive": "1",
		"clients/maximum": "1", "clients/expired": "0", "subscriptions/count": "2", "shared_subscriptions/count": "1", "retained messages/count": "1",
		"messages/stored": "2", "store/messages/count": "2", "publish/messages/received": "3", "publish/messages/sent": "1",
		"publish/bytes/received": "10", "publish/bytes/sent": "4", "publish/messages/dropped": "0",
		// CONNECT twice, SUBSCRIBE twice, DISCONNECT, PUBLISH thrice, PINGREQ
		"messages/received": "9",
		// CONNACK twice, SUBACK twice, PUBACK thrice, PUBLISH, PINGRESP
		"messages/sent": "9",
		// 9 in ten seconds are 54 a minute, of which a part of 1-exp(-1/6) counts
		"load/messages/received/1min": "8.29", "load/connections/1min": "1.84", "load/sockets/15min": "0.13", "load/publish/received/5min": "0.59",
	} {
		if got[name] != want {
			t.Errorf("%s: got %q, want %q", name, got[name], want)
		}
	}
	if len(got) != len(sysTopics) {
		t.Errorf("got %d topics, want %d", len(got), len(sysTopics))
	}
	b.tellSys(&tree, now.Add(20*time.Second), 0)
	if got := sysRetained(b); len(got) > 0 {
		t.Errorf("switched off: got %v", got)
	}
	if got := b.Stats(); got.Received != 3 || got.Retained != 1 {
		t.Errorf("got %d received, %d retained: $SYS must not count", got.Received, got.Retained)
	}
}

// What has not changed is not told, and what has comes a few at a time.
func TestSysHasNoBurst(t *testing.T) {
	b := startBroker(t, Options{Dir: t.TempDir()}, noSys)
	var tree sysTree
	now := time.Now()
	b.tellSys(&tree, now, 10*time.Second)
	p := connect(t, b, "p")
	p.subscribe(sub{filter: "$SYS/#"})
	if n := p.drain(); n != len(sysTopics) {
		t.Fatalf("got %d retained, want %d", n, len(sysTopics))
	}
	all := 0
	for i := range 40 { // the second of two rounds tells of the first
		b.tellSys(&tree, now.Add(time.Duration(i+1)*500*time.Millisecond), 10*time.Second)
		b.Flush()
		n := p.drain()
		if most := len(sysTopics)/20 + 1; n > most {
			t.Errorf("step %d: got %d messages, want at most %d", i, n, most)
		}
		all += n
	}
	if all < 10 || all > 2*len(sysTopics)-20 {
		t.Errorf("got %d messages in two rounds of %d topics", all, len(sysTopics))
	}
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	if len(b.store.rows) > 0 {
		t.Errorf("%d of them go to disk", len(b.store.rows))
	}
}

// $SYS needs a permission of its own, which "#" is not.
func TestSysPermission(t *testing.T) {
	hash := cheapHash("pw")
	users := usersFileOf(t, entryOf("all", hash, "#", "#")+entryOf("sys", hash, "$SYS/#", "$SYS/broker/#"))
	b := startBroker(t, Options{}, func(c *Config) { c.Access.UsersFile = users })
	all, sys := connect(t, b, "all", user("all", "pw")), connect(t, b, "sys", user("sys", "pw"))
	if got := all.subscribe(sub{filter: "#"}, sub{filter: "$SYS/#"}, sub{filter: "$SYS/broker/uptime"}, sub{filter: "$share/g/$SYS/#"}); string(got) != "\x00\x87\x87\x87" {
		t.Errorf("user of #: got %x", got)
	}
	all.nothing()
	if got := sys.subscribe(sub{filter: "$SYS/#"}, sub{filter: "$SYS/broker/version"}); string(got) != "\x87\x00" {
		t.Errorf("user of $SYS/broker/#: got %x", got)
	}
	sys.message("$SYS/broker/version", "tidegate ")
	for _, topic := range []string{"$SYS/broker/version", "$SYS/x", "$SYS"} {
		if got := sys.publish(topic, "x", 1); got != 0x87 {
			t.Errorf("publishing %s: got %#x, want 0x87", topic, got)
		}
	}
}

// A round costs next to nothing, with a thousand clients too.
func BenchmarkSysRound(b *testing.B) {
	broker := startBroker(b, Options{}, noSys)
	for i := range 1000 {
		connect(b, broker, fmt.Sprint(i))
	}
	var tree sysTree
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(10 * time.Second)
		broker.tellSys(&tree, now, 10*time.Second)
	}
}
