package edge

import (
	"strings"

	"tidegate/internal/inorder"
)

// Topic is one level of the tree of retained messages.
type Topic struct {
	Topic    string   // whole
	Name     string   // its last level, which may be empty: "/a" has two
	Children int      // levels directly below it that lead to a retained message
	Retained *Message // nil: none here; never changed
}

// Topics returns the levels directly below prefix that have a retained message
// or lead to one, by name, at most most of them; total is how many there are. The
// prefix is empty for the first levels, else it ends with "/": "home/hall/". The
// broker's own below $SYS are among them. Publishers wait for no more than a part
// of the walk.
func (b *Broker) Topics(prefix string, most int) (list []Topic, total int) {
	w := walk{t: &b.trie}
	w.t.mu.RLock()
	defer w.t.mu.RUnlock()
	n := &w.t.root
	if prefix != "" {
		prefix = strings.TrimSuffix(prefix, "/")
		n = n.find(prefix)
		prefix += "/"
	}
	if n == nil {
		return nil, 0
	}
	for name, child := range n.children {
		if retained, below := child.retained.Load(), w.leads(child); retained != nil || below > 0 {
			list = append(list, Topic{Topic: prefix + name, Name: name, Children: below, Retained: retained})
		}
	}
	inorder.Sort(list, func(a, b Topic) int { return strings.Compare(a.Name, b.Name) })
	total = len(list)
	return list[:min(total, most)], total
}

// leads counts the levels directly below n that have a retained message at or
// below them.
func (w *walk) leads(n *node) (count int) {
	for _, child := range n.children {
		if w.any(child) {
			count++
		}
	}
	return count
}

func (w *walk) any(n *node) bool {
	if w.look(n) {
		return true
	}
	for _, child := range n.children {
		if w.any(child) {
			return true
		}
	}
	return false
}
