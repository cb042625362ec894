package chrome

import (
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/performance"
)

// Measures are what Chromium counts of a page. Work is time of the processor, so
// that what else runs on the machine does not add to it; a throttled processor's is
// longer by the throttle.
type Measures struct {
	Work, Script     time.Duration // of the page's thread: all, and of it JavaScript
	Heap             int           // bytes of JavaScript in use, garbage that was not collected too
	Nodes, Listeners int           // of all documents, garbage too
}

// Measure returns what was counted in the page's process since it was called first.
func (p *Page) Measure() (m Measures) {
	p.t.Helper()
	call(p, performance.Enable, performance.EnableParams{TimeDomain: performance.EnableTimeDomainThreadTicks})
	for _, one := range call(p, performance.GetMetrics, cdp.Empty{}).Metrics {
		seconds := time.Duration(one.Value * float64(time.Second))
		switch one.Name {
		case "TaskDuration":
			m.Work = seconds
		case "ScriptDuration":
			m.Script = seconds
		case "JSHeapUsedSize":
			m.Heap = int(one.Value)
		case "Nodes":
			m.Nodes = int(one.Value)
		case "JSEventListeners":
			m.Listeners = int(one.Value)
		}
	}
	return m
}

// CollectGarbage leaves nothing in the page's memory that cannot be reached.
func (p *Page) CollectGarbage() {
	p.t.Helper()
	call(p, heapprofiler.CollectGarbage, cdp.Empty{})
}

// Network puts the page behind a network: latency from a request to the head of its
// answer, and bits a second each way.
func (p *Page) Network(latency time.Duration, bits int) {
	p.t.Helper()
	call(p, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{MatchedNetworkConditions: []*network.Conditions{{
		Latency: float64(latency.Milliseconds()), DownloadThroughput: float64(bits) / 8, UploadThroughput: float64(bits) / 8,
	}}})
}
