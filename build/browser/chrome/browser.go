// Package chrome drives a headless Chromium in tests as a person would: things
// are found by what they are and what they are called, clicked where they are
// seen, typed into with keys. Each page has a context of its own (cookies,
// cache) and is watched: whatever a developer would see in red, and every
// request to another host, fails its test.
package chrome

import (
	"context"
	"fmt"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/chromedp"
)

// patience is how long what must come may take. It is long, because the machine
// may be slow; nothing waits for it to pass.
const patience = 60 * time.Second

// Browser is one Chromium. Its pages share it and nothing else.
type Browser struct {
	ctx  context.Context
	stop context.CancelFunc
}

// Start starts Chromium (Debian: chromium). It ends with this process, if not
// before by Close. It reaches no host but 127.0.0.1 and localhost.
func Start() (*Browser, error) {
	program, err := exec.LookPath("chromium")
	if err != nil {
		return nil, fmt.Errorf("%w; install it with: make setup (apt install chromium)", err)
	}
	// What chromedp has by default, and --no-sandbox for root only.
	flags := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program),
		chromedp.Flag("disable-gpu", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-domain-reliability", true),
		chromedp.Flag("no-pings", true),
		chromedp.Flag("font-render-hinting", "none"),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"),
		chromedp.Flag("lang", "en-GB"),
	)
	allocator, free := chromedp.NewExecAllocator(context.Background(), flags...)
	ctx, cancel := chromedp.NewContext(allocator)
	b := &Browser{ctx: ctx, stop: func() { cancel(); free() }}
	if err := chromedp.Do(ctx); err != nil {
		b.stop()
		return nil, fmt.Errorf("start chromium: %w", err)
	}
	return b, nil
}

// Close ends Chromium and removes its files.
func (b *Browser) Close() error {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	err := chromedp.Cancel(ctx)
	b.stop()
	return err
}

// call sends one command of the DevTools protocol to the page.
func call[P, R any](p *Page, cmd cdp.Command[P, R], params P) R {
	p.t.Helper()
	r, err := try(p, cmd, params)
	if err != nil {
		p.t.Fatalf("%s: %v", cmd.Method, err)
	}
	return r
}

func try[P, R any](p *Page, cmd cdp.Command[P, R], params P) (R, error) {
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	return chromedp.Call(ctx, cmd, params)
}

// until asks every 50 ms until ok, and fails the test after the patience with
// what describe says then.
func until(t testing.TB, ok func() bool, describe func() string) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after %v: %s", patience, describe())
		}
	}
}
