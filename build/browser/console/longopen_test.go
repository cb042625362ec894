package console

import (
	"fmt"
	"testing"

	"tidegate/build/browser/chrome"
	"tidegate/build/browser/house"
)

// replay lets a test say again what the gateway said last on a stream, as often and
// as fast as it likes: __again(name, n, change) hands the page n copies of the last
// event of that name, each changed, and lets it draw in between. The gateway's own
// events of that name are kept from the page from then on.
const replay = `(() => {
	const handlers = {}, last = {}, ours = {}
	const Real = EventSource
	window.EventSource = class extends Real {
		addEventListener(name, fn) {
			handlers[name] = fn
			super.addEventListener(name, e => { last[name] = e.data; if (!ours[name]) fn(e) })
		}
	}
	window.__came = name => name in last
	window.__again = async (name, n, change) => {
		ours[name] = true
		for (let i = 0; i < n; i++) {
			const o = JSON.parse(last[name])
			change(o, window.__serial = (window.__serial ?? 0) + 1)
			handlers[name]({ data: JSON.stringify(o) })
			if (i % 50 === 49) await new Promise(r => requestAnimationFrame(() => setTimeout(r, 20)))
		}
		await new Promise(r => setTimeout(r, 300)) // the pages draw four times a second at least
	}
})()`

// nextSecond is what a second does to the state of the gateway.
const nextSecond = `(s, i) => {
	s.time = new Date(Date.parse(s.time) + 1000 * i).toISOString()
	s.uptime += i
	s.home.devices = 5 + i % 7
	s.home.in_per_s = 20 + i % 30
	for (const u of s.uplinks) { u.acked_per_s = 15 + i % 20; u.spool.ram_messages = i % 3; for (const l of u.links) { l.lasting += i; l.acked += i; l.rtt = 0.001 * (1 + i % 9) } }
	for (const x of s.sensors) { x.time = s.time; for (const v of x.values) if (v.value !== null) v.value = 20 + i % 50 / 10 }
	s.verdict = i % 40 < 3 ? 'attention' : 'well'
	s.findings = s.verdict === 'well' ? [] : [{ level: 'attention', about: 'cloud', what: 'a link was lost ' + i, hint: 'wait', since: s.time }]
}`

// anotherMessage is a message that was not there before.
const anotherMessage = `(m, i) => {
	m.topic = 'home/room-' + i % 50 + '/device-' + i + '/value'
	m.payload = JSON.stringify({ value: i, unit: 'W', note: 'message number ' + i })
	m.encoding = 'text'
	m.size = m.payload.length
}`

// A page that stays open does not grow: what it has in memory after half an hour of
// events is what it had after some minutes, when all that it keeps was full.
func TestLongOpenPage(t *testing.T) {
	h := inhabited(t, house.NewCloud(t))
	house.NewFleet(t, h.MQTT, house.Login{}, 20).Talk(100)
	for _, c := range []struct {
		page, event, change string
		warm, long          int
		ready               func(*chrome.Page)
	}{
		{"now", "status", nextSecond, 300, 1800, func(*chrome.Page) {}},
		{"uplink", "status", nextSecond, 300, 1800, func(p *chrome.Page) { p.Until(drawn(3)) }},
		{"sensors", "status", nextSecond, 300, 1800, func(p *chrome.Page) { p.Until(drawn(2)) }},
		{"topics", "message", anotherMessage, 2000, 10_000, func(p *chrome.Page) {
			p.Click("button", "^Listen$")
			p.Until("document.querySelectorAll('.tail li').length > 5")
		}},
	} {
		t.Run(c.page, func(t *testing.T) {
			p := browser.Open(t, chrome.View{Motion: true})
			p.AtStart(replay)
			p.Go("http://" + h.Console + "/#/" + c.page)
			enter(p, admin, secret)
			p.Until("window.__came('status')")
			c.ready(p)
			after := func(n int) chrome.Measures {
				for ; n > 0; n -= 200 {
					p.Do(fmt.Sprintf("await window.__again(%q, %d, %s)", c.event, min(n, 200), c.change))
				}
				p.CollectGarbage()
				p.CollectGarbage() // what the first let go of
				return p.Measure()
			}
			warm := after(c.warm)
			long := after(c.long)
			t.Logf("after %d events %d bytes, %d nodes, %d listeners; after %d more %d, %d, %d",
				c.warm, warm.Heap, warm.Nodes, warm.Listeners, c.long, long.Heap, long.Nodes, long.Listeners)
			if most := warm.Heap + warm.Heap/10 + 300_000; warm.Heap == 0 || long.Heap > most {
				t.Errorf("the page has %d bytes, want at most %d", long.Heap, most)
			}
			if most := warm.Nodes + warm.Nodes/10 + 100; long.Nodes > most {
				t.Errorf("the page has %d nodes, want at most %d", long.Nodes, most)
			}
			if most := warm.Listeners + 50; long.Listeners > most {
				t.Errorf("the page has %d listeners, want at most %d", long.Listeners, most)
			}
		})
	}
}
