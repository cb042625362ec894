package edge

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// TestWills ends connections in every way and looks for the will.
func TestWills(t *testing.T) {
	ends := []struct {
		name string
		end  func(p *peer)
		want [2]bool // published, for 3.1.1 and 5
	}{
		{"DISCONNECT", func(p *peer) { p.raw([]byte{0xe0, 0}) }, [2]bool{false, false}},
		{"DISCONNECT 0x00", func(p *peer) { p.raw([]byte{0xe0, 1, 0}) }, [2]bool{true, false}}, // malformed before 5
		{"DISCONNECT with will", func(p *peer) { p.raw([]byte{0xe0, 1, 4}) }, [2]bool{true, true}},
		{"close", func(p *peer) { p.nc.Close() }, [2]bool{true, true}},
		{"malformed", func(p *peer) { p.raw([]byte{0x36, 3, 0, 1, 'a'}) }, [2]bool{true, true}},
		{"takeover", nil, [2]bool{true, true}},
	}
	b := startBroker(t, Options{})
	for _, e := range ends {
		for i, v := range []byte{4, 5} {
			t.Run(fmt.Sprintf("%s v%d", e.name, v), func(t *testing.T) {
				s := connect(t, b, "s")
				s.subscribe(sub{filter: "will/#", qos: 2})
				p := connect(t, b, "p", version(v), willOf("will/p", "", 1, false, 0))
				if e.end != nil {
					e.end(p)
					p.ended()
				} else {
					connect(t, b, "p", version(v)).bye()
				}
				until(t, "gone", func() bool { return b.Stats().Connections == 1 })
				if e.want[i] {
					if pk := s.message("will/p", ""); pk.FixedHeader.Qos != 1 {
						t.Fatalf("QoS %d", pk.FixedHeader.Qos)
					}
				}
				s.ping()
				s.bye()
			})
		}
	}
}

func TestWillDelay(t *testing.T) {
	b := startBroker(t, Options{})
	s := connect(t, b, "s")
	s.subscribe(sub{filter: "will/#", qos: 1})
	will := func(topic string, delay uint32) option { return willOf("will/"+topic, "x", 1, true, delay) }

	start := time.Now()
	connect(t, b, "delayed", resume(), expiry(100), will("delayed", 1)).nc.Close()
	s.message("will/delayed", "x")
	if d := time.Since(start); d < time.Second {
		t.Fatalf("published after %v", d)
	}

	start = time.Now()
	connect(t, b, "session ends", resume(), expiry(1), will("session", 1000)).nc.Close()
	s.message("will/session", "x")
	if d := time.Since(start); d < time.Second {
		t.Fatalf("published after %v", d)
	}

	connect(t, b, "no session", expiry(0), will("now", 1000)).nc.Close()
	s.message("will/now", "x")

	connect(t, b, "back", resume(), expiry(100), will("back", 3)).nc.Close()
	until(t, "gone", func() bool { return b.Stats().Connected == 1 })
	back := connect(t, b, "back", resume(), expiry(100))
	time.Sleep(3700 * time.Millisecond)
	s.ping()
	back.bye()

	connect(t, b, "clean", resume(), expiry(100), will("clean", 1000)).nc.Close()
	until(t, "gone", func() bool { return b.Stats().Connected == 1 })
	connect(t, b, "clean").bye() // a clean start ends the session
	s.message("will/clean", "x")

	late := connect(t, b, "late")
	late.subscribe(sub{filter: "will/now"})
	if pk := late.message("will/now", "x"); !pk.FixedHeader.Retain {
		t.Fatal("the will was not retained")
	}
}

func TestWillProperties(t *testing.T) {
	b := startBroker(t, Options{})
	s := connect(t, b, "s")
	s.subscribe(sub{filter: "will"})
	p := connect(t, b, "p", willOf("will", "x", 0, false, 0), func(pk *packets.Packet) {
		pk.Mods.AllowResponseInfo = true
		pk.Connect.WillProperties = packets.Properties{PayloadFormatFlag: true, PayloadFormat: 1, MessageExpiryInterval: 60, ContentType: "text", ResponseTopic: "answer",
			CorrelationData: []byte("id"), User: []packets.UserProperty{{Key: "b", Val: "1"}, {Key: "a", Val: "2"}}}
	})
	p.nc.Close()
	got := s.message("will", "x").Properties
	if !got.PayloadFormatFlag || got.PayloadFormat != 1 || got.MessageExpiryInterval != 60 || got.ContentType != "text" || got.ResponseTopic != "answer" ||
		string(got.CorrelationData) != "id" || fmt.Sprint(got.User) != "[{b 1} {a 2}]" {
		t.Fatalf("got %+v", got)
	}
}

func TestWillGoesToTheUplink(t *testing.T) {
	u := startUplink(t)
	connect(t, u.b, "p", willOf("up", "x", 2, false, 0)).nc.Close()
	until(t, "forwarded", func() bool { return u.count() == 1 })
	if m := u.messages[0]; m.From != "p" || m.QoS != 2 || u.tickets[0].Owner != nil {
		t.Fatalf("message %+v", m)
	}
}

func usersFileOf(t *testing.T, text string) string {
	path := filepath.Join(t.TempDir(), "users.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPermissions(t *testing.T) {
	users := usersFileOf(t, fmt.Sprintf(`
[[user]]
name = "lamp"
password = %q
publish = ["home/%%u/#"]
subscribe = ["home/%%u/#", "#"]
`, cheapHash("secret")))
	var seen []string
	b := startBroker(t, Options{Forward: func(m *Message, t Ticket) bool { seen = append(seen, m.Topic); return false }}, func(c *Config) {
		c.Listeners[0].Anonymous = false
		c.Access.UsersFile = users
	})
	for v, want := range map[byte][2]byte{4: {5, 4}, 5: {0x87, 0x86}} {
		if got := dial(t, b).connect("p", version(v)).ReasonCode; got != want[0] {
			t.Errorf("anonymous: reason %#x, want %#x", got, want[0])
		}
		if got := dial(t, b).connect("p", version(v), user("lamp", "wrong")).ReasonCode; got != want[1] {
			t.Errorf("wrong password: reason %#x, want %#x", got, want[1])
		}
	}
	for _, v := range []byte{4, 5} {
		p := connect(t, b, "p", version(v), user("lamp", "secret"), willOf("forbidden", "x", 1, true, 0))
		if got := p.subscribe(sub{filter: "home/lamp/set", qos: 1}, sub{filter: "home/other", qos: 1}, sub{filter: "$SYS/#"}); got[0] != 1 || got[2] < 0x80 {
			t.Errorf("SUBACK %x", got)
		}
		want := byte(0)
		if v == 5 {
			want = 0x87
		}
		for qos := byte(1); qos <= 2; qos++ {
			if got := p.publish("forbidden", "x", qos, asRetained()); got != want {
				t.Errorf("version %d QoS %d: reason %#x, want %#x", v, qos, got, want)
			}
		}
		p.publish("forbidden", "x", 0)
		p.publish("home/lamp/state", "x", 1)
		p.nc.Close()
		until(t, "gone", func() bool { return b.Stats().Connections == 0 })
	}
	if fmt.Sprint(seen) != "[home/lamp/state home/lamp/state]" {
		t.Fatalf("forwarded %v", seen)
	}
	if st := b.Stats(); st.Denied != 10 || st.LoginsFailed != 4 || st.Retained != 0 {
		t.Fatalf("denied %d, logins failed %d, retained %d", st.Denied, st.LoginsFailed, st.Retained)
	}
}
