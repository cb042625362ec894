package edge

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"tidegate/internal/topic"
)

// TestTrieAgainstRules holds random subscriptions and retained messages against
// the rules of internal/topic.
func TestTrieAgainstRules(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		checkTrie(t, rng)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func randomPath(rng *rand.Rand, levels []string) string {
	parts := make([]string, 1+rng.IntN(4))
	for i := range parts {
		parts[i] = levels[rng.IntN(len(levels))]
	}
	return strings.Join(parts, "/")
}

func checkTrie(t *testing.T, rng *rand.Rand) {
	names := []string{"a", "b", "", "$x", "foo"}
	filters := append(slices.Clone(names), "+", "+", "#")
	var tr trie
	b := &Broker{}
	sessions := []*session{{b: b, id: "0"}, {b: b, id: "1"}, {b: b, id: "2"}}
	subs := map[*session]map[string]*subscription{}
	kept := map[string]*Message{}
	for range 60 {
		s := sessions[rng.IntN(len(sessions))]
		switch filter := randomPath(rng, filters); rng.IntN(4) {
		case 0, 1:
			if !topic.ValidFilter(filter) {
				continue
			}
			sub := &subscription{s: s, filter: filter, noLocal: rng.IntN(3) == 0}
			sub.qos, sub.ids = byte(rng.IntN(3)), []uint32{uint32(rng.IntN(1000))}
			tr.subscribe(sub)
			if subs[s] == nil {
				subs[s] = map[string]*subscription{}
			}
			subs[s][filter] = sub
		case 2:
			if mine := slices.Sorted(maps.Keys(subs[s])); len(mine) > 0 {
				filter = mine[rng.IntN(len(mine))]
			}
			tr.unsubscribe(s, filter)
			delete(subs[s], filter)
		case 3:
			m := &Message{Topic: randomPath(rng, names), Payload: make([]byte, rng.IntN(2)), Accepted: time.Now()}
			if !topic.ValidName(m.Topic) {
				continue
			}
			tr.retain(m, 1000, 1<<20)
			if kept[m.Topic] = m; len(m.Payload) == 0 {
				delete(kept, m.Topic)
			}
		}
	}
	checkRoutes(t, rng, &tr, names, subs)
	for range 30 {
		filter := randomPath(rng, filters)
		if !topic.ValidFilter(filter) {
			continue
		}
		var got, want []string
		for _, n := range tr.retainedFor(filter) {
			got = append(got, n.retained.Load().Topic)
		}
		for name := range kept {
			if topic.Match(filter, name) {
				want = append(want, name)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("retained for %q: got %q, want %q", filter, got, want)
		}
	}
	if tr.retained != len(kept) {
		t.Errorf("retained: got %d, want %d", tr.retained, len(kept))
	}
}

func checkRoutes(t *testing.T, rng *rand.Rand, tr *trie, names []string, subs map[*session]map[string]*subscription) {
	count := 0
	for _, mine := range subs {
		count += len(mine)
	}
	if tr.subscriptions != count {
		t.Errorf("subscriptions: got %d, want %d", tr.subscriptions, count)
	}
	for range 30 {
		name := randomPath(rng, names)
		if !topic.ValidName(name) {
			continue
		}
		got := map[*session]target{}
		for _, target := range tr.route(name).targets {
			got[target.s] = target
		}
		for s, mine := range subs {
			qos, ids, matches := byte(0), []uint32{}, 0
			for filter, sub := range mine {
				if topic.Match(filter, name) {
					matches++
					qos = max(qos, sub.qos)
					ids = append(ids, sub.ids...)
				}
			}
			target, ok := got[s]
			slices.Sort(ids)
			have := slices.Sorted(slices.Values(target.form.ids))
			if ok != (matches > 0) || target.form.qos != qos || !slices.Equal(have, ids) && matches > 0 {
				t.Errorf("%q: got %v QoS %d ids %v, want QoS %d ids %v", name, ok, target.form.qos, have, qos, ids)
			}
		}
	}
}

func TestTrieForgetsBranches(t *testing.T) {
	var tr trie
	s := &session{}
	for i := range 100 {
		sub := &subscription{s: s, filter: fmt.Sprintf("a/%d/+/#", i)}
		tr.subscribe(sub)
		tr.subscribe(&subscription{s: s, filter: "$share/g/" + sub.filter})
		tr.retain(&Message{Topic: fmt.Sprintf("a/%d/x", i), Payload: []byte("x")}, 1000, 1<<20)
	}
	for i := range 100 {
		tr.unsubscribe(s, fmt.Sprintf("a/%d/+/#", i))
		tr.unsubscribe(s, fmt.Sprintf("$share/g/a/%d/+/#", i))
		tr.retain(&Message{Topic: fmt.Sprintf("a/%d/x", i)}, 1000, 1<<20)
	}
	if len(tr.root.children) != 0 || tr.subscriptions != 0 || tr.retained != 0 || tr.retainedBytes != 0 {
		t.Fatalf("left: %d branches, %d subscriptions, %d retained, %d bytes", len(tr.root.children), tr.subscriptions, tr.retained, tr.retainedBytes)
	}
}

func TestRoutesAreBounded(t *testing.T) {
	var tr trie
	r := routes{trie: &tr, m: map[string]*route{}}
	check := func() {
		t.Helper()
		total := 0
		for _, rt := range r.m {
			total += len(rt.targets)
		}
		if len(r.m) > maxRoutes || total > maxTargets || total != r.targets {
			t.Fatalf("%d routes, %d targets, counted %d", len(r.m), total, r.targets)
		}
	}
	for i := range 3 * maxRoutes {
		r.lookup(fmt.Append(nil, "t/", i), nil)
	}
	check()
	for i := range 100 {
		tr.subscribe(&subscription{s: &session{id: fmt.Sprint(i)}, filter: "#"})
	}
	for i := range 2000 {
		if rt := r.lookup(fmt.Append(nil, "t/", i%1500), nil); len(rt.targets) != 100 {
			t.Fatalf("%d targets", len(rt.targets))
		}
	}
	check()
}

// Topics too long to be of use in the cache do not fill it.
func TestRouteCacheIsBoundedInBytes(t *testing.T) {
	b := startBroker(t, Options{})
	name := make([]byte, 60_000)
	for i := range name {
		name[i] = 'x'
	}
	for i := range 300 {
		copy(name, fmt.Sprint(i, "-"))
		if b.routes.lookup(name, nil) == nil {
			t.Fatal("no route")
		}
	}
	var held int
	for text := range b.routes.m {
		held += len(text)
	}
	if held > 4<<20 {
		t.Fatalf("got %d bytes of topics in the cache, want 4 MiB at most", held)
	}
}
