package console

import (
	"fmt"
	"testing"

	"tidegate/build/browser/chrome"
	"tidegate/build/browser/house"
)

// lastDay gives a page a gateway that has run for 25 hours: what it keeps of
// links and sensors is made up, as much as the API can give. A test that waits
// for a day is none.
const lastDay = `
const parse = JSON.parse
JSON.parse = (...a) => { const o = parse(...a); if (o?.uptime) o.uptime = 90000; return o }
const real = window.fetch
const now = Date.now(), minute = 60000, start = new Date(now - 1440 * minute).toISOString()
const points = (f) => Array.from({ length: 1440 }, (_, i) => f(i))
const wave = (i, of) => Math.sin(i / of) + 0.3 * Math.sin(i / 7)
const nodes = ['mqtts://node-1.cloud.example:8883', 'mqtts://node-2.cloud.example:8883']
const at = (i) => new Date(now - i * minute).toISOString()
const events = []
for (let i = 1430; events.length < 998; i -= 2.85) {
	const link = 'home-17-u' + events.length / 2 % 2, [from, to] = Math.floor(i / 200) % 2 ? nodes : [...nodes].reverse()
	events.push({ time: at(i), link, from, to: '', endpoint: from, kind: 'down', fault: 'closed', words: 'lost the connection: the connection to the cloud broke', hint: 'the gateway keeps trying', cause: 'EOF', after: 60, route: '' })
	events.push({ time: at(i - 0.3), link, from, to, endpoint: to, kind: 'failover', fault: '', words: 'moved to another server, after 18 seconds', hint: '', cause: '', after: 18, route: '' })
}
events.push({ time: at(3), link: 'home-17-u1', from: '', to: '', endpoint: '', kind: 'pause', fault: '', words: 'the cloud refuses the messages of home/#; they are kept', hint: '', cause: '0x87', after: 0, route: 'home/#' })
events.push({ time: at(2), link: 'home-17-u0', from: nodes[0], to: nodes[0], endpoint: nodes[0], kind: 'slow', fault: '', words: 'acknowledgements come late', hint: '', cause: '', after: 0, route: '' })
window.fetch = async (path, ...rest) => {
	const answer = (o) => new Response(JSON.stringify(o), { headers: { 'Content-Type': 'application/json' } })
	if (String(path).startsWith('/api/v1/history')) return answer({ events,
		latency: { step: 60, start, endpoints: { [nodes[0]]: points((i) => i > 400 && i < 430 ? null : 0.03 + 0.008 * wave(i, 90)), [nodes[1]]: points((i) => 0.045 + 0.01 * wave(i, 50)) } },
		flow: { step: 60, start, home_in: points((i) => 60 + 25 * wave(i, 120)), up_acked: points((i) => i > 400 && i < 430 ? 0 : 55 + 22 * wave(i, 120)), spool_messages: points((i) => i > 400 && i < 430 ? (i - 400) * 3000 : 0) } })
	if (String(path).startsWith('/api/v1/sensors/history')) {
		const name = new URL(path, location).searchParams.get('name'), r = await real(path, ...rest)
		const got = await r.json(), base = name === 'living-room' ? 21.5 : name === 'cellar' ? 55 : 100
		return answer({ step: 60, start, series: got.series.map((s) => ({ ...s, mean: points((i) => i > 700 && i < 760 ? null : base + 1.5 * wave(i, 200)), min: points((i) => i > 700 && i < 760 ? null : base - 0.5 + 1.5 * wave(i, 200)), max: points((i) => i > 700 && i < 760 ? null : base + 0.6 + 1.5 * wave(i, 200)) })) })
	}
	return real(path, ...rest)
}
`

