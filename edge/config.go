package edge

import (
	"cmp"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"tidegate/edge/internal/certs"
	"tidegate/internal/conf"
)

// Config is the section [edge].
type Config struct {
	// Listeners are the addresses where devices connect.
	Listeners []ListenerConfig `toml:"listener"`

	// Access says who may do what.
	Access AccessConfig `toml:"access"`

	// MDNS says what the home's network is told of the broker.
	MDNS MDNSConfig `toml:"mdns"`

	// SyncInterval is the time between two commits of retained messages and so
	// the most that a power cut takes from them. 100 topics that change every
	// second cost the card 42 MB a day at 1m with values of 20 bytes, 220 MB
	// with 1000; twice that at 30s.
	SyncInterval conf.Duration `toml:"sync-interval"`

	// SysInterval is the time in which every topic below $SYS is told anew, if it
	// has changed; 0: there are none.
	SysInterval conf.Duration `toml:"sys-interval"`

	Limits  LimitsConfig  `toml:"limits"`
	Session SessionConfig `toml:"session"`
}

// LimitsConfig bounds what clients can make the broker hold.
type LimitsConfig struct {
	Connections        int `toml:"connections"`
	ConnectionsPerAddr int `toml:"connections-per-address"`

	// ConnectTimeout is how long a client may take for TLS and CONNECT
	// together.
	ConnectTimeout conf.Duration `toml:"connect-timeout"`

	// MaxPacket is the largest packet accepted from a client.
	MaxPacket conf.Size `toml:"max-packet"`

	// WriteBuffer is the high-water mark of a connection: above it those who
	// publish to it pause while it makes progress.
	WriteBuffer conf.Size `toml:"write-buffer"`

	// StallAfter is how long publishers wait for a subscriber that takes
	// nothing; then nobody waits for it any more.
	StallAfter conf.Duration `toml:"stall-after"`

	// WriteTimeout is how long a connection may take nothing of what waits for
	// it before it is cut.
	WriteTimeout conf.Duration `toml:"write-timeout"`

	// MaxKeepAlive is the longest keep alive granted; a client that asks for
	// more, or for none, is told so (MQTT 5) or left alone (3.1.1). 0: any.
	MaxKeepAlive conf.Duration `toml:"max-keep-alive"`

	// Unacknowledged is how many QoS 1 and 2 messages of one client may wait
	// for their acknowledgement: the Receive Maximum of MQTT 5; a 3.1.1 client
	// is not read from until there is room.
	Unacknowledged int `toml:"unacknowledged"`

	// Memory bounds what clients make the broker hold besides retained messages
	// and queues: what is in flight to them or not read by them, packets that
	// are not all there yet, subscriptions, sessions, wills.
	Memory conf.Size `toml:"memory"`

	// Retained and RetainedBytes bound the retained messages.
	Retained      int       `toml:"retained"`
	RetainedBytes conf.Size `toml:"retained-bytes"`
}

// SessionConfig bounds the sessions of clients.
type SessionConfig struct {
	// MaxExpiry is the longest that a session is kept after its client has
	// gone; sessions of 3.1.1 clients without Clean Session get it.
	MaxExpiry conf.Duration `toml:"max-expiry"`

	// Sessions bounds the sessions kept for clients that are not connected.
	Sessions int `toml:"sessions"`

	// WillGrace is how long a client that was connected when the gateway went down
	// may take to come back before its will is published; 0: wills are published at
	// the start.
	WillGrace conf.Duration `toml:"will-grace"`

	// Subscriptions bounds those of one session.
	Subscriptions int `toml:"subscriptions"`

	// InFlight is how many QoS 1 and 2 messages are sent to a client before it
	// acknowledges; the client's Receive Maximum may be lower.
	InFlight int `toml:"in-flight"`

	// Queue and QueueBytes bound what waits for one client; AllQueueBytes what
	// waits for all. What exceeds them is dropped and counted: the newest
	// message, or with QueuePolicy "drop-oldest" those that wait for longest.
	Queue         int       `toml:"queue"`
	QueueBytes    conf.Size `toml:"queue-bytes"`
	AllQueueBytes conf.Size `toml:"all-queue-bytes"`
	QueuePolicy   string    `toml:"queue-policy"`

	// DiskBytes bounds the rows of queued messages in edge.db; what exceeds it
	// stays in RAM only.
	DiskBytes conf.Size `toml:"disk-bytes"`
}

