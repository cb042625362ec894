package edge

import (
	"strings"
	"sync"
	"sync/atomic"
)

// subscription is one entry of a session. It never changes; a changed one is
// replaced.
type subscription struct {
	s      *session
	filter string // as the client gave it, with "$share/group/"
	form
	noLocal bool
	handle  byte // retain handling
}

// form is how a session gets the messages of one or several subscriptions.
type form struct {
	qos    byte
	asSent bool          // Retain As Published
	ids    []uint32      // subscription identifiers
	member *subscription // of a shared subscription, this one; else nil
}

// trie holds subscriptions and retained messages by topic level.
type trie struct {
	mu   sync.RWMutex // guards the shape and the subscriptions
	root node
	gen  atomic.Uint64 // grows with every change of a subscription

	watchers []*watcher // replaced, never changed
	memory   *memory    // charged for nodes and subscriptions; nil: nothing is

	subscriptions int
	shared        int // of them
	retained      int
	retainedBytes int64
}

type node struct {
	parent   *node
	level    string
	children map[string]*node // "+" and "#" among them, for filters
	subs     map[*session]*subscription
	groups   map[string]*group
	retained atomic.Pointer[Message]
}

// group is a shared subscription: each message goes to one member
// [MQTT 5, 4.8.2].
type group struct {
	members []*subscription // replaced, never changed
	turn    *atomic.Uint32
}

// cutShare takes "$share/group/" off a filter; group is "" for an ordinary one.
func cutShare(filter string) (group, rest string, ok bool) {
	shared, is := strings.CutPrefix(filter, sharePrefix)
	if !is {
		return "", filter, true
	}
	group, rest, ok = strings.Cut(shared, "/")
	return group, rest, ok && group != "" && rest != "" && !strings.ContainsAny(group, "+#")
}

// subscribe adds or replaces.
func (t *trie) subscribe(sub *subscription) {
	share, filter, _ := cutShare(sub.filter)
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.grow(filter)
	if share == "" {
		if n.subs == nil {
			n.subs = map[*session]*subscription{}
		}
		if n.subs[sub.s] == nil {
			t.counted(1, sub.filter)
		}
		n.subs[sub.s] = sub
	} else if n.join(share, sub) {
		t.counted(1, sub.filter)
		t.shared++
	}
	t.gen.Add(1)
}

// unsubscribe takes a session's subscription away, if there is one.
func (t *trie) unsubscribe(s *session, whole string) {
	share, filter, _ := cutShare(whole)
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.root.find(filter)
	if n == nil {
		return
	}
	if share != "" && n.leave(share, s) {
		t.counted(-1, whole)
		t.shared--
	} else if share == "" && n.subs[s] != nil {
		delete(n.subs, s)
		t.counted(-1, whole)
	}
	t.prune(n)
	t.gen.Add(1)
}

// counted notes that there is one subscription more, or less.
func (t *trie) counted(n int, filter string) {
	t.subscriptions += n
	t.charge(int64(n) * (subscriptionCost + 2*int64(len(filter))))
}

func (t *trie) charge(n int64) {
	if t.memory != nil {
		t.memory.charge(n)
	}
}

// join puts sub into a group and says whether its session is new there.
func (n *node) join(name string, sub *subscription) bool {
	if n.groups == nil {
		n.groups = map[string]*group{}
	}
	g := n.groups[name]
	if g == nil {
		g = &group{turn: new(atomic.Uint32)}
		n.groups[name] = g
	}
	sub.member = sub
	members := without(g.members, sub.s)
	added := len(members) == len(g.members)
	g.members = append(members, sub)
	return added
}

func (n *node) leave(name string, s *session) bool {
	g := n.groups[name]
	if g == nil {
		return false
	}
	members := without(g.members, s)
	left := len(members) < len(g.members)
	g.members = members
	if len(members) == 0 {
		delete(n.groups, name)
	}
	return left
}

// without returns a copy of list without those of s.
func without(list []*subscription, s *session) []*subscription {
	rest := make([]*subscription, 0, len(list)+1)
	for _, sub := range list {
		if sub.s != s {
			rest = append(rest, sub)
		}
	}
	return rest
}

// grow returns the node of a name or filter, made if need be.
func (t *trie) grow(path string) *node {
	n, made := &t.root, 0
	for level, rest, more := "", path, true; more; {
		level, rest, more = strings.Cut(rest, "/")
		child := n.children[level]
		if child == nil {
			if n.children == nil {
				n.children = map[string]*node{}
			}
			child = &node{parent: n, level: strings.Clone(level)}
			n.children[child.level] = child
			made += nodeCost + len(child.level)
		}
		n = child
	}
	t.charge(int64(made))
	return n
}

// find returns the node of a name or filter, or nil.
func (n *node) find(path string) *node {
	for level, rest, more := "", path, true; more && n != nil; {
		level, rest, more = strings.Cut(rest, "/")
		n = n.children[level]
	}
	return n
}

// prune takes away the branch that ends in n as far as it carries nothing.
func (t *trie) prune(n *node) {
	gone := 0
	for n.parent != nil && len(n.children) == 0 && len(n.subs) == 0 && len(n.groups) == 0 && n.retained.Load() == nil {
		delete(n.parent.children, n.level)
		gone += nodeCost + len(n.level)
		n = n.parent
	}
	t.charge(-int64(gone))
}

