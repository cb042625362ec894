package chrome

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/security"
	"github.com/chromedp/chromedp"
)

// View is what somebody looks at a page with.
type View struct {
	Width, Height int // CSS pixels; 1280 by 800 when 0
	Dark          bool
	Motion        bool    // wants to see things move
	Slow          float64 // how many times slower than this machine its processor is; 0 and 1: not at all
}

func (v View) String() string {
	light := "light"
	if v.Dark {
		light = "dark"
	}
	return fmt.Sprintf("%d %s", v.Width, light)
}

// Page is a tab in a context of its own.
type Page struct {
	t     testing.TB
	ctx   context.Context
	close context.CancelFunc
	watch *watch
}

// Open opens an empty tab, until Close or the end of the test. Addresses are
// "host:port" that its pages may ask for things.
func (b *Browser) Open(t testing.TB, v View, addresses ...string) *Page {
	t.Helper()
	return open(t, b.ctx, v, addresses, chromedp.WithNewBrowserContext())
}

// Beside opens an empty tab in the same context: cookies, cache and connections are
// the same.
func (p *Page) Beside(v View, addresses ...string) *Page {
	p.t.Helper()
	return open(p.t, p.ctx, v, addresses)
}

func open(t testing.TB, parent context.Context, v View, addresses []string, options ...chromedp.ContextOption) *Page {
	t.Helper()
	p := &Page{t: t, watch: newWatch(addresses)}
	p.ctx, p.close = chromedp.NewContext(parent, append(options, chromedp.WithListener(p.watch.event))...)
	t.Cleanup(p.Close)
	if err := chromedp.Do(p.ctx); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	p.watch.enable(p)
	p.Look(v)
	return p
}

// Close closes the tab, as a person does: the page is not asked. The test fails
// with what was wrong with it.
func (p *Page) Close() {
	if p.ctx.Err() != nil {
		return
	}
	p.Blame()
	p.close()
}

// Blame fails the test with what was wrong with the page so far.
func (p *Page) Blame() {
	p.t.Helper()
	for _, c := range p.watch.take() {
		p.t.Errorf("the page: %s", c)
	}
	if p.t.Failed() {
		p.keep()
	}
}

// keep saves what a failed test last saw, where CI's log can name it.
func (p *Page) keep() {
	dir := os.Getenv("TIDEGATE_FAILED_PAGES")
	if dir == "" {
		return
	}
	if png, err := try(p, page.CaptureScreenshot, page.CaptureScreenshotParams{}); err == nil {
		file := filepath.Join(dir, strings.NewReplacer("/", "-", " ", "-").Replace(p.t.Name())+".png")
		if os.WriteFile(file, png.Data, 0o644) == nil {
			p.t.Logf("see %s", file)
		}
	}
}

// Forgive lets pass, from the beginning on, what matches.
func (p *Page) Forgive(pattern string) { p.watch.forgive(regexp.MustCompile(pattern)) }

// Look changes what the page is looked at with.
func (p *Page) Look(v View) {
	p.t.Helper()
	if v.Width == 0 {
		v.Width, v.Height = 1280, 800
	}
	scheme, motion := "light", "reduce"
	if v.Dark {
		scheme = "dark"
	}
	if v.Motion {
		motion = "no-preference"
	}
	call(p, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: int64(v.Width), Height: int64(v.Height), DeviceScaleFactor: 1, Mobile: v.Width < 600,
	})
	call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: motion},
	}})
	call(p, emulation.SetCPUThrottlingRate, emulation.SetCPUThrottlingRateParams{Rate: max(1, v.Slow)})
}

// Go opens an address and returns when the page has loaded.
func (p *Page) Go(to string) {
	p.t.Helper()
	if u, err := url.Parse(to); err == nil {
		p.watch.allow(u.Host)
	}
	p.run("open "+to, chromedp.Navigate(to))
}

