package console

import (
	"fmt"
	"testing"

	"tidegate/build/browser/chrome"
	"tidegate/build/browser/house"
)

// underFault is what an open page has to show when something fails; when is a
// word that was never there before.
type underFault struct {
	away  func(t *testing.T, h *house.House, p *chrome.Page)              // the cloud is away
	back  func(t *testing.T, h *house.House, p *chrome.Page)              // it is back
	lives func(t *testing.T, h *house.House, p *chrome.Page, when string) // it shows what happens now
}

const meanwhile = "meanwhile" // when the cloud is away

func nothing(*testing.T, *house.House, *chrome.Page) {}

// faultsUnder are all pages. What is of the home goes on while the cloud is away.
var faultsUnder = map[string]underFault{
	"now": {
		away: func(_ *testing.T, _ *house.House, p *chrome.Page) {
			p.Sees("(?i)storing")
			p.SeesNo("(?i)all is well")
		},
		back: func(_ *testing.T, _ *house.House, p *chrome.Page) { p.Sees("(?i)all is well") },
		lives: func(_ *testing.T, _ *house.House, p *chrome.Page, when string) {
			const runs = `[...document.querySelectorAll('dt')].find(d => d.innerText === 'Runs for')?.nextSibling.innerText`
			p.Until(runs + " !== " + chrome.JSON(chrome.Eval[string](p, runs+" ?? ''")))
			if when != meanwhile {
				p.Sees("(?i)flowing")
			}
		},
	},
	"devices": {
		away: nothing, back: nothing,
		lives: func(t *testing.T, h *house.House, p *chrome.Page, when string) {
			house.Subscribe(t, h.MQTT, house.Login{}, "-i", "lamp-"+when, "-t", "home/lamp/set")
			p.Find("link", "^lamp-"+when+"$")
		},
	},
	"topics": {
		away: func(t *testing.T, h *house.House, p *chrome.Page) {
			p.Click("button", "^Listen$")
			p.Sees("Listening to #")
			hear(t, h, p, "home/bell")
		},
		back: func(t *testing.T, h *house.House, p *chrome.Page) {
			p.Click("button", "^Clear$")
			hear(t, h, p, "home/bell")
		},
		lives: func(t *testing.T, h *house.House, p *chrome.Page, when string) {
			house.Pub(t, h.MQTT, house.Login{User: admin, Password: secret}, "-t", when, "-m", "here", "-q", "1", "-r")
			p.Find("treeitem", "^"+when+" , here , retained$")
		},
	},
	"uplink": {
		away: func(_ *testing.T, _ *house.House, p *chrome.Page) {
			for _, link := range []string{"u0", "u1"} {
				p.Find("image", "^"+link+": no connection since")
			}
		},
		back: func(_ *testing.T, _ *house.House, p *chrome.Page) {
			p.Find("image", "^u0: connected to .*interruption")
		},
		lives: func(_ *testing.T, _ *house.House, p *chrome.Page, when string) {
			if when != meanwhile {
				p.Find("image", "^u0: connected to")
			}
		},
	},
	"sensors": {
		away: nothing, back: nothing,
		lives: func(_ *testing.T, _ *house.House, p *chrome.Page, _ string) {
			const value = `[...document.querySelectorAll('.sensor .big')].map(e => e.innerText).join()`
			p.Sees(`(?s)living-room.*works.*\d °C`)
			before := chrome.Eval[string](p, value)
			p.Until(value + " !== " + chrome.JSON(before))
			const fan = `document.querySelector('.actuator .state')?.innerText`
			before = chrome.Eval[string](p, fan)
			p.Click("button", "^Toggle: fan$")
			p.Until(fan + " !== " + chrome.JSON(before))
		},
	},
	"settings": {
		away: nothing, back: nothing,
		lives: func(_ *testing.T, h *house.House, p *chrome.Page, when string) {
			p.Sees("From " + h.File)
			p.Fill("textbox", "^Check a configuration$", "[gateway]\nid = \"not a name: "+when+"\"\n")
			p.Click("button", "^Check it$")
			p.Sees("not a name: " + when)
		},
	},
	"log": {
		away: func(_ *testing.T, _ *house.House, p *chrome.Page) { p.Sees("endpoint not reached") },
		back: func(_ *testing.T, _ *house.House, p *chrome.Page) { p.Sees("endpoint reached again") },
		lives: func(t *testing.T, h *house.House, p *chrome.Page, when string) {
			refused(t, h, "stranger-"+when)
			p.Sees("stranger-" + when)
		},
	},
}

