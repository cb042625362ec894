package edge

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// Who comes back with another's client id, or with fewer permissions than when
// it subscribed, gets a new session and nothing of what was queued.
func TestSessionsBelongToTheirUser(t *testing.T) {
	hash := cheapHash("pw")
	entry := func(name, filter string) string {
		return "[[user]]\nname = \"" + name + "\"\npassword = \"" + hash + "\"\npublish = [\"#\"]\nsubscribe = [\"" + filter + "\"]\n"
	}
	for _, c := range []struct {
		what, user, after string // after: the users file when the client comes back
		present           bool
	}{
		{"the same user", "ann", entry("ann", "a/#") + entry("bob", "#"), true},
		{"the same user with other rights that suffice", "ann", entry("ann", "#") + entry("bob", "#"), true},
		{"another user", "bob", entry("ann", "a/#") + entry("bob", "#"), false},
		{"the same user with fewer rights", "ann", entry("ann", "b/#") + entry("bob", "#"), false},
	} {
		t.Run(c.what, func(t *testing.T) {
			path := replaceFile(t, filepath.Join(t.TempDir(), "users.toml"), []byte(entry("ann", "a/#")+entry("bob", "#")))
			b := startBroker(t, Options{}, func(cfg *Config) { cfg.Access.UsersFile = path })
			p := connect(t, b, "dev", user("ann", "pw"), resume(), expiry(3600))
			if got := p.subscribe(sub{filter: "a/+", qos: 1}); got[0] != 1 {
				t.Fatalf("SUBACK: got %#x", got)
			}
			p.bye()
			from := connect(t, b, "from", user("bob", "pw"))
			from.publish("a/x", "for ann", 1)
			replaceFile(t, path, []byte(c.after))
			if err := b.Reload(*b.config()); err != nil {
				t.Fatal(err)
			}
			p = dial(t, b)
			if got := p.connect("dev", user(c.user, "pw"), resume(), expiry(3600)); got.ReasonCode != 0 || got.SessionPresent != c.present {
				t.Fatalf("CONNACK: got %#x, session present %v, want %v", got.ReasonCode, got.SessionPresent, c.present)
			}
			if c.present {
				p.message("a/x", "for ann")
			} else {
				p.nothing()
			}
			from.publish("a/y", "later", 0)
			if c.present {
				p.message("a/y", "later")
			} else {
				p.nothing()
			}
			p.bye()
			from.bye()
		})
	}
}

// A QoS 2 message that was sent is sent again, expired or not: the client may
// hold its packet id [MQTT-4.4.0-1].
func TestSentMessageOutlivesItsExpiry(t *testing.T) {
	b := startBroker(t, Options{})
	s := connect(t, b, "s", resume(), expiry(100))
	s.subscribe(sub{filter: "t", qos: 2})
	b.Publish(&Message{Topic: "t", Payload: []byte("x"), QoS: 2, Accepted: time.Now().Add(-time.Hour), Expiry: 3602}, Ticket{})
	b.Flush()
	id := s.expect(packets.Publish).PacketID
	s.nc.Close()
	time.Sleep(2100 * time.Millisecond)
	s = connect(t, b, "s", resume(), expiry(100))
	if again := s.message("t", "x"); again.PacketID != id || !again.FixedHeader.Dup {
		t.Fatalf("got packet id %d, DUP %v, want %d again", again.PacketID, again.FixedHeader.Dup, id)
	}
}

// A named user's client is not thrown off by another user who takes its client
// id; an anonymous one gives way.
func TestConnectedClientKeepsItsID(t *testing.T) {
	hash := cheapHash("pw")
	path := replaceFile(t, filepath.Join(t.TempDir(), "users.toml"), []byte(entryOf("ann", hash, "#", "#")+entryOf("bob", hash, "#", "#")))
	b := startBroker(t, Options{}, func(c *Config) { c.Access.UsersFile = path })
	ann := connect(t, b, "c", user("ann", "pw"))
	for v, want := range map[byte]byte{4: 2, 5: 0x85} {
		if got := dial(t, b).connect("c", version(v), user("bob", "pw")).ReasonCode; got != want {
			t.Errorf("version %d, another user: got %#x, want %#x", v, got, want)
		}
		if got := dial(t, b).connect("c", version(v)).ReasonCode; got != want {
			t.Errorf("version %d, nobody: got %#x, want %#x", v, got, want)
		}
	}
	ann.ping()
	connect(t, b, "c", user("ann", "pw"))
	if got := ann.ended(); got != 0x8e {
		t.Errorf("the same user: got %#x, want 0x8e", got)
	}
	nobody := connect(t, b, "d")
	connect(t, b, "d", user("bob", "pw"))
	if got := nobody.ended(); got != 0x8e {
		t.Errorf("taken from nobody: got %#x, want 0x8e", got)
	}
}

// A QoS 2 message that is refused when it is sent again frees its packet id:
// the next message with it is another one.
func TestRefusedAgainFreesThePacketID(t *testing.T) {
	hash := cheapHash("pw")
	path := replaceFile(t, filepath.Join(t.TempDir(), "users.toml"), []byte(entryOf("u", hash, "a", "a")))
	b := startBroker(t, Options{}, func(c *Config) { c.Access.UsersFile = path })
	p := connect(t, b, "p", user("u", "pw"), resume(), expiry(100))
	p.write(publishPacket("a", "x", 2, 1))
	p.expect(packets.Pubrec)
	replaceFile(t, path, []byte(entryOf("u", hash, "b", "b")))
	if err := b.Reload(*b.config()); err != nil {
		t.Fatal(err)
	}
	p.nc.Close()
	p = connect(t, b, "p", user("u", "pw"), resume(), expiry(100))
	p.write(publishPacket("a", "x", 2, 1))
	if got := p.expect(packets.Pubrec).ReasonCode; got != 0x87 {
		t.Fatalf("got %#x, want 0x87", got)
	}
	p.subscribe(sub{filter: "b"})
	p.write(publishPacket("b", "y", 2, 1))
	for {
		pk, err := p.read(patience)
		if err != nil {
			t.Fatalf("the next message is taken for the refused one: %v", err)
		}
		if pk.FixedHeader.Type == packets.Publish {
			break
		}
	}
}