// A day of a gateway whose links have broken again and again, with all that is
// kept of it, is drawn and told; what came together is told together.
func TestWholeDay(t *testing.T) {
	h := inhabited(t, house.NewCloud(t))
	p := browser.Open(t, chrome.View{})
	p.AtStart(lastDay)
	p.Go("http://" + h.Console + "/#/uplink")
	enter(p, admin, secret)
	p.Until(drawn(3))
	p.Until(`document.querySelector('.ranges [aria-pressed=true]').innerText === '24 h'`)
	p.Find("image", `^u0: slow: node-1.cloud.example:8883 since \d\d:\d\d, connected 2\d h of 2\d h, 2\d\d interruptions, slow for`)
	p.Find("image", `^u1: .*the cloud refused the messages of home/# from \d\d:\d\d to now`)
	p.Find("image", `^Round trip to each endpoint\. .*node-1.cloud.example:8883: \d+ ms to \d+ ms`)
	p.Sees(`87,\d\d\d at most`)
	p.Click("button", `^Show earlier events \(988 more\)$`)
	p.Find("button", `^Show earlier events \(938 more\)$`)
	if got := chrome.Eval[int](p, "document.querySelectorAll('.events > li').length"); got != 62 {
		t.Errorf("the list has %d events, want 62", got)
	}
	p.Reload()
	p.Until(drawn(3))
	p.Find("button", `^Show earlier events`)
	pictures(t, p, "uplink-day")
	p.Click("button", "^1 h$")
	p.Find("image", `^u0: .* of (1 h|60 min|59 min)`)

	p.Click("link", "^Sensors$")
	p.Find("heading", "^Sensors$") // the page before it has charts, too
	p.Until(drawn(2))
	p.Click("button", "^24 h$")
	p.Find("image", `^value of living-room\. Least 19[\d.]* °C at \d\d:\d\d, most 24[\d.]* °C at \d\d:\d\d, mean 21`)
	pictures(t, p, "sensors-day")
}

// pictures are taken in every view; the parts of the page have been looked at with
// axe-core when they were smaller.
func pictures(t *testing.T, p *chrome.Page, name string) {
	t.Helper()
	for _, v := range views {
		p.Look(v)
		fits(t, p, fmt.Sprintf("%s, %v", name, v))
		picture(t, p, name, v)
	}
	p.Look(views[0])
}

// What becomes of a link is drawn from its events, whatever the clock did.
func TestSpansOfLinks(t *testing.T) {
	h := house.New(t, house.Config{Program: program, Users: people, More: consoleSection})
	p := login(t, h, chrome.View{}, admin)
	event := func(at int, kind, endpoint string) string {
		return fmt.Sprintf("{ time: new Date(%d * 1000).toISOString(), kind: '%s', endpoint: '%s' }", at, kind, endpoint)
	}
	for _, c := range []struct{ name, events, want string }{
		{"none", "", "1000-2000  "},
		{"up", event(1010, "up", "a"), "1000-1010  ,1010-2000 up a"},
		{"moved", event(1010, "up", "a") + "," + event(1100, "down", "a") + "," + event(1101, "failover", "b"), "1000-1010  ,1010-1100 up a,1100-1101 down ,1101-2000 up b"},
		{"at once", event(1010, "up", "a") + "," + event(1100, "down", "a") + "," + event(1100, "up", "a"), "1000-1010  ,1010-1100 up a,1100-1100 down ,1100-2000 up a"},
		{"slow", event(1010, "up", "a") + "," + event(1100, "slow", "a") + "," + event(1200, "recover", "a"), "1000-1010  ,1010-1100 up a,1100-1200 slow a,1200-2000 up a"},
		{"from 1970", event(5, "up", "a") + "," + event(1500, "stop", "a"), "1000-1500 up a,1500-2000 down "},
		{"from the future", event(1010, "up", "a") + "," + event(9000, "down", "a"), "1000-1010  ,1010-2000 up a,2000-2000 down "},
		{"a clock set back", event(1500, "up", "a") + "," + event(1200, "down", "a"), "1000-1500  ,1500-2000 down "},
		{"of a route", event(1010, "up", "a") + "," + event(1100, "pause", "") + "," + event(1200, "resume", ""), "1000-1010  ,1010-2000 up a"},
	} {
		got := chrome.Eval[string](p, `import(document.querySelector('meta[name=assets]').content + '/parts/timeline.js').then(({ spansOf }) =>
			spansOf([`+c.events+`], 1000, 2000).map(s => s.from + '-' + s.to + ' ' + s.is + ' ' + s.endpoint).join())`)
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}
