package edge

import (
	"fmt"
	"path/filepath"
	"testing"
)

// entryOf is an entry of a users file.
func entryOf(name, hash, publish, subscribe string) string {
	return fmt.Sprintf("[[user]]\nname = %q\npassword = %q\npublish = [%q]\nsubscribe = [%q]\n", name, hash, publish, subscribe)
}

// A reload cuts those who may not be here any more, and no others; these have
// the permissions of now.
func TestReloadOfPermissions(t *testing.T) {
	hash, other := cheapHash("pw"), cheapHash("pw2")
	path := replaceFile(t, filepath.Join(t.TempDir(), "users.toml"), []byte("[anonymous]\nsubscribe = [\"p/#\"]\n"+
		entryOf("same", hash, "a", "a")+entryOf("less", hash, "a", "a")+entryOf("more", hash, "a", "a")+
		entryOf("gone", hash, "w", "a")+entryOf("changed", hash, "a", "a")+entryOf("unread", hash, "a", "a/#")))
	b := startBroker(t, Options{}, func(c *Config) { c.Access.UsersFile = path })
	peers := map[string]*peer{"": connect(t, b, "nobody")}
	for _, name := range []string{"same", "less", "more", "gone", "changed", "unread"} {
		peers[name] = connect(t, b, name, user(name, "pw"), willOf("w", name, 0, true, 0))
	}
	peers["unread"].subscribe(sub{filter: "a/b"})
	for _, name := range []string{"same", "less"} {
		if got := peers[name].publish("a", "", 1); got >= 0x80 {
			t.Fatalf("%s: reason %#x", name, got)
		}
	}
	replaceFile(t, path, []byte("[anonymous]\nsubscribe = [\"q/#\"]\n"+entryOf("same", hash, "a", "a")+entryOf("less", hash, "x", "a")+
		entryOf("more", hash, "+", "#")+entryOf("changed", other, "a", "a")+entryOf("unread", hash, "a", "a")))
	before := b.access.Load().verifier
	if err := b.Reload(*b.config()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"gone", "changed", "unread"} {
		if got := peers[name].ended(); got != 0x87 {
			t.Errorf("%s: got reason %#x, want 0x87", name, got)
		}
	}
	for name, want := range map[string]byte{"same": 0, "less": 0x87, "more": 0} {
		if got := peers[name].publish("a", "", 1); got != want && got != want|0x10 {
			t.Errorf("%s: publish: got %#x, want %#x", name, got, want)
		}
	}
	if got := peers["more"].subscribe(sub{filter: "#", qos: 1}); got[0] != 1 {
		t.Errorf("a new permission to subscribe: got %#x", got)
	}
	if got := peers[""].subscribe(sub{filter: "p/x"}, sub{filter: "q/x"}); got[0] != 0x87 || got[1] != 0 {
		t.Errorf("anonymous: got %#x", got)
	}
	until(t, "three and one are left", func() bool { return b.Stats().Connected == 4 })
	if b.Stats().Retained != 0 {
		t.Error("the will of a user who is gone was published")
	}
	if v := b.access.Load().verifier; v != before || len(v.good) == 0 {
		t.Error("what was verified is forgotten")
	}
}

// A listener that no longer admits anonymous clients keeps none.
func TestReloadOfAnonymous(t *testing.T) {
	b := startBroker(t, Options{})
	p := connect(t, b, "p")
	cfg := *b.config()
	cfg.Listeners = []ListenerConfig{{Bind: cfg.Listeners[0].Bind}}
	if err := b.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	if got := p.ended(); got != 0x87 {
		t.Fatalf("got reason %#x, want 0x87", got)
	}
}

// Whoever has logged in but not joined when a reload takes away its user is not
// left behind.
func TestReloadWhileConnecting(t *testing.T) {
	hash := cheapHash("pw")
	path := replaceFile(t, filepath.Join(t.TempDir(), "users.toml"), []byte(entryOf("u", hash, "a", "a")))
	b := startBroker(t, Options{}, func(c *Config) { c.Access.UsersFile = path })
	place := b.sit("c")
	place.attach.Lock()
	p := dial(t, b)
	p.v = 5
	p.write(connectPacket("c", user("u", "pw")))
	until(t, "it waits to join", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return place.users == 2
	})
	replaceFile(t, path, []byte(entryOf("v", hash, "a", "a")))
	if err := b.Reload(*b.config()); err != nil {
		t.Fatal(err)
	}
	place.attach.Unlock()
	b.stand("c", place)
	if got := p.ended(); got != 0x87 {
		t.Fatalf("got reason %#x, want 0x87", got)
	}
}

