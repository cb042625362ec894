package promises

import (
	"maps"
	"sync"
	"time"
)

// watch measures how long topics fall silent.
type watch struct {
	mu   sync.Mutex
	last map[string]time.Time // the last arrival of each topic
	node map[string]string    // where that was, in a stand-in cloud
	most time.Duration        // the longest silence that ended since reset
	from time.Time            // of reset
}

func newWatch() *watch { return &watch{last: map[string]time.Time{}, node: map[string]string{}} }

func (w *watch) arrival(topic string, at time.Time) { w.arrivalAt(topic, "", at) }

func (w *watch) arrivalAt(topic, node string, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.node[topic] = node
	if last, ok := w.last[topic]; ok && at.After(w.from) {
		w.most = max(w.most, at.Sub(last))
	}
	w.last[topic] = at
}

// reset begins a measurement.
func (w *watch) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.most, w.from = 0, time.Now()
}

// flowing says whether every one of the topics has arrived after the moment.
func (w *watch) flowing(topics int, after time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, at := range w.last {
		if at.After(after) {
			n++
		}
	}
	return n >= topics
}

// silence returns the longest silence of any topic since reset.
func (w *watch) silence() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.most
}

// nodes returns where each topic arrived last.
func (w *watch) nodes() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.node)
}