// What a full queue drops.
const (
	dropNewest = "drop-newest"
	dropOldest = "drop-oldest"
)

// DefaultConfig returns what holds where the file says nothing: one listener
// on port 1883, which admits nobody until it allows anonymous clients or a
// users file is named.
func DefaultConfig() Config {
	return Config{
		Listeners:    []ListenerConfig{{Bind: ":1883"}},
		Access:       AccessConfig{FailuresPerMinute: 30},
		MDNS:         MDNSConfig{Enabled: true, Host: "tidegate"},
		SyncInterval: conf.Duration(time.Minute),
		SysInterval:  conf.Duration(10 * time.Second),
		Limits: LimitsConfig{
			Connections:        4000,
			ConnectionsPerAddr: 2000,
			ConnectTimeout:     conf.Duration(10 * time.Second),
			MaxPacket:          1 << 20,
			WriteBuffer:        256 << 10,
			StallAfter:         conf.Duration(time.Second),
			WriteTimeout:       conf.Duration(10 * time.Second),
			Unacknowledged:     1000,
			Memory:             96 << 20,
			Retained:           20_000,
			RetainedBytes:      32 << 20,
		},
		Session: SessionConfig{
			MaxExpiry:     conf.Duration(7 * 24 * time.Hour),
			Sessions:      5000,
			WillGrace:     conf.Duration(30 * time.Second),
			Subscriptions: 1000,
			InFlight:      1000,
			Queue:         10_000,
			QueueBytes:    8 << 20,
			AllQueueBytes: 64 << 20,
			QueuePolicy:   dropNewest,
			DiskBytes:     128 << 20,
		},
	}
}

// Check returns every problem of c.
func (c Config) Check() []conf.Problem {
	var problems []conf.Problem
	if len(c.Listeners) == 0 {
		problems = append(problems, conf.Problem{Key: "listener", Value: "none", Rule: "at least one [[edge.listener]]", Hint: `add one with bind = ":1883"`})
	}
	seen := map[string]int{}
	for i, l := range c.Listeners {
		at := fmt.Sprintf("listener[%d].", i)
		problems = append(problems, l.check(at)...)
		if first, ok := seen[l.Bind]; ok && !port0(l.Bind) {
			problems = append(problems, conf.Problem{Key: at + "bind", Value: strconv.Quote(l.Bind), Rule: "an address of its own", Hint: fmt.Sprintf("listener[%d] has the same", first)})
		}
		seen[l.Bind] = i
	}
	for _, p := range c.Access.Check() {
		p.Key = "access." + p.Key
		problems = append(problems, p)
	}
	for _, p := range c.MDNS.Check() {
		p.Key = "mdns." + p.Key
		problems = append(problems, p)
	}
	return append(problems, c.checkNumbers()...)
}

// CheckFiles returns every problem of the files that c names: certificates and
// the users file. Check does not look into them. With strict, a certificate that
// has expired is a problem too; the broker itself starts with it and warns.
func (c Config) CheckFiles(strict bool) []conf.Problem {
	var problems []conf.Problem
	for i, l := range c.Listeners {
		if l.Cert == "" || l.Key == "" {
			continue
		}
		_, err := certs.New(l.Cert, l.Key, l.ClientCA, slog.New(slog.DiscardHandler))
		if pair, e := certs.Pair(l.Cert, l.Key); strict && e == nil {
			err = cmp.Or(err, certs.Expired(l.Cert, pair))
		}
		if err != nil {
			problems = append(problems, conf.Problem{Key: fmt.Sprintf("listener[%d].cert", i), Value: strconv.Quote(l.Cert), Rule: "a certificate that can be used", Hint: err.Error()})
		}
	}
	if c.Access.UsersFile == "" || len(c.Access.Check()) > 0 {
		return problems
	}
	if _, err := readUsers(c.Access.UsersFile); err != nil {
		for line := range strings.Lines(err.Error()) {
			problems = append(problems, conf.Problem{Key: "access.users-file", Value: strconv.Quote(c.Access.UsersFile), Rule: "a users file without errors", Hint: strings.TrimSpace(line)})
		}
	}
	return problems
}

