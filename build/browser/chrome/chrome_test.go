package chrome

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

var browser *Browser // of all tests

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if browser, err = Start(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer browser.Close()
		return m.Run()
	}())
}

// serve serves one document with a strict policy.
func serve(t *testing.T, body string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			w.Header().Set("Content-Security-Policy", "default-src 'self'; img-src *; connect-src *")
			fmt.Fprintf(w, "<!doctype html><html lang=en><meta name=viewport content='width=device-width'><title>t</title><link rel=icon href=/icon><script src=/s.js></script>%s", body)
		case "/icon":
		case "/s.js":
			w.Header().Set("Content-Type", "text/javascript")
			fmt.Fprint(w, `function bad(kind) {
				({ error: () => console.error('no', 1), throw: () => setTimeout(() => { throw new Error('thrown') }),
				   reject: () => { Promise.reject(new Error('rejected')) }, missing: () => fetch('/missing'),
				   image: () => { new Image().src = 'http://example.com/i.png' }, socket: () => { new WebSocket('ws://example.com/') },
				   beacon: () => navigator.sendBeacon('http://example.com/b') })[kind]()
			}`)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// Whatever the watch is for is found, and nothing where nothing is wrong.
func TestWatch(t *testing.T) {
	for what, want := range map[string]string{
		"bad('error')":   "console error: no 1",
		"bad('throw')":   "exception: Error: thrown",
		"bad('reject')":  "exception: Error: rejected",
		"bad('missing')": "404 (Not Found)",
		"bad('image')":   "request to another host: http://example.com/i.png",
		"bad('socket')":  "request to another host: ws://example.com/",
		"bad('beacon')":  "request to another host: http://example.com/b",
		"document.body.append(Object.assign(document.createElement('script'), {textContent: '1'}))": "Content-Security-Policy: script-src-elem",
		"document.body.setAttribute('style', 'color: red')":                                         "Content-Security-Policy: style-src-attr",
		"alert('hello')": `(alert) says "hello"`,
		"":               "",
	} {
		t.Run(want, func(t *testing.T) {
			at := serve(t, "<p>here")
			p := browser.Open(t, View{})
			p.Go(at)
			p.Sees("^here$")
			p.Do("setTimeout(() => {" + what + "})") // a dialogue holds up who waits
			var found []string
			if want == "" {
				found = p.watch.take()
				if len(found) > 0 {
					t.Fatalf("got %q, want nothing", found)
				}
				return
			}
			until(t, func() bool {
				found = append(found, p.watch.take()...)
				return strings.Contains(strings.Join(found, "\n"), want)
			}, func() string { return fmt.Sprintf("got %q, want %q", found, want) })
			p.Forgive(".") // what else comes of it
		})
	}
}

// Things are found by role and name, and used with mouse and keys.
func TestPerson(t *testing.T) {
	at := serve(t, `<label>Your "name" <input value=old></label><button aria-label="Say it">x</button>
		<div aria-hidden=true><button>Say it twice</button></div><p id=out></p><div id=space></div><button id=far>Far</button>`)
	p := browser.Open(t, View{Width: 360, Height: 640, Dark: true})
	p.Go(at)
	p.Do(`const out = document.getElementById('out')
		document.getElementById('space').style.height = '3000px'
		document.querySelector('button').onclick = () => { out.textContent = 'Hello, ' + document.querySelector('input').value }
		document.getElementById('far').onclick = () => { out.textContent = 'far' }`)
	p.Fill("textbox", `^Your "name"$`, "Zoë")
	p.Press(kb.Tab)
	if got := p.Focused(); got.Role != "button" || got.Name != "Say it" {
		t.Errorf("after Tab: got %v, want button Say it", got)
	}
	p.Press(kb.Enter)
	p.Sees("Hello, Zoë")
	p.Click("button", "^Far$")
	p.Sees("^far$|\nfar\n")
	p.Do(`out.textContent = ''
		document.addEventListener('mousemove', () => { document.getElementById('space').style.height = '3200px' }, { once: true })`)
	p.Click("button", "^Far$") // moves away under the mouse, once
	p.Sees("^far$|\nfar\n")
	if got := p.All("button", "^Say it"); len(got) != 1 {
		t.Errorf("got %v, want the button that a screen reader knows", got)
	}
	if !Eval[bool](p, `matchMedia('(prefers-color-scheme: dark)').matches && innerWidth === 360`) {
		t.Error("not dark and narrow")
	}
	p.Do(`const cover = document.createElement('div'); cover.id = 'cover'
		Object.assign(cover.style, {position: 'fixed', inset: 0}); document.body.append(cover)`)
	if err := p.Find("button", "^Far$").click(); err == nil || !strings.Contains(err.Error(), "cover") {
		t.Errorf("a click on what is covered: got %v, want an error", err)
	}
}
