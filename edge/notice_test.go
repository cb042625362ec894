package edge

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestNoticesAreBounded(t *testing.T) {
	var n notices
	now := time.Now()
	count := func(what string, clients int, now time.Time) (said int) {
		for range 3 {
			for i := range clients {
				if n.first(fmt.Sprint(what, i), now) {
					said++
				}
			}
		}
		return said
	}
	for _, c := range []struct {
		name, what string
		clients    int
		now        time.Time
		want       int
	}{
		{"once for each client", "denied", 5, now, 5},
		{"and for each thing", "refused", 5, now, 5},
		{"not again", "denied", 5, now.Add(noticeEvery - 1), 0},
		{"an hour later", "denied", 5, now.Add(noticeEvery), 5},
		{"a flood", "denied", 10 * noticeMost, now.Add(2 * noticeEvery), noticeMost},
	} {
		if got := count(c.what, c.clients, c.now); got != c.want {
			t.Errorf("%s: got %d lines, want %d", c.name, got, c.want)
		}
	}
}

// lockedText is a log that is read while it is written.
type lockedText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// The log tells whoever sets a device up why it is not let in or not heard.
func TestLogSaysWhoIsTurnedAway(t *testing.T) {
	users := usersFileOf(t, "[[user]]\nname = \"lamp\"\npassword = \""+cheapHash("pw")+"\"\npublish = [\"ok\"]\n")
	var log lockedText
	b := startBroker(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))}, func(c *Config) {
		c.Access.UsersFile = users
		c.Listeners[0].Anonymous = false
	})
	for _, opts := range [][]option{{version(4)}, {version(4), user("lamp", "hunter2")}} {
		p := dial(t, b)
		p.write(connectPacket("c1", opts...))
		p.ended()
	}
	long := strings.Repeat("x", 1000)
	p := connect(t, b, "c2", user("lamp", "pw"), version(5))
	for range 2 {
		p.publish(long, "", 1)
	}
	p.subscribe(sub{filter: "secret/#"})
	until(t, "the log", func() bool { return strings.Contains(log.String(), "secret/#") })
	for _, want := range []string{
		`msg="client refused" component=edge client=c1 user="" endpoint=127.0.0.1 err="neither a password nor`,
		`msg="client refused" component=edge client=c1 user=lamp endpoint=127.0.0.1 err="wrong user name or password"`,
		`msg="publish denied by the permissions" component=edge client=c2 user=lamp topic=` + long[:noticeText] + "...",
		`msg="subscription denied by the permissions" component=edge client=c2 user=lamp topic=secret/#`,
	} {
		if got := strings.Count(log.String(), want); got != 1 {
			t.Errorf("got it %d times, want once: %s\n%s", got, want, &log)
		}
	}
	if strings.Contains(log.String(), "hunter2") {
		t.Error("the log has a password")
	}
}

// A session whose queue overflows is named, and so is the way out of it.
func TestLogSaysWhoseQueueIsFull(t *testing.T) {
	var log lockedText
	b := startBroker(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))}, func(c *Config) { c.Session.Queue = 3 })
	p := connect(t, b, "away", version(5), expiry(100))
	p.subscribe(sub{filter: "a", qos: 1})
	p.bye()
	until(t, "away", func() bool { return b.Stats().Connected == 0 })
	from := connect(t, b, "from", version(5))
	for range 10 {
		from.publish("a", "x", 1)
	}
	const want = `msg="queue full, the newest messages are dropped" component=edge client=away`
	until(t, "the log", func() bool { return strings.Contains(log.String(), want) })
	if got := strings.Count(log.String(), want); got != 1 {
		t.Errorf("got the line %d times, want once", got)
	}
}

func TestLogSaysThatConnectionsAreTooMany(t *testing.T) {
	var log lockedText
	b := startBroker(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))}, func(c *Config) { c.Limits.Connections = 1 })
	connect(t, b, "first")
	dial(t, b).ended()
	until(t, "the log", func() bool {
		return strings.Contains(log.String(), "too many (edge.limits or the limits of its listener)")
	})
}

func TestLogSaysThatNobodyIsLetIn(t *testing.T) {
	for _, anonymous := range []bool{false, true} {
		var log lockedText
		startBroker(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))}, func(c *Config) { c.Listeners[0].Anonymous = anonymous })
		if got, want := strings.Contains(log.String(), "nobody is let in"), !anonymous; got != want {
			t.Errorf("anonymous = %v: got the warning: %v, want %v", anonymous, got, want)
		}
	}
}
