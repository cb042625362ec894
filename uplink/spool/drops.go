package spool

import (
	"cmp"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"tidegate/internal/inorder"
)

// Cause is why a message will not reach the cloud.
type Cause string

// The causes. A message that was rejected was never accepted: its device knows.
const (
	ForOldest   Cause = "drop-oldest" // RAM full, the oldest gave way
	ForNewest   Cause = "drop-newest" // RAM full, it was not taken in
	ForReject   Cause = "reject"      // RAM full, refused to the device with 0x97
	ForDisk     Cause = "max-disk"    // the card is full, the oldest gave way
	ForExpiry   Cause = "expired"     // Message Expiry Interval
	ForAge      Cause = "max-age"
	ForRefusal  Cause = "refused"   // by the cloud, for good; in the dead letters
	ForDamage   Cause = "damaged"   // lost with a damaged file; nobody knows of which route
	ForNoLetter Cause = "dead-lost" // refused, and no room for it among the dead letters, or no longer
)

// ID is a message's id: the boot epoch in which it was accepted and its number
// in that epoch. Rejected messages have none; theirs is the last one given out
// before.
type ID struct{ Epoch, Seq uint64 }

func (i ID) String() string { return fmt.Sprintf("%d/%d", i.Epoch, i.Seq) }

// ParseID reads an id as String writes it: 12/345.
func ParseID(text string) (ID, error) {
	epoch, seq, _ := strings.Cut(text, "/")
	e, err := strconv.ParseUint(epoch, 10, 64)
	s, err2 := strconv.ParseUint(seq, 10, 64)
	if err != nil || err2 != nil {
		return ID{}, fmt.Errorf("%q is no id: an id is an epoch and a number, as in 12/345", text)
	}
	return ID{Epoch: e, Seq: s}, nil
}

func (i ID) compare(o ID) int {
	return cmp.Or(cmp.Compare(i.Epoch, o.Epoch), cmp.Compare(i.Seq, o.Seq))
}

// DropStats counts the messages of one route that were dropped for one cause
// since the start.
type DropStats struct {
	Route    string // as Options.Route says; "" when it is not known
	Class    Class
	Cause    Cause
	Messages int64
	First    ID        // the lowest dropped
	Last     ID        // the highest
	Topic    string    // of that one, in the cloud
	At       time.Time // of the last drop
}

// victim is one message that is dropped.
type victim struct {
	ticket Ticket
	reason byte // to settle it with
	cause  Cause
	class  Class
	topic  string
	id     ID
}

type dropKey struct {
	route string
	class Class
	cause Cause
}

// losses is the account of what was dropped: a few entries, for drops are
// looked up by their route when they happen and cost nothing before.
type losses struct {
	mu sync.Mutex // guards by; taken under a stream's
	by map[dropKey]*loss
}

type loss struct {
	DropStats
	told   int64 // of Messages, in the log
	toldAt time.Time
}

// add enters n messages, of which v has the highest id and first the lowest.
func (l *losses) add(k dropKey, n int64, first, last ID, topic string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.by == nil {
		l.by = make(map[dropKey]*loss)
	}
	d := l.by[k]
	if d == nil {
		d = &loss{DropStats: DropStats{Route: k.route, Class: k.class, Cause: k.cause, First: first}}
		l.by[k] = d
	}
	d.Messages += n
	d.At = time.Now()
	if first.compare(d.First) < 0 {
		d.First = first
	}
	if last.compare(d.Last) >= 0 {
		d.Last, d.Topic = last, topic
	}
}

func (l *losses) stats() []DropStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]DropStats, 0, len(l.by))
	for _, d := range l.by {
		out = append(out, d.DropStats)
	}
	inorder.Sort(out, func(a, b DropStats) int {
		return cmp.Or(cmp.Compare(a.Route, b.Route), cmp.Compare(a.Class, b.Class), cmp.Compare(a.Cause, b.Cause))
	})
	return out
}

const tellEvery = time.Minute // about the drops of one route and cause

// tell logs the first drops of a route and cause at once, and then every
// minute how many more there were; all of them at the end.
func (l *losses) tell(log *slog.Logger, now time.Time, end bool) {
	var news []loss
	l.mu.Lock()
	for _, d := range l.by {
		if d.Messages > d.told && (end || d.toldAt.IsZero() || now.Sub(d.toldAt) >= tellEvery) {
			news = append(news, *d)
			d.told, d.toldAt = d.Messages, now
		}
	}
	l.mu.Unlock()
	for _, d := range news {
		log.Warn("messages will not reach the cloud", "cause", string(d.Cause), "route", d.Route, "class", d.Class.String(),
			"dropped", d.Messages-d.told, "in-all", d.Messages, "first", d.First.String(), "last", d.Last.String(), "topic", d.Topic)
	}
}

func (s *Spool) route(topic string, c Class) string {
	if s.opt.Route == nil {
		return ""
	}
	return s.opt.Route(topic, c)
}

// drop enters a message in the account. No lock of a stream may be held.
func (s *Spool) drop(v victim) {
	s.losses.add(dropKey{s.route(v.topic, v.class), v.class, v.cause}, 1, v.id, v.id, v.topic)
}
