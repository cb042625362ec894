package console

import (
	"testing"

	"github.com/chromedp/chromedp/kb"

	"tidegate/build/browser/chrome"
	"tidegate/build/browser/house"
)

// What Chromium writes to the console of every request that is answered with
// these codes: a log-in that fails is no fault of the page.
const refusedLogin = `Failed to load resource: the server responded with a status of (400|401|403|429)`

// The log-in can be read and used by everybody, says what was wrong, and slows
// who tries passwords.
func TestGuessing(t *testing.T) {
	h := house.New(t, house.Config{Program: program, More: consoleSection})
	p := browser.Open(t, chrome.View{})
	p.Go("http://" + h.Console + "/")
	p.Find("button", "^Log in$")
	inViews(t, p, "login")
	p.Look(views[0])

	p.Forgive(refusedLogin)
	p.Fill("textbox", "^Password$", "not the password")
	p.Press(kb.Enter)
	p.Sees("(?i)wrong name or password")
	accessible(t, p, "a log-in that failed")
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
	p.Fill("textbox", "^Password$", "one more guess")
	p.Press(kb.Enter)
	p.Sees(`(?i)too many log-ins(?s:.)*try again in \d+ seconds`)
}