// A lower limit of unacknowledged messages holds for who connects later: the
// others were promised the old one.
func TestReloadKeepsTheReceiveMaximum(t *testing.T) {
	up := &uplink{}
	b := startBroker(t, Options{Forward: up.forward})
	p := connect(t, b, "p")
	cfg := *b.config()
	cfg.Limits.Unacknowledged = 1
	if err := b.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		p.write(publishPacket("t", "x", 1, uint16(i+1)))
	}
	p.ping()
	ack := dial(t, b).connect("r")
	if ack.Properties.ReceiveMaximum != 1 {
		t.Fatalf("got Receive Maximum %d, want 1", ack.Properties.ReceiveMaximum)
	}
}

// What waits for a client that is away is judged at a reload too: a session whose
// user is gone, or may not have its subscriptions any more, ends, and its will is
// not published; that of another user stays, with the permissions of now.
func TestReloadOfThoseAway(t *testing.T) {
	hash := cheapHash("pw")
	path := replaceFile(t, filepath.Join(t.TempDir(), "users.toml"), []byte("[anonymous]\nsubscribe = [\"a\"]\n"+entryOf("same", hash, "w/+", "a")+
		entryOf("gone", hash, "w/+", "a")+entryOf("unread", hash, "w/+", "a")+entryOf("willless", hash, "w/+", "a")+entryOf("cut", hash, "w/+", "a")))
	b := startBroker(t, Options{}, func(c *Config) { c.Access.UsersFile = path })
	names := []string{"", "same", "gone", "unread", "willless", "cut"}
	peers := map[string]*peer{}
	for _, name := range names {
		opts := []option{resume(), expiry(3600)}
		if name != "" {
			opts = append(opts, user(name, "pw"), willOf("w/"+name, name, 1, true, 1))
		}
		peers[name] = connect(t, b, "id-"+name, opts...)
		peers[name].subscribe(sub{filter: "a", qos: 1})
		if name != "cut" {
			peers[name].nc.Close()
		}
	}
	until(t, "they are away", func() bool { return b.Stats().Connected == 1 })
	replaceFile(t, path, []byte("[anonymous]\nsubscribe = [\"b\"]\n"+entryOf("same", hash, "w/+", "a")+entryOf("unread", hash, "x", "b")+entryOf("willless", hash, "x", "a")+
		entryOf("cut", hash, "x", "b")))
	if err := b.Reload(*b.config()); err != nil {
		t.Fatal(err)
	}
	if got := peers["cut"].ended(); got != 0x87 {
		t.Errorf("got reason %#x, want 0x87", got)
	}
	until(t, "two sessions are left", func() bool { return b.Stats().Sessions == 2 })
	if got := b.Stats().Subscriptions; got != 2 {
		t.Errorf("got %d subscriptions, want 2", got)
	}
	until(t, "the one will that may be published is", func() bool { return b.Stats().Wills == 1 })
	until(t, "the others are denied", func() bool { return b.Stats().Denied == 4 })
	if memory := b.trie.retainedFor("w/+"); len(memory) != 1 || memory[0].level != "same" {
		t.Errorf("got %d wills retained", len(memory))
	}
	for name, want := range map[string]bool{"same": true, "willless": true, "unread": false} {
		p := dial(t, b)
		if got := p.connect("id-"+name, user(name, "pw"), resume()).SessionPresent; got != want {
			t.Errorf("%s: session present: got %v, want %v", name, got, want)
		}
	}
}

// What another users file says holds for the sessions on disk too.
func TestRestartWithOtherUsers(t *testing.T) {
	hash, dir := cheapHash("pw"), t.TempDir()
	path := replaceFile(t, filepath.Join(t.TempDir(), "users.toml"), []byte(entryOf("same", hash, "a", "a")+entryOf("gone", hash, "a", "a")+entryOf("unread", hash, "a", "a")))
	users := func(c *Config) { c.Access.UsersFile = path }
	b, stop := startIn(t, dir, users)
	for _, name := range []string{"same", "gone", "unread"} {
		connect(t, b, name, user(name, "pw"), resume(), expiry(3600)).subscribe(sub{filter: "a", qos: 1})
	}
	stop()
	replaceFile(t, path, []byte(entryOf("same", hash, "a", "a")+entryOf("unread", hash, "a", "b")))
	for range 2 {
		b, stop = startIn(t, dir, users)
		until(t, "one session is left", func() bool { return b.Stats().Sessions == 1 && b.Stats().Subscriptions == 1 })
		stop()
	}
}
