package console

import (
	"strings"
	"testing"

	"tidegate/build/browser/chrome"
	"tidegate/build/browser/house"
)

// The running configuration is shown without secrets, opened by section, searched
// and copied.
func TestRunningConfiguration(t *testing.T) {
	h := house.New(t, house.Config{Program: program, Users: people, More: consoleSection + `
# password = "written where nobody should"

[[hw.sensor]]
kind = "simulated"
name = "cellar"
unit = "%"
low = 40.0
high = 65.0
every = "1s"
`})
	p := login(t, h, chrome.View{}, admin)
	show(p, h, "settings")
	p.Sees("From " + h.File)
	p.Click("DisclosureTriangle", `console.*1 setting`)
	p.Sees(h.Console)
	p.Fill("searchbox", "^Search the configuration$", "cellar")
	p.Sees("1 line in 1 section")
	p.Sees(`name = "cellar"`)
	p.SeesNo(`bind = "` + h.Console)
	if got := chrome.Eval[string](p, "document.querySelector('mark').textContent"); got != "cellar" {
		t.Errorf("set off is %q, want what was searched for", got)
	}
	p.Fill("searchbox", "^Search the configuration$", "password")
	p.Sees(`not shown`)
	p.Fill("searchbox", "^Search the configuration$", "no such key")
	p.Sees("Nothing in the configuration has “no such key”")
	p.Fill("searchbox", "^Search the configuration$", "")
	p.SeesNo("Nothing in the configuration")
	p.Click("button", "^Open all$")
	p.Find("button", "^Close all$")
	p.Sees(`name = "cellar"`)
	if page := p.Text(); strings.Contains(page, "written where nobody should") {
		t.Error("the page shows a secret")
	}
	inViews(t, p, "settings-open")
	p.Look(views[0])
	p.Click("button", "^Close all$")
	p.Do(`window.__copied = ''; document.addEventListener('copy', () => { window.__copied = String(getSelection()) })
		Object.defineProperty(navigator, 'clipboard', { value: undefined })`) // as over HTTP, from another machine
	p.Click("button", "^Copy$")
	p.Until(`window.__copied.includes('name = "cellar"') && window.__copied.includes('[gateway]')`)
	p.Click("button", "^Log out of this browser$")
	p.Find("button", "^Log in$")
}

// A pasted configuration is checked: each problem has its line, its rule and its
// hint, in words, and leads to the line; put right, it is good.
func TestCheckConfiguration(t *testing.T) {
	h := house.New(t, house.Config{Program: program, Users: people, More: consoleSection})
	p := login(t, h, chrome.View{}, admin)
	show(p, h, "settings")
	wrong := strings.Repeat("# a line that says nothing\n", 60) + "[gateway]\nlog-level = \"loud\"\n\n[[uplink]]\nendpoint = [\"mqtts://a.example.com\"]\n"
	p.Fill("textbox", "^Check a configuration$", wrong)
	p.Click("button", "^Check it$")
	p.Sees("4 problems")
	p.Sees(`gateway.log-level is "loud". It must be "debug", "info", "warn" or "error"`)
	p.Sees("(?i)did you mean endpoints")
	inViews(t, p, "settings-wrong")
	p.Look(views[0])
	p.Click("button", "^Line 62$")
	type selected struct {
		Text string
		Seen bool
	}
	if got := chrome.Eval[selected](p, `(() => {
		const e = document.activeElement, height = e.scrollHeight / e.value.split('\n').length
		const top = 61 * height - e.scrollTop
		return { text: e.value?.slice(e.selectionStart, e.selectionEnd), seen: top > 0 && top + height < e.clientHeight }
	})()`); got.Text != `log-level = "loud"` || !got.Seen {
		t.Errorf("the line leads to %+v, want the wrong line, seen", got)
	}

	p.Click("button", "^Change and check$")
	p.Sees("(?i)the gateway has kept|Check it")
	p.Click("button", "^Check it$")
	p.Sees("The gateway can run with this")
	p.Click("button", "^Empty$")
	p.SeesNo("The gateway can run with this")

	p.Do(`const drop = new DataTransfer()
		drop.items.add(new File(['[gateway]\nid = "my home"\n'], 'tidegate.toml'))
		const field = document.querySelector('input[type=file]')
		field.files = drop.files
		field.dispatchEvent(new Event('change'))`)
	p.Until(`document.querySelector('textarea').value.includes('my home')`)
	p.Click("button", "^Check it$")
	p.Sees("1 to 27 letters, digits")
}

// Who may look only sees the configuration, and how to have one checked.
func TestSettingsReadOnly(t *testing.T) {
	h := house.New(t, house.Config{Program: program, Users: people, More: consoleSection})
	p := login(t, h, chrome.View{}, watcher)
	show(p, h, "settings")
	p.Sees("From " + h.File)
	p.Sees("tidegate check FILE")
	p.Sees("look at everything and change nothing")
	for _, name := range []string{"^Check it$", "^Change and check$", "(?i)password"} {
		if got := p.All("button", name); len(got) > 0 {
			t.Errorf("offered to somebody who may look only: %v", got)
		}
	}
	accessible(t, p, "settings, read-only")
}
