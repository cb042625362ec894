package console

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"tidegate/build/browser/chrome"
	"tidegate/build/browser/house"
)

// focus is where the keyboard is.
type focus struct {
	Where string // in the document, for people who read the test's log
	Index int    // among all that can have the focus; -1: none of them
	Of    int
	Seen  bool // there is something to see of the focus, and of the element
}

const focusScript = `(() => {
	const all = [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex="0"]')]
		.filter(e => !e.disabled && e.tabIndex >= 0 && e.checkVisibility({ visibilityProperty: true }))
	const e = document.activeElement, s = getComputedStyle(e), box = e.getBoundingClientRect()
	const inside = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth
	return { where: e.outerHTML.slice(0, 100), index: all.indexOf(e), of: all.length,
		seen: inside && box.width > 0 && ((s.outlineStyle !== 'none' && s.outlineWidth !== '0px') || s.boxShadow !== 'none') }
})()`

// walk goes with Tab from the top through all there is, and says where it was.
func walk(t *testing.T, p *chrome.Page, where string) {
	t.Helper()
	p.Do("document.activeElement.blur(); scrollTo(0, 0); const top = document.body; top.tabIndex = -1; top.focus({ preventScroll: true }); top.removeAttribute('tabindex')")
	visited := map[int]bool{}
	for step := 0; ; step++ {
		p.Press(kb.Tab)
		f := chrome.Eval[focus](p, focusScript)
		if f.Index < 0 || visited[f.Index] {
			if len(visited) < f.Of {
				t.Errorf("%s: Tab reaches %d of %d; then %s", where, len(visited), f.Of, f.Where)
			}
			return
		}
		visited[f.Index] = true
		if !f.Seen {
			t.Errorf("%s: nothing shows that the focus is on %s", where, f.Where)
		}
		if step > 500 {
			t.Fatalf("%s: Tab does not come to an end", where)
		}
	}
}

// Everything is done with keys alone: log in, go past the navigation, to a page,
// through all its controls.
func TestKeyboard(t *testing.T) {
	h := inhabited(t, house.NewCloud(t))
	p := browser.Open(t, chrome.View{})
	p.Go("http://" + h.Console + "/")
	p.Find("button", "^Log in$")
	walk(t, p, "log-in")
	p.Find("textbox", "^Password$")
	p.Do(`document.querySelector('input[type=password]').focus()`)
	p.Press(secret)
	p.Press(kb.Enter)
	p.Find("heading", "^Now$")

	p.Reload()
	p.Find("heading", "^Now$")
	p.Press(kb.Tab)
	if got := p.Focused(); got.Role != "link" || got.Name != "Skip to the content" {
		t.Errorf("the first Tab: got %v, want the link past the navigation", got)
	}
	p.Press(kb.Enter)
	if got := chrome.Eval[string](p, "document.activeElement.id"); got != "main" {
		t.Errorf("the link past the navigation leads to %q", got)
	}
	for _, page := range pages {
		p.Do(fmt.Sprintf(`document.querySelector('nav a[href="#/%s"]').focus()`, page))
		p.Press(kb.Enter)
		p.Find("heading", "(?i)^"+page)
		p.Until("document.activeElement.tagName === 'H1'") // only then is it shown anew
		walk(t, p, page)
	}
}
