package chrome

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/inspector"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
)

// watch collects what is wrong with a page.
type watch struct {
	mu        sync.Mutex // guards what follows
	addresses []string   // host:port
	pardons   []*regexp.Regexp
	found     []string
}

func newWatch(addresses []string) *watch { return &watch{addresses: addresses} }

// enable asks for the events that chromedp does not ask for itself.
func (w *watch) enable(p *Page) {
	p.t.Helper()
	call(p, log.Enable, cdp.Empty{})
	call(p, network.Enable, network.EnableParams{})
	call(p, audits.Enable, cdp.Empty{})
}

func (w *watch) allow(address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.addresses = append(w.addresses, address)
}

func (w *watch) forgive(pattern *regexp.Regexp) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pardons = append(w.pardons, pattern)
}

// take returns what was found, each once, and forgets it.
func (w *watch) take() (left []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.found {
		pardoned := slices.ContainsFunc(w.pardons, func(p *regexp.Regexp) bool { return p.MatchString(f) })
		if !pardoned && !slices.Contains(left, f) {
			left = append(left, f)
		}
	}
	w.found = nil
	return left
}

func (w *watch) complain(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.found = append(w.found, fmt.Sprintf(format, args...))
}

// event runs where the messages of the browser are read, and must not wait.
func (w *watch) event(e any) {
	switch e := e.(type) {
	case *runtime.EventExceptionThrown:
		w.complain("exception: %s", exception(e.ExceptionDetails))
	case *runtime.EventConsoleAPICalled:
		switch e.Type {
		case runtime.ConsoleAPICalledTypeError, runtime.ConsoleAPICalledTypeAssert, runtime.ConsoleAPICalledTypeWarning:
			w.complain("console %s: %s", e.Type, said(e.Args))
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			w.complain("%s %s: %s (%s)", e.Entry.Source, e.Entry.Level, e.Entry.Text, e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		w.request(e.Request.URL)
	case *network.EventWebSocketCreated:
		w.request(e.URL)
	case *audits.EventIssueAdded:
		w.issue(e.Issue)
	case *inspector.EventTargetCrashed:
		w.complain("the tab crashed")
	case *page.EventJavascriptDialogOpening:
		w.complain("a dialogue of the browser's own (%s) says %q", e.Type, e.Message)
	}
}

// request complains of another host.
func (w *watch) request(to string) {
	u, err := url.Parse(to)
	if err != nil {
		w.complain("request to %s", to)
		return
	}
	switch u.Scheme {
	case "data", "blob", "about":
		return
	}
	w.mu.Lock()
	ours := slices.Contains(w.addresses, u.Host)
	w.mu.Unlock()
	if !ours {
		w.complain("request to another host: %s", to)
	}
}

// issue complains of what Chromium tells developers beside the console, advice
// on forms left out.
func (w *watch) issue(i *audits.InspectorIssue) {
	d := i.Details
	switch {
	case d.ContentSecurityPolicyIssueDetails != nil:
		w.complain("Content-Security-Policy: %s %s", d.ContentSecurityPolicyIssueDetails.ViolatedDirective, d.ContentSecurityPolicyIssueDetails.BlockedURL)
	case d.MixedContentIssueDetails != nil, d.CookieIssueDetails != nil, d.BlockedByResponseIssueDetails != nil,
		d.DeprecationIssueDetails != nil, d.QuirksModeIssueDetails != nil, d.StylesheetLoadingIssueDetails != nil:
		w.complain("issue: %s %s", i.Code, JSON(d))
	}
}

func exception(d *runtime.ExceptionDetails) string {
	if d.Exception != nil && d.Exception.Description != "" {
		return d.Exception.Description
	}
	return d.Text
}

func said(args []*runtime.RemoteObject) string {
	var words []string
	for _, a := range args {
		if a.Description != "" {
			words = append(words, a.Description)
		} else {
			words = append(words, plain(a.Value))
		}
	}
	return strings.Join(words, " ")
}