// Reload loads the page again.
func (p *Page) Reload() {
	p.t.Helper()
	p.run("reload", chromedp.Reload())
}

// AtStart runs a script in every document that is loaded from now on, before
// its own.
func (p *Page) AtStart(script string) {
	p.t.Helper()
	call(p, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
}

func (p *Page) run(what string, steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatalf("%s: %v", what, err)
	}
}

// Eval evaluates an expression in the page, waits for a promise, and returns the
// value, which must not be undefined.
func Eval[T any](p *Page, expression string) T {
	p.t.Helper()
	v, err := eval[T](p, expression)
	if err != nil {
		p.t.Fatalf("in the page, %.300s: %v", expression, err)
	}
	return v
}

// Do runs statements in the page, in which await may stand.
func (p *Page) Do(statements string) {
	p.t.Helper()
	Eval[bool](p, "(async () => {"+statements+"\nreturn true})()")
}

func eval[T any](p *Page, expression string) (v T, err error) {
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// Until waits until an expression is true. A page that is just being left is
// asked again.
func (p *Page) Until(expression string) {
	p.t.Helper()
	var last error
	until(p.t, func() bool {
		ok, err := eval[bool](p, "!!("+expression+")")
		last = err
		return ok
	}, func() string {
		return fmt.Sprintf("in the page not true: %s (%v); it shows:\n%s", expression, last, p.text())
	})
}

// Sees waits until the page shows text that matches.
func (p *Page) Sees(pattern string) {
	p.t.Helper()
	want := regexp.MustCompile(pattern)
	until(p.t, func() bool { return want.MatchString(p.text()) }, func() string {
		return fmt.Sprintf("want text that matches %q; the page shows:\n%s", pattern, p.text())
	})
}

// SeesNo waits until the page shows no text that matches.
func (p *Page) SeesNo(pattern string) {
	p.t.Helper()
	not := regexp.MustCompile(pattern)
	until(p.t, func() bool { return !not.MatchString(p.text()) }, func() string {
		return fmt.Sprintf("want no text that matches %q; the page shows:\n%s", pattern, p.text())
	})
}

// Text returns what the page shows.
func (p *Page) Text() string { return p.text() }

// text is what is seen in the body, white space as seen.
func (p *Page) text() string {
	s, err := eval[string](p, "document.body ? document.body.innerText : ''")
	if err != nil {
		return ""
	}
	return s
}

// Screenshot returns a PNG of what is seen, or of the whole page however long.
func (p *Page) Screenshot(whole bool) []byte {
	p.t.Helper()
	return call(p, page.CaptureScreenshot, page.CaptureScreenshotParams{CaptureBeyondViewport: &whole}).Data
}

// JSON returns a value as an expression of JavaScript.
func JSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // of the test's own value
	}
	return string(text)
}

// document returns the root of the page for queries.
func (p *Page) document() (runtime.RemoteObjectID, error) {
	r, err := try(p, runtime.Evaluate, runtime.EvaluateParams{Expression: "document", ObjectGroup: "find"})
	if err != nil {
		return "", err
	}
	return r.Result.ObjectID, nil
}

// TrustAll lets the tab believe every certificate.
func (p *Page) TrustAll() {
	p.t.Helper()
	call(p, security.SetIgnoreCertificateErrors, security.SetIgnoreCertificateErrorsParams{Ignore: true})
}

// Cookie is one that the tab has.
type Cookie struct {
	Name, SameSite string
	HTTPOnly       bool
}

// Cookies returns those of the page.
func (p *Page) Cookies() (all []Cookie) {
	p.t.Helper()
	for _, c := range call(p, network.GetCookies, network.GetCookiesParams{}).Cookies {
		all = append(all, Cookie{c.Name, string(c.SameSite), c.HTTPOnly})
	}
	return all
}

// ForgetCache empties the browser's cache.
func (p *Page) ForgetCache() {
	p.t.Helper()
	call(p, network.ClearBrowserCache, cdp.Empty{})
}
