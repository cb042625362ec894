package console

import (
	"strings"
	"testing"

	"tidegate/build/browser/chrome"
	"tidegate/build/browser/house"
)

// refused lets a stranger try to come in, which the log tells.
func refused(t *testing.T, h *house.House, name string) {
	t.Helper()
	if out, err := house.TryPub(h.MQTT, house.Login{User: name, Password: "wrong"}, "-t", "home/x", "-m", "x"); err == nil {
		t.Fatalf("%s came in: %s", name, out)
	}
}

// Lines appear as they are written; level and words choose among them; what is
// shown can be copied and kept as a file; paused, nothing moves.
func TestLog(t *testing.T) {
	h := house.New(t, house.Config{Program: program, Users: people, More: consoleSection})
	p := login(t, h, chrome.View{}, admin)
	p.AtStart(`navigator.clipboard && (navigator.clipboard.writeText = async s => { window.__copied = s });
		const make = URL.createObjectURL; URL.createObjectURL = b => { window.__saved = b; return make.call(URL, b) }`)
	p.Reload()
	p.Find("heading", "^Now$")
	show(p, h, "log")
	p.Sees(`\d+ lines`)
	refused(t, h, "burglar")
	p.Sees("burglar")
	accessible(t, p, "a warning")

	p.Fill("searchbox", "^With the words$", "burglar")
	p.Sees(`1 of \d+ lines`)
	p.Until(`[...document.querySelectorAll('.log tbody tr')].every(r => r.innerText.includes('burglar'))`)
	refused(t, h, "thief")
	refused(t, h, "second-burglar")
	p.Sees("second-burglar")
	p.SeesNo("thief")
	p.Click("button", "^Copy$")
	p.Until("window.__copied")
	if got := chrome.Eval[string](p, "window.__copied"); strings.Count(got, "\n") != 2 || strings.Index(got, "burglar") > strings.Index(got, "second-burglar") {
		t.Errorf("copied %q, want the two lines that are shown, the oldest first", got)
	}
	p.Click("button", "^Download$")
	if got := chrome.Eval[string](p, "window.__saved.text()"); got != chrome.Eval[string](p, "window.__copied") {
		t.Errorf("saved %q", got)
	}

	p.Fill("searchbox", "^With the words$", "nobody ever wrote this")
	p.Sees("No line is like that")
	p.Fill("searchbox", "^With the words$", "burglar")
	p.Click("button", "^Pause$")
	refused(t, h, "third-burglar")
	p.Find("button", `^Go on, \d+ new$`)
	p.SeesNo("third-burglar")
	p.Click("button", "^Go on")
	p.Sees("third-burglar")
	p.Choose("^Show$", "Errors")
	p.SeesNo("burglar")
}

// Who may look only reads the log, too, and it goes on after a restart of the
// gateway.
func TestLogAfterRestart(t *testing.T) {
	h := house.New(t, house.Config{Program: program, Users: people, More: consoleSection})
	p := login(t, h, chrome.View{}, watcher)
	show(p, h, "log")
	refused(t, h, "before-it")
	p.Sees("before-it")
	p.Forgive("ERR_CONNECTION|ERR_INCOMPLETE_CHUNKED|" + refusedLogin)
	h.Stop()
	h.Start()
	p.Until(`document.querySelector('input[type=password]') || document.querySelector('main h1')?.textContent === 'Log'`)
	p.Sees("(?i)log-in has ended|started anew")
	enter(p, watcher, secret)
	p.Find("heading", "^Log$")
	refused(t, h, "after-it")
	p.Sees("after-it")
	p.SeesNo("before-it")
}
