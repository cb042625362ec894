package edge

import (
	"crypto/tls"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

func TestClients(t *testing.T) {
	path := replaceFile(t, filepath.Join(t.TempDir(), "users.toml"), []byte("[anonymous]\npublish = [\"#\"]\nsubscribe = [\"#\"]\n"+entryOf("lamp", cheapHash("pw"), "#", "#")))
	b := startBroker(t, Options{}, func(c *Config) { c.Access.UsersFile = path })
	before := time.Now()
	a := connect(t, b, "a", user("lamp", "pw"), keepAlive(60), expiry(3600), willOf("gone/a", "bye", 1, true, 5), receiveMax(2))
	a.subscribe(sub{filter: "x/#", qos: 1}, sub{filter: "$share/g/y", qos: 2})
	old := connect(t, b, "b", version(4), resume())
	old.subscribe(sub{filter: "away", qos: 1})
	old.bye()
	until(t, "b is away", func() bool { return b.Stats().Connected == 1 })
	for range 3 {
		a.publish("away", "12345", 1)
	}
	for range 4 { // two are in flight, two wait
		b.Publish(&Message{Topic: "x/y", QoS: 1, Accepted: time.Now()}, Ticket{})
	}
	until(t, "all is counted", func() bool { c, _ := b.Client("a"); return c.Received == 3 && c.Queued == 2 })

	list := b.Clients()
	if len(list) != 2 || list[0].ID != "a" || list[1].ID != "b" {
		t.Fatalf("got %+v, want a and b", list)
	}
	for _, c := range list {
		if c.Since.Before(before) || c.Since.After(time.Now()) {
			t.Errorf("%s: got since %v, want after %v", c.ID, c.Since, before)
		}
	}
	bind := b.config().Listeners[0].Bind
	list[0].Since, list[1].Since = time.Time{}, time.Time{}
	want := Client{ID: "a", User: "lamp", Connected: true, Address: "127.0.0.1", Listener: bind, Protocol: "MQTT 5", Transport: "tcp",
		Received: 3, Sent: 2, Subscriptions: 2, Queued: 2, QueuedBytes: list[0].QueuedBytes}
	if list[0] != want || want.QueuedBytes == 0 {
		t.Errorf("got %+v, want %+v", list[0], want)
	}
	want = Client{ID: "b", Subscriptions: 1, Queued: 3, QueuedBytes: list[1].QueuedBytes}
	if list[1] != want || want.QueuedBytes == 0 {
		t.Errorf("got %+v, want %+v", list[1], want)
	}

	d, ok := b.Client("a")
	d.Client = Client{}
	detail := ClientDetail{
		Filters: []ClientFilter{{"$share/g/y", 2}, {"x/#", 1}}, KeepAlive: time.Minute, Expiry: time.Hour, InFlight: 2,
		Will: &ClientWill{Topic: "gone/a", PayloadSize: 3, QoS: 1, Retain: true, Delay: 5 * time.Second},
	}
	if !ok || !reflect.DeepEqual(d, detail) {
		t.Errorf("got %+v, %v, want %+v", d, ok, detail)
	}
	if _, ok := b.Client("nobody"); ok {
		t.Error("there is a client nobody")
	}
	a.nc.Close()
	until(t, "the will waits", func() bool { d, _ := b.Client("a"); return !d.Connected && d.Will != nil })
}

// A full queue's losses are told of the client that has it.
func TestClientDropped(t *testing.T) {
	b := startBroker(t, Options{}, func(c *Config) { c.Session.Queue = 2 })
	away := connect(t, b, "away", resume(), expiry(60))
	away.subscribe(sub{filter: "t", qos: 1})
	away.bye()
	until(t, "it is away", func() bool { return b.Stats().Connected == 0 })
	p := connect(t, b, "p")
	for range 5 {
		p.publish("t", "", 1)
	}
	if d, _ := b.Client("away"); d.Queued != 2 || d.Dropped != 3 {
		t.Fatalf("got %d queued, %d dropped, want 2 and 3", d.Queued, d.Dropped)
	}
}

func TestDisconnect(t *testing.T) {
	b := startBroker(t, Options{})
	watch := connect(t, b, "watch")
	watch.subscribe(sub{filter: "w/#"})
	for _, v := range []byte{4, 5} {
		id := fmt.Sprint("v", v)
		p := connect(t, b, id, version(v), resume(), willOf("w/"+id, "gone", 0, false, 0))
		p.subscribe(sub{filter: "x"})
		if !b.Disconnect(id) {
			t.Fatalf("%s was not connected", id)
		}
		want := -1 // MQTT 3.1.1 has no word for it
		if v == 5 {
			want = 0x98
		}
		if got := p.ended(); got != want {
			t.Errorf("%s: got reason %#x, want %#x", id, got, want)
		}
		watch.message("w/"+id, "gone")
	}
	until(t, "nobody else is connected", func() bool { return b.Stats().Connected == 1 })
	if b.Disconnect("v4") || b.Disconnect("nobody") {
		t.Error("who is not connected was disconnected")
	}
	if c, ok := b.Client("v4"); !ok || c.Connected || c.Subscriptions != 1 {
		t.Errorf("got %+v, %v, want the session of v4", c, ok)
	}
}

// A client that no one here wrote is shown, ended, and comes back by itself.
func TestClientsOfMosquitto(t *testing.T) {
	b := startBroker(t, Options{})
	at, port, err := net.SplitHostPort(b.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, exec.Command("stdbuf", "-oL", "mosquitto_sub", "-h", at, "-p", port, "-i", "sub", "-t", "t/#", "-q", "1", "-F", "MSG %t %p"))
	subscribed := func() bool { c, _ := b.Client("sub"); return c.Connected && c.Subscriptions == 1 }
	until(t, "it has subscribed", subscribed)
	first, _ := b.Client("sub")
	if first.Protocol != "MQTT 3.1.1" || first.KeepAlive != time.Minute {
		t.Errorf("got %+v", first)
	}
	b.Publish(&Message{Topic: "t/1", Payload: []byte("one"), QoS: 1, Accepted: time.Now()}, Ticket{})
	p.line(t, "MSG t/1 one")
	if !b.Disconnect("sub") {
		t.Fatal("it was not connected")
	}
	until(t, "it is back", func() bool { c, _ := b.Client("sub"); return subscribed() && c.Since.After(first.Since) })
	b.Publish(&Message{Topic: "t/2", Payload: []byte("two"), QoS: 1, Accepted: time.Now()}, Ticket{})
	p.line(t, "MSG t/2 two")
}

func TestTransport(t *testing.T) {
	for want, made := range map[string]*terms{
		"tcp":              {cfg: ListenerConfig{Bind: ":0"}},
		"unix":             {cfg: ListenerConfig{Bind: "unix:/x"}},
		"tls":              {cfg: ListenerConfig{Bind: ":0"}, tls: &tls.Config{}},
		"websocket":        {cfg: ListenerConfig{Bind: ":0"}, path: "/mqtt"},
		"secure websocket": {cfg: ListenerConfig{Bind: ":0"}, path: "/mqtt", tls: &tls.Config{}},
	} {
		if got := made.transport(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestTopics(t *testing.T) {
	b := startBroker(t, Options{}, func(c *Config) { c.SysInterval = 0 })
	p := connect(t, b, "p")
	p.subscribe(sub{filter: "only/subscribed"}, sub{filter: "home/+/state"}, sub{filter: "#"})
	for _, topic := range []string{"home", "home/hall/state", "home/hall/power", "home/attic/state", "/slash", "z"} {
		b.Publish(&Message{Topic: topic, Payload: []byte("1"), Retain: true, Accepted: time.Now()}, Ticket{})
	}
	type level struct {
		topic, name string
		children    int
		retained    bool
	}
	for prefix, want := range map[string][]level{
		"":           {{"", "", 1, false}, {"home", "home", 2, true}, {"z", "z", 0, true}},
		"/":          {{"/slash", "slash", 0, true}},
		"home/":      {{"home/attic", "attic", 1, false}, {"home/hall", "hall", 2, false}},
		"home/hall/": {{"home/hall/power", "power", 0, true}, {"home/hall/state", "state", 0, true}},
		"only/":      nil,
		"nothing/":   nil,
	} {
		list, total := b.Topics(prefix, 100)
		var got []level
		for _, l := range list {
			got = append(got, level{l.Topic, l.Name, l.Children, l.Retained != nil})
			if l.Retained != nil && l.Retained.Topic != l.Topic {
				t.Errorf("%s: the message of %s", l.Topic, l.Retained.Topic)
			}
		}
		if total != len(want) || !reflect.DeepEqual(got, want) {
			t.Errorf("below %q: got %v, want %v", prefix, got, want)
		}
	}
	if list, total := b.Topics("", 2); len(list) != 2 || total != 3 {
		t.Errorf("got %d of %d, want 2 of 3", len(list), total)
	}
}
