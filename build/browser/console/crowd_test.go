package console

import (
	"fmt"
	"testing"

	"tidegate/build/browser/chrome"
	"tidegate/build/browser/house"
)

// What may stand in the document however many devices and topics there are: more
// cannot be drawn on a phone without a stop.
const mostElements = 6000

// strain is how a page fared in some seconds in which it was scrolled.
type strain struct {
	Tasks   int     // that kept the page from answering for more than 50 ms
	Longest float64 // of them, ms
	Blocked float64 // beyond 50 ms each, together
	Frame   float64 // the longest time without a picture, ms
	Nodes   int     // elements in the document
}

func (s strain) String() string {
	return fmt.Sprintf("%d long tasks, longest %.0f ms, blocked %.0f ms, longest frame %.0f ms, %d elements", s.Tasks, s.Longest, s.Blocked, s.Frame, s.Nodes)
}

const strainScript = `(() => {
	window.__tasks = []
	new PerformanceObserver(l => window.__tasks.push(...l.getEntries().map(e => e.duration))).observe({ type: 'longtask', buffered: true })
})()`

// scroll looks at the page for some seconds, up and down, and says how it fared.
func scroll(p *chrome.Page) strain {
	return chrome.Eval[strain](p, `(async () => {
		window.__tasks.length = 0
		let frame = 0, last = performance.now(), on = true
		const tick = now => { frame = Math.max(frame, now - last); last = now; if (on) requestAnimationFrame(tick) }
		requestAnimationFrame(tick)
		const scrolled = [...document.querySelectorAll('body, body *')].filter(e => e.scrollHeight > e.clientHeight + 50 && ['auto', 'scroll'].includes(getComputedStyle(e).overflowY))
		for (let i = 0; i < 40; i++) {
			for (const e of [document.scrollingElement, ...scrolled]) e.scrollBy(0, i < 20 ? 200 : -200)
			await new Promise(r => setTimeout(r, 100))
		}
		on = false
		const t = window.__tasks
		return { tasks: t.length, longest: Math.max(0, ...t), blocked: t.reduce((a, d) => a + d - 50, 0), frame, nodes: document.querySelectorAll('*').length }
	})()`)
}

// 500 devices with 5000 topics that talk all the time: the pages stay light, also
// for a processor that is six times slower. What is held to a bound is what is
// the same on every machine; times only grossly, against this machine's own.
func TestCrowd(t *testing.T) {
	h := inhabited(t, house.NewCloud(t))
	fleet := house.NewFleet(t, h.MQTT, house.Login{}, 500)
	fleet.Publish()
	fleet.Talk(500)
	p := browser.Open(t, chrome.View{Motion: true})
	p.AtStart(strainScript)
	p.Go("http://" + h.Console + "/")
	enter(p, admin, secret)
	p.Find("heading", "^Now$")
	p.Sees("500 devices|devices(?s:.){1,20}500|50[0-9]")
	for _, page := range pages {
		show(p, h, page)
		fleet.Publish() // while somebody looks, so that the page knows the topics
		quick := scroll(p)
		p.Look(chrome.View{Slow: 6, Motion: true})
		slow := scroll(p)
		p.Look(chrome.View{Motion: true})
		t.Logf("%s: %v", page, quick)
		t.Logf("%s, 6 times slower: %v", page, slow)
		if slow.Nodes > mostElements {
			t.Errorf("%s: %d elements, want at most %d", page, slow.Nodes, mostElements)
		}
		if bound := 30*max(quick.Longest, 50) + 10_000; slow.Longest > bound {
			t.Errorf("%s, 6 times slower: a task of %.0f ms, want at most %.0f (%.0f ms unthrottled)", page, slow.Longest, bound, quick.Longest)
		}
	}
}
