package console

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"tidegate/build/browser/chrome"
	"tidegate/build/browser/house"
)

// What Chromium writes to the console of every request that is answered with
// these codes: a log-in that fails is no fault of the page.
const refusedLogin = `Failed to load resource: the server responded with a status of (400|401|403|429)`

// The first visitor chooses the password; the next must know it.
func TestFirstVisit(t *testing.T) {
	h := house.New(t, house.Config{Program: program, More: consoleSection})
	p := browser.Open(t, chrome.View{})
	p.Go("http://" + h.Console + "/")
	p.Find("heading", "^Welcome$")
	inViews(t, p, "first-visit")

	p.Fill("textbox", "^Password$", secret)
	p.Fill("textbox", "^The same again$", "another password")
	p.Click("button", "^Set the password$")
	p.Sees("not the same")
	p.Fill("textbox", "^The same again$", secret)
	p.Press(kb.Enter)
	p.Find("heading", "^Now$")

	other := browser.Open(t, chrome.View{})
	other.Go("http://" + h.Console + "/")
	other.Find("button", "^Log in$")
	if got := other.All("heading", "Welcome"); len(got) > 0 {
		t.Error("a second visitor is asked for the first password")
	}
	enter(other, admin, secret)
	other.Find("heading", "^Now$")

	h.Stop()
	h.Start()
	again := browser.Open(t, chrome.View{})
	again.Go("http://" + h.Console + "/")
	enter(again, admin, secret)
	again.Find("heading", "^Now$")
	for _, page := range []*chrome.Page{p, other} {
		page.Forgive("ERR_CONNECTION|ERR_INCOMPLETE_CHUNKED|" + refusedLogin)
	}
}

// A wrong password is refused in words; the log-in survives a reload, ends with
// the button, and its cookie is out of reach of scripts.
func TestLogin(t *testing.T) {
	h := house.New(t, house.Config{Program: program, Users: people, More: consoleSection})
	p := browser.Open(t, chrome.View{})
	p.Go("http://" + h.Console + "/")
	p.Find("button", "^Log in$")
	inViews(t, p, "login")
	p.Look(views[0])

	p.Forgive(refusedLogin)
	enter(p, admin, "not the password")
	p.Sees("(?i)wrong name or password")
	accessible(t, p, "a log-in that failed")
	p.Fill("textbox", "^Password$", secret)
	p.Press(kb.Enter)
	p.Find("heading", "^Now$")
	if got := chrome.Eval[string](p, "document.cookie"); got != "" {
		t.Errorf("scripts see the cookie %q", got)
	}
	for _, c := range p.Cookies() {
		if !c.HTTPOnly || c.SameSite != "Strict" {
			t.Errorf("cookie %s: HttpOnly %v, SameSite %s", c.Name, c.HTTPOnly, c.SameSite)
		}
	}
	p.Reload()
	p.Find("heading", "^Now$")
	p.Click("button", "^Log out$")
	p.Find("button", "^Log in$")
	p.Reload()
	p.Find("button", "^Log in$")
}

// Who tries passwords is slowed; a good log-in from elsewhere is not, and the
// page says how long to wait.
func TestGuessing(t *testing.T) {
	h := house.New(t, house.Config{Program: program, Users: people, More: consoleSection})
	p := browser.Open(t, chrome.View{})
	p.Forgive(refusedLogin)
	p.Go("http://" + h.Console + "/")
	p.Find("button", "^Log in$")
	codes := chrome.Eval[[]int](p, `(async () => {
		const codes = []
		for (let i = 0; i < 40 && !codes.includes(429); i++) {
			codes.push((await fetch('/api/login', { method: 'POST', headers: { 'Content-Type': 'application/json' },
				body: JSON.stringify({ user: 'admin', password: 'guess ' + i }) })).status)
		}
		return codes
	})()`)
	if codes[len(codes)-1] != 429 {
		t.Errorf("40 guesses were answered %v, want 429 after some", codes)
	}
	enter(p, admin, "one more guess")
	p.Sees(`(?i)too many log-ins.*(?s:.)*try again in \d+ seconds`)
}

// Who may look only sees all pages and can change nothing, in the page and past
// it; nor can anybody without the page's token.
func TestReadOnly(t *testing.T) {
	h := house.New(t, house.Config{Program: program, Users: people, More: consoleSection})
	p := login(t, h, chrome.View{}, watcher)
	p.Sees("may look only")
	for _, page := range pages {
		show(p, h, page)
		for _, b := range p.All("button", "(?i)^(disconnect|add|publish|remove|retry|drop|new password|toggle)") {
			if !b.Disabled() {
				t.Errorf("%s offers %v to somebody who may look only", page, b)
			}
		}
	}
	p.Forgive(refusedLogin)
	change := func(p *chrome.Page, token string) int {
		return chrome.Eval[int](p, fmt.Sprintf(`(async () => {
			const { csrf } = await (await fetch('/api/session')).json()
			return (await fetch('/api/v1/publish', { method: 'POST', headers: { 'Content-Type': 'application/json', %s },
				body: JSON.stringify({ topic: 'home/x', payload: 'x', encoding: 'text', qos: 0, retain: false }) })).status
		})()`, token))
	}
	if got := change(p, "'X-CSRF-Token': csrf"); got != 403 {
		t.Errorf("a change by somebody who may look only: got %d, want 403", got)
	}
	boss := login(t, h, chrome.View{}, admin)
	boss.Forgive(refusedLogin)
	if got := change(boss, ""); got != 403 {
		t.Errorf("a change without the page's token: got %d, want 403", got)
	}
	if got := change(boss, "'X-CSRF-Token': csrf"); got != 200 {
		t.Errorf("a change by the administrator: got %d, want 200", got)
	}
}

// show goes to a page and waits until it is there.
func show(p *chrome.Page, h *house.House, page string) {
	p.Go("http://" + h.Console + "/#/" + page)
	p.Find("heading", "^"+strings.ToUpper(page[:1])+page[1:])
}
