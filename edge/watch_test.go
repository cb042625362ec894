package edge

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// watched collects what a watcher sees.
type watched struct {
	mu   sync.Mutex // guards seen
	seen []string
	hold chan struct{} // nil: it does not wait
	stop func()        // ends it and waits
}

func (w *watched) list() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.seen)
}

// watch begins and waits until the broker knows of it.
func watch(t *testing.T, b *Broker, hold chan struct{}, filters ...string) *watched {
	t.Helper()
	w := &watched{hold: hold}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	gen := b.trie.gen.Load()
	done.Go(func() {
		b.Watch(ctx, filters, func(m *Message) {
			if w.hold != nil {
				<-w.hold
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			word := m.Topic + " " + string(m.Payload)
			if m.Retain {
				word += " retained"
			}
			w.seen = append(w.seen, word)
		})
	})
	w.stop = sync.OnceFunc(func() { cancel(); done.Wait() })
	t.Cleanup(w.stop)
	until(t, "the watcher is there", func() bool { return b.trie.gen.Load() > gen })
	return w
}

func (w *watched) expect(t *testing.T, want ...string) {
	t.Helper()
	until(t, fmt.Sprint("the watcher sees ", want), func() bool { return len(w.list()) >= len(want) })
	if got := w.list(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWatcherSeesWhatMatches(t *testing.T) {
	b := startBroker(t, Options{})
	p := connect(t, b, "p")
	p.publish("actuators/old/set", "ON", 1, asRetained())
	w := watch(t, b, nil, "actuators/+/set", "other")
	w.expect(t, "actuators/old/set ON retained")

	if got := p.publish("actuators/a/set", "1", 1); got != 0 {
		t.Errorf("a command that is watched: got reason %#x", got)
	}
	p.publish("actuators/a/state", "not for it", 1)
	p.publish("other", "2", 2)
	p.publish("actuators/b/set", "3", 1, asRetained())
	b.Publish(&Message{Topic: "actuators/c/set", Payload: []byte("4"), Accepted: time.Now(), QoS: 1}, Ticket{}) // from the cloud
	w.expect(t, "actuators/old/set ON retained", "actuators/a/set 1", "other 2", "actuators/b/set 3 retained", "actuators/c/set 4")

	if !b.Wanted("actuators/x/set") || b.Wanted("actuators/x/state") {
		t.Error("the cloud's commands are wanted when they are watched, and others not")
	}
	w.stop()
	if b.Wanted("actuators/x/set") {
		t.Error("wanted by nobody")
	}
	if got := p.publish("actuators/a/set", "5", 1); got != packets.CodeNoMatchingSubscribers.Code {
		t.Errorf("a command that is no longer watched: got reason %#x", got)
	}
	if got := w.list(); len(got) != 5 {
		t.Errorf("after its end it saw %q", got[5:])
	}
}

// A ticket of a command from the cloud is settled without the watcher's help.
func TestBusyWatcherHoldsNobodyUp(t *testing.T) {
	b := startBroker(t, Options{})
	hold := make(chan struct{})
	w := watch(t, b, hold, "cmd/#")
	s, p := connect(t, b, "s"), connect(t, b, "p")
	s.subscribe(sub{filter: "cmd/#", qos: 0})
	p.publish("cmd/0", "x", 1) // this one it is busy with
	s.message("cmd/0", "x")
	until(t, "the watcher is busy", func() bool {
		b.trie.mu.RLock()
		defer b.trie.mu.RUnlock()
		w := b.trie.watchers[0]
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.queue) == 0
	})
	const more = watchQueue + 10
	for i := range more {
		topic := fmt.Sprint("cmd/", i+1)
		p.publish(topic, "x", 1)
		s.message(topic, "x")
	}
	if got := b.Stats().DroppedWatched; got != 10 {
		t.Errorf("got %d dropped, want 10", got)
	}
	close(hold)
	until(t, "the rest", func() bool { return len(w.list()) == 1+watchQueue })
	if got := w.list(); !strings.HasPrefix(got[1], "cmd/11 ") || !strings.HasPrefix(got[len(got)-1], fmt.Sprintf("cmd/%d ", more)) {
		t.Errorf("got %s to %s, want the newest, cmd/11 to cmd/%d", got[1], got[len(got)-1], more)
	}
}

// Who overhears is nobody to those who publish.
func TestOverhearingIsNotListening(t *testing.T) {
	b := startBroker(t, Options{})
	p := connect(t, b, "p")
	p.publish("cmd/old", "0", 1, asRetained())
	ctx, stop := context.WithCancel(context.Background())
	var mu sync.Mutex
	var got []string
	begun, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		b.Overhear(ctx, []string{"cmd/#"}, func(m *Message, _ int64) {
			mu.Lock()
			defer mu.Unlock()
			if m == nil {
				close(begun)
				return
			}
			got = append(got, m.Topic+" "+string(m.Payload))
		})
	}()
	<-begun
	if reason := p.publish("cmd/a", "1", 1); reason != packets.CodeNoMatchingSubscribers.Code || b.Wanted("cmd/a") {
		t.Errorf("got reason %#x, wanted %v: nobody but it is there", reason, b.Wanted("cmd/a"))
	}
	p.publish("other", "2", 1)
	p.publish("cmd/b", "3", 0)
	until(t, "two messages", func() bool { mu.Lock(); defer mu.Unlock(); return len(got) == 2 })
	if want := []string{"cmd/a 1", "cmd/b 3"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	stop()
	<-ended
	n := 0
	b.Retained("#", func(m *Message) bool { n++; return m.Topic == "cmd/old" })
	if n != 1 {
		t.Errorf("got %d retained messages, want 1", n)
	}
}

func TestWatcherEndsWhileItIsBusy(t *testing.T) {
	b := startBroker(t, Options{})
	hold := make(chan struct{})
	w := watch(t, b, hold, "cmd")
	p := connect(t, b, "p")
	p.publish("cmd", "1", 1)
	p.publish("cmd", "2", 1)
	ended := make(chan struct{})
	go func() { w.stop(); close(ended) }()
	close(hold)
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("it does not end")
	}
}

func TestMayPublishAsksThePermissions(t *testing.T) {
	users := usersFileOf(t, "[[user]]\nname = \"lamp\"\npassword = \""+cheapHash("pw")+"\"\npublish = [\"ok/#\", \"$SYS/#\"]\n")
	b := startBroker(t, Options{}, func(c *Config) { c.Access.UsersFile = users })
	p := connect(t, b, "c", user("lamp", "pw"), resume(), expiry(60))
	for topic, want := range map[string]bool{"ok/x": true, "other": false, "$SYS/x": false} {
		if got := b.MayPublish("c", topic); got != want {
			t.Errorf("%s: got %v", topic, got)
		}
	}
	if b.MayPublish("nobody", "ok/x") {
		t.Error("a client that is not there may publish")
	}
	p.bye()
	until(t, "the client is away", func() bool { return !b.MayPublish("c", "ok/x") })
}