// checkNumbers holds every number against its range.
func (c Config) checkNumbers() []conf.Problem {
	var problems []conf.Problem
	num, size, span := ranges(&problems)
	span("sync-interval", c.SyncInterval, 10*time.Millisecond, 24*time.Hour)
	if c.SysInterval != 0 {
		span("sys-interval", c.SysInterval, time.Second, 24*time.Hour)
	}
	l := c.Limits
	num("limits.connections", l.Connections, 1, many)
	num("limits.connections-per-address", l.ConnectionsPerAddr, 1, many)
	span("limits.connect-timeout", l.ConnectTimeout, leastDeadline, 10*time.Minute)
	size("limits.max-packet", l.MaxPacket, leastPacket, mostPacket)
	size("limits.write-buffer", l.WriteBuffer, 4<<10, 64<<20)
	span("limits.stall-after", l.StallAfter, time.Millisecond, time.Minute)
	span("limits.write-timeout", l.WriteTimeout, 50*time.Millisecond, time.Hour)
	span("limits.max-keep-alive", l.MaxKeepAlive, 0, 65535*time.Second)
	num("limits.unacknowledged", l.Unacknowledged, 1, 65535)
	size("limits.memory", l.Memory, 1<<20, 1<<40)
	num("limits.retained", l.Retained, 0, many)
	size("limits.retained-bytes", l.RetainedBytes, 0, 1<<40)
	s := c.Session
	span("session.max-expiry", s.MaxExpiry, 0, 10*365*24*time.Hour)
	num("session.sessions", s.Sessions, 0, many)
	span("session.will-grace", s.WillGrace, 0, time.Hour)
	num("session.subscriptions", s.Subscriptions, 1, many)
	num("session.in-flight", s.InFlight, 1, 32767)
	num("session.queue", s.Queue, 1, many)
	size("session.queue-bytes", s.QueueBytes, 1, 1<<40)
	size("session.all-queue-bytes", s.AllQueueBytes, 1, 1<<40)
	size("session.disk-bytes", s.DiskBytes, 0, 1<<40)
	if s.QueuePolicy != dropNewest && s.QueuePolicy != dropOldest {
		problems = append(problems, conf.Problem{Key: "session.queue-policy", Value: strconv.Quote(s.QueuePolicy), Rule: `"drop-newest" or "drop-oldest"`})
	}
	return problems
}

// many is more than any number of things that a gateway has.
const many = 1_000_000

// ranges returns functions that add a problem for a value outside its range.
func ranges(problems *[]conf.Problem) (num func(key string, v, low, high int), size func(key string, v, low, high conf.Size), span func(key string, v conf.Duration, low, high time.Duration)) {
	outside := func(key, v string, low, high any) {
		*problems = append(*problems, conf.Problem{Key: key, Value: v, Rule: fmt.Sprintf("%v to %v", low, high)})
	}
	num = func(key string, v, low, high int) {
		if v < low || v > high {
			outside(key, strconv.Itoa(v), low, high)
		}
	}
	size = func(key string, v, low, high conf.Size) {
		if v < low || v > high {
			outside(key, v.String(), low, high)
		}
	}
	span = func(key string, v conf.Duration, low, high time.Duration) {
		if v.Std() < low || v.Std() > high {
			outside(key, v.String(), low, high)
		}
	}
	return num, size, span
}