// match calls visit for every node whose filter matches the topic name
// [MQTT 5, 4.7]. mu is held for reading.
func (t *trie) match(name string, visit func(*node)) {
	level, rest, more := strings.Cut(name, "/")
	if child := t.root.children[level]; child != nil {
		child.match(rest, more, visit)
	}
	if name[0] == '$' {
		return
	}
	if child := t.root.children["+"]; child != nil {
		child.match(rest, more, visit)
	}
	if child := t.root.children["#"]; child != nil {
		visit(child)
	}
}

// match goes on below n with the levels in rest; more says that there are any.
func (n *node) match(rest string, more bool, visit func(*node)) {
	if child := n.children["#"]; child != nil {
		visit(child) // "a/#" matches "a" too
	}
	if !more {
		visit(n)
		return
	}
	level, rest, more := strings.Cut(rest, "/")
	if child := n.children[level]; child != nil {
		child.match(rest, more, visit)
	}
	if child := n.children["+"]; child != nil {
		child.match(rest, more, visit)
	}
}

// retain replaces the retained message of m's topic; an empty payload takes it
// away [MQTT-3.3.1-6, MQTT-3.3.1-7]. It returns false when a limit keeps m out;
// the older message is gone then too, since it no longer holds.
func (t *trie) retain(m *Message, most int, mostBytes int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	var n *node
	if len(m.Payload) > 0 && most > 0 {
		n = t.grow(m.Topic)
	} else if n = t.root.find(m.Topic); n == nil {
		return len(m.Payload) == 0
	}
	old := n.retained.Load()
	count, bytes := t.retained, t.retainedBytes
	if old != nil {
		count, bytes = count-1, bytes-retainedSize(old)
	}
	kept := len(m.Payload) > 0 && count < most && bytes+retainedSize(m) <= mostBytes
	if kept {
		count, bytes = count+1, bytes+retainedSize(m)
		n.retained.Store(m)
	} else {
		n.retained.Store(nil)
		t.prune(n)
	}
	t.retained, t.retainedBytes = count, bytes
	return kept || len(m.Payload) == 0
}

// retainOwn is retain for the broker's own topics, which nothing counts.
func (t *trie) retainOwn(m *Message) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := t.grow(m.Topic); len(m.Payload) > 0 {
		n.retained.Store(m)
	} else {
		n.retained.Store(nil)
		t.prune(n)
	}
}

// replace takes old away if it is still the one retained. No retain may come in
// between.
func (t *trie) replace(old, gone *Message) bool {
	t.mu.RLock()
	n := t.root.find(old.Topic)
	same := n != nil && n.retained.Load() == old
	t.mu.RUnlock()
	return same && t.retain(gone, 0, 0)
}

// retainedFor returns the nodes with a retained message that the filter
// matches. A topic that begins with "$" needs a filter that does. What is
// retained anew meanwhile may be missing.
func (t *trie) retainedFor(filter string) []*node {
	w := walk{t: t}
	t.mu.RLock()
	defer t.mu.RUnlock()
	w.collect(&t.root, filter, true)
	return w.found
}

// walk goes through a large part of the trie, whose lock it holds for reading
// and lets go of now and then: nobody waits for the whole of it. A node that is
// taken out of the trie meanwhile keeps its own way down.
type walk struct {
	t     *trie
	seen  int
	found []*node
}

// walkPart is how many nodes are looked at under one lock.
const walkPart = 256

func (w *walk) look(n *node) bool {
	if w.seen++; w.seen%walkPart == 0 {
		w.t.mu.RUnlock()
		w.t.mu.RLock()
	}
	return n.retained.Load() != nil
}

// collect finds what a filter matches below n.
func (w *walk) collect(n *node, filter string, top bool) {
	level, rest, more := strings.Cut(filter, "/")
	switch level {
	case "#":
		w.all(n, top)
	case "+":
		for name, child := range n.children {
			if !(top && strings.HasPrefix(name, "$")) && name != "+" && name != "#" {
				w.rest(child, rest, more)
			}
		}
	default:
		if child := n.children[level]; child != nil {
			w.rest(child, rest, more)
		}
	}
}

func (w *walk) rest(n *node, rest string, more bool) {
	has := w.look(n)
	if more {
		w.collect(n, rest, false)
	} else if has {
		w.found = append(w.found, n)
	}
}

// all collects n and all below.
func (w *walk) all(n *node, top bool) {
	if w.look(n) {
		w.found = append(w.found, n)
	}
	for name, child := range n.children {
		if !(top && strings.HasPrefix(name, "$")) {
			w.all(child, false)
		}
	}
}

// expired returns the retained messages that are past their expiry.
func (t *trie) expired() (found []*Message) {
	w := walk{t: t}
	t.mu.RLock()
	defer t.mu.RUnlock()
	w.all(&t.root, false)
	for _, n := range w.found {
		if m := n.retained.Load(); m != nil && m.Expiry > 0 && left(m) == 0 {
			found = append(found, m)
		}
	}
	return found
}
