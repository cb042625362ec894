package console

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidegate/build/browser/chrome"
	"tidegate/build/browser/house"
)

const axe = "../npm/node_modules/axe-core/axe.min.js"

var screenshots = flag.String("screenshots", "", "the `folder` where pictures of all pages go")

// accessible fails the test for what axe-core finds serious or critical.
func accessible(t *testing.T, p *chrome.Page, where string) {
	t.Helper()
	script, err := os.ReadFile(axe)
	if err != nil {
		t.Fatalf("%v; install axe-core with: make setup", err)
	}
	p.Do("if (!window.axe) { " + string(script) + "\n}")
	type violation struct {
		ID, Impact, Help string
		Nodes            []struct{ HTML, FailureSummary string }
	}
	for _, v := range chrome.Eval[[]violation](p, `axe.run(document, { preload: false, resultTypes: ['violations'] }).then(r =>
		r.violations.map(({ id, impact, help, nodes }) => ({ id, impact, help, nodes: nodes.slice(0, 3).map(({ html, failureSummary }) => ({ html, failureSummary })) })))`) {
		if v.Impact != "serious" && v.Impact != "critical" {
			t.Logf("%s: %s (%s): %s", where, v.ID, v.Impact, v.Help)
			continue
		}
		t.Errorf("%s: %s (%s): %s", where, v.ID, v.Impact, v.Help)
		for _, n := range v.Nodes {
			t.Logf("%s\n%s", n.HTML, n.FailureSummary)
		}
	}
}

// fits fails the test when something can be scrolled to the side.
func fits(t *testing.T, p *chrome.Page, where string) {
	t.Helper()
	if wide := chrome.Eval[int](p, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); wide > 0 {
		t.Errorf("%s: %d pixels wider than the window: %s", where, wide, chrome.Eval[string](p,
			`[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1).slice(0, 5).map(e => e.outerHTML.slice(0, 120)).join('\n')`))
	}
}

// picture writes a screenshot when they are wanted.
func picture(t *testing.T, p *chrome.Page, name string, v chrome.View) {
	t.Helper()
	if *screenshots == "" {
		return
	}
	p.Do("scrollTo(0, 0)") // or the head of the page stands in the middle of it
	file := filepath.Join(*screenshots, strings.ReplaceAll(fmt.Sprintf("%s %v.png", name, v), " ", "-"))
	if err := os.MkdirAll(*screenshots, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, p.Screenshot(true), 0o644); err != nil {
		t.Fatal(err)
	}
}

// inViews looks at a page in every view.
func inViews(t *testing.T, p *chrome.Page, name string) {
	t.Helper()
	for _, v := range views {
		p.Look(v)
		where := fmt.Sprintf("%s, %v", name, v)
		fits(t, p, where)
		accessible(t, p, where)
		picture(t, p, name, v)
	}
}

// lived is how long the house has run before pictures are taken.
var lived = flag.Duration("lived", 0, "how `long` the house runs before pictures are taken")

// Every page, light and dark, wide and narrow, with live data: nothing serious
// for axe-core, nothing wider than the window; and its picture, when wanted.
func TestEveryPage(t *testing.T) {
	cloud := house.NewCloud(t)
	h := inhabited(t, cloud)
	household(t, h)
	house.NewFleet(t, h.MQTT, house.Login{}, 12).Talk(60)
	p := login(t, h, chrome.View{}, admin)
	live(cloud, *lived)
	for _, page := range pages {
		p.Look(views[0])
		show(p, h, page)
		p.Until("document.querySelector('main .page')?.innerText.trim().length > 20")
		if open := opened[page]; open != nil {
			open(p)
		}
		inViews(t, p, page)
	}
}

// household lets some devices with names of their own come in, and say something.
func household(t *testing.T, h *house.House) {
	t.Helper()
	house.Subscribe(t, h.MQTT, house.Login{}, "-i", "home-assistant", "-V", "mqttv5", "-t", "home/#")
	for _, d := range []struct{ name, topic, payload string }{
		{"doorbell", "home/door/bell", "2026-11-23T08:12:00Z"},
		{"hall-lamp", "home/hall/lamp", `{"state":"ON","brightness":180}`},
		{"kitchen-light", "home/kitchen/light", `{"state":"OFF","brightness":0}`},
		{"thermostat", "home/living-room/thermostat", `{"target":21.0,"current":20.6,"mode":"heat"}`},
		{"washing-machine", "home/laundry/washing-machine", "rinsing"},
	} {
		house.Subscribe(t, h.MQTT, house.Login{}, "-i", d.name, "-V", "mqttv5", "-t", d.topic+"/set", "-q", "1")
		pub(t, h, d.topic, d.payload, "-r")
	}
}

// live lets so much time pass. A server of the cloud is away for a while in it, and
// then for a moment all of them.
func live(cloud *house.Cloud, long time.Duration) {
	if long == 0 {
		return
	}
	time.Sleep(long * 4 / 10)
	cloud.Shut(0)
	time.Sleep(long / 10)
	cloud.Open(0)
	time.Sleep(long * 2 / 10)
	cloud.Shut()
	time.Sleep(long / 10)
	cloud.Open()
	time.Sleep(long * 2 / 10)
}