// window has all pages open, each in a tab, of which one is seen.
type window struct {
	tabs map[string]*chrome.Page
	seen *chrome.Page
}

func newWindow(t *testing.T, h *house.House) *window {
	t.Helper()
	w := &window{tabs: map[string]*chrome.Page{}}
	for i, page := range pages {
		var p *chrome.Page
		if i == 0 {
			p = browser.Open(t, chrome.View{})
		} else {
			p = w.seen.Beside(chrome.View{})
			hide(w.seen, true)
		}
		p.AtStart(hideable)
		p.Go("http://" + h.Console + "/#/" + page)
		if i == 0 {
			enter(p, admin, secret)
		}
		p.Find("heading", fmt.Sprintf("(?i)^%s$", page))
		p.Do("window.__same = true")
		w.tabs[page], w.seen = p, p
	}
	return w
}

// look brings a tab to the front.
func (w *window) look(page string) *chrome.Page {
	if p := w.tabs[page]; p != w.seen {
		hide(w.seen, true)
		hide(p, false)
		w.seen = p
	}
	return w.seen
}

// hideable lets a page be told that nobody sees it: for a browser without windows
// all tabs are seen.
const hideable = `window.__hidden = false
	Object.defineProperty(document, 'hidden', { get: () => window.__hidden })`

func hide(p *chrome.Page, is bool) {
	p.Do(fmt.Sprintf("window.__hidden = %v; document.dispatchEvent(new Event('visibilitychange'))", is))
}

// Every page stays open while the cloud goes away and comes back, and while the
// gateway is started anew: it says what is wrong, and goes on where it was, without
// being loaded again.
func TestFaultsUnderEveryPage(t *testing.T) {
	cloud := house.NewCloud(t)
	h := inhabited(t, cloud)
	house.NewFleet(t, h.MQTT, house.Login{}, 5).Talk(20)
	w := newWindow(t, h)
	each := func(what string, do func(p *chrome.Page, f underFault)) {
		for _, page := range pages {
			t.Logf("%s: %s", page, what)
			do(w.look(page), faultsUnder[page])
		}
	}
	each("before", func(p *chrome.Page, f underFault) { f.lives(t, h, p, "before") })
	cloud.Shut()
	each("the cloud is away", func(p *chrome.Page, f underFault) {
		f.away(t, h, p)
		f.lives(t, h, p, meanwhile)
	})
	cloud.Open()
	each("the cloud is back", func(p *chrome.Page, f underFault) {
		f.back(t, h, p)
		p.Blame()
		// Chromium itself writes of requests that nobody answers.
		p.Forgive("ERR_CONNECTION|ERR_INCOMPLETE_CHUNKED|ERR_EMPTY_RESPONSE|the server responded with a status of 401")
	})
	h.Stop()
	each("the gateway is away", func(p *chrome.Page, _ underFault) { p.Sees("The gateway does not answer") })
	h.Start()
	for i, page := range pages {
		t.Logf("%s: the gateway is back", page)
		p := w.look(page)
		if i == 0 { // the others share the log-in
			p.Sees("the gateway was started anew")
			enter(p, admin, secret)
		}
		p.Find("heading", fmt.Sprintf("(?i)^%s$", page))
		p.SeesNo("does not answer")
		faultsUnder[page].lives(t, h, p, "afterwards")
		if !chrome.Eval[bool](p, "window.__same === true") {
			t.Errorf("%s was loaded again", page)
		}
	}
}
