package console

import (
	"strings"
	"testing"

	"tidegate/build/browser/chrome"
	"tidegate/build/browser/house"
)

// All that all pages together load is less than 200 kB, as it goes over the
// network; the first view is a part of that.
func TestWeight(t *testing.T) {
	h := house.New(t, house.Config{Program: program, Users: people, More: consoleSection})
	p := login(t, h, chrome.View{}, admin)
	type resource struct {
		Name string
		Size int
	}
	weigh := func() (all map[string]int, sum int) {
		all = map[string]int{}
		for _, r := range chrome.Eval[[]resource](p, `[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
			.filter(e => !new URL(e.name).pathname.startsWith('/api/')).map(e => ({ name: e.name, size: e.encodedBodySize }))`) {
			all[r.Name] = r.Size
		}
		for _, size := range all {
			sum += size
		}
		return all, sum
	}
	_, first := weigh()
	for _, page := range pages {
		p.Do("location.hash = '#/" + page + "'")
		p.Find("heading", "(?i)^"+page)
	}
	all, sum := weigh()
	if first == 0 || len(all) < len(pages) {
		t.Fatalf("got %v, want a document and a module for each page", all)
	}
	if sum >= 200_000 {
		t.Errorf("all pages weigh %d bytes, want less than 200,000", sum)
	}
	for name, size := range all {
		t.Logf("%7d %s", size, name[strings.LastIndex(name, "/")+1:])
	}
	t.Logf("the first view: %d bytes; all: %d", first, sum)
}
