package control

import (
	"container/list"
	"context"
	"encoding/base64"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"tidegate/edge"
	"tidegate/internal/inorder"
)

const (
	mostTopics    = 5000
	mostTopicSize = 1 << 20 // bytes of topics and values together
	mostValue     = 1024    // bytes of a value that are kept
	topicCost     = 160     // bytes that a topic takes besides
	lookedFor     = 2 * time.Minute
)

// Topic is one level of the tree of topics.
type Topic struct {
	Topic    string   `json:"topic"`
	Name     string   `json:"name"`     // of this level; of a search the whole topic
	Children int      `json:"children"` // names on the level below
	Value    *Payload `json:"value"`    // null: nothing was published here itself
}

// Topics is the body of /v1/topics.
type Topics struct {
	Total  int     `json:"total"`
	Topics []Topic `json:"topics"`
	Known  int     `json:"known"` // topics in RAM; those that came longest ago give way
	Most   int     `json:"most"`  // that may be known
	Since  Time    `json:"since"` // from then on all are here, from before what is retained
}

// Payload is what a message carries.
type Payload struct {
	Payload   string `json:"payload"`
	Encoding  string `json:"encoding"`  // text or base64
	Size      int    `json:"size"`      // bytes of all of it
	Truncated bool   `json:"truncated"` // only the beginning is here
	QoS       byte   `json:"qos"`
	Retained  bool   `json:"retained"`
	Time      Time   `json:"time"`
}

// payloadOf shows the beginning of a message.
func payloadOf(m *edge.Message, most int, retained bool) *Payload {
	p := &Payload{Size: len(m.Payload), Truncated: len(m.Payload) > most, QoS: m.QoS, Retained: retained, Time: Time(m.Accepted)}
	p.Payload, p.Encoding = text(m.Payload, most)
	return p
}

// text writes the beginning of data as text, or in base64 when it is none.
func text(data []byte, most int) (s, encoding string) {
	part := data[:min(len(data), most)]
	if utf8.Valid(data) {
		return strings.ToValidUTF8(string(part), ""), "text" // not cut within a letter
	}
	return base64.StdEncoding.EncodeToString(part), "base64"
}

// topics has the last values while somebody looks at them.
type topics struct {
	hear     func(ctx context.Context, filters []string, f func(*edge.Message, int64))
	retained func(filter string, f func(*edge.Message) bool)

	mu     sync.Mutex // guards what follows
	asked  time.Time  // when last
	since  time.Time  // when it began to hear
	end    context.CancelFunc
	done   chan struct{}
	by     map[string]*list.Element // of *seen
	recent *list.List               // the newest first
	size   int
}

type seen struct {
	topic string
	value *Payload
}

func (s *seen) size() int { return topicCost + len(s.topic) + len(s.value.Payload) }

var all = []string{"#", "$SYS/#"}

// look begins to hear, unless somebody looks already, and notes that somebody
// does.
func (t *topics) look(ctx context.Context) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asked = time.Now()
	if t.end != nil || ctx.Err() != nil {
		return
	}
	t.by, t.recent, t.size, t.since = map[string]*list.Element{}, list.New(), 0, t.asked
	ctx, t.end = context.WithCancel(ctx)
	t.done = make(chan struct{})
	go func(done chan struct{}) {
		defer close(done)
		t.hear(ctx, all, func(m *edge.Message, _ int64) {
			t.mu.Lock()
			defer t.mu.Unlock()
			if m == nil { // from now on it hears: what was retained in between is not missed
				t.keep()
				return
			}
			t.take(m, m.Retain)
		})
	}(t.done)
	t.keep()
}

// keep takes what is retained and newer than what is known. The caller holds mu.
func (t *topics) keep() {
	for _, filter := range all {
		n := 0
		t.retained(filter, func(m *edge.Message) bool {
			if at := t.by[m.Topic]; at == nil || time.Time(at.Value.(*seen).value.Time).Before(m.Accepted) {
				t.take(m, true)
			}
			n++
			return n < mostTopics
		})
	}
}

// rest stops hearing when nobody has looked for long, or at once.
func (t *topics) rest(atOnce bool) {
	t.mu.Lock()
	if t.end == nil || !atOnce && time.Since(t.asked) < lookedFor {
		t.mu.Unlock()
		return
	}
	end, done := t.end, t.done
	t.end, t.by, t.recent, t.size = nil, nil, nil, 0
	t.mu.Unlock()
	end()
	<-done
}

// take notes a message. The caller holds mu.
func (t *topics) take(m *edge.Message, retained bool) {
	if t.by == nil {
		return
	}
	at := t.by[m.Topic]
	if at == nil {
		at = t.recent.PushFront(&seen{topic: strings.Clone(m.Topic), value: &Payload{}})
		t.by[m.Topic] = at
	} else {
		t.recent.MoveToFront(at)
		t.size -= at.Value.(*seen).size()
	}
	one := at.Value.(*seen)
	retained = retained && len(m.Payload) > 0 || !m.Retain && one.value.Retained
	one.value = payloadOf(m, mostValue, retained)
	t.size += one.size()
	for t.recent.Len() > mostTopics || t.size > mostTopicSize {
		last := t.recent.Back()
		gone := t.recent.Remove(last).(*seen)
		t.size -= gone.size()
		delete(t.by, gone.topic)
	}
}

// level lists what directly follows a prefix, which is empty or ends in a slash,
// or, to search, all that follows it and has the word.
func (t *topics) level(prefix, search string) (found []Topic, known int, since time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := map[string]int{}
	below := map[string]map[string]bool{}
	for topic, e := range t.by {
		rest, ok := strings.CutPrefix(topic, prefix)
		if !ok || search != "" && !strings.Contains(strings.ToLower(topic), search) {
			continue
		}
		name, child, more := rest, "", false
		if search == "" {
			name, child, more = strings.Cut(rest, "/")
		}
		i, have := at[name]
		if !have {
			i = len(found)
			at[name], found = i, append(found, Topic{Topic: prefix + name, Name: name})
		}
		if !more {
			found[i].Value = e.Value.(*seen).value
			continue
		}
		child, _, _ = strings.Cut(child, "/")
		if below[name] == nil {
			below[name] = map[string]bool{}
		}
		below[name][child] = true
	}
	for name, children := range below {
		found[at[name]].Children = len(children)
	}
	inorder.Sort(found, func(a, b Topic) int { return strings.Compare(a.Topic, b.Topic) })
	return found, len(t.by), t.since
}

// listTopics is GET /v1/topics. Without under it is the first level; an empty under
// is the topic with an empty name, as in /kitchen.
func (a *API) listTopics(w http.ResponseWriter, r *http.Request) error {
	p, err := pageOf(r)
	if err != nil {
		return err
	}
	a.topics.look(a.ends)
	q := r.URL.Query()
	prefix := ""
	if q.Has("under") {
		prefix = q.Get("under") + "/"
	}
	found, known, since := a.topics.level(prefix, strings.ToLower(q.Get("search")))
	return answer(w, Topics{Total: len(found), Topics: cut(found, p), Known: known, Most: mostTopics, Since: Time(since)})
}
