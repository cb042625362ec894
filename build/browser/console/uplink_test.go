package console

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tidegate/build/browser/chrome"
	"tidegate/build/browser/house"
)

// A server of the cloud goes away while the page is open: its links move, and
// the timeline and the list below it tell so. Then all servers do.
func TestFailoverOnTheTimeline(t *testing.T) {
	cloud := house.NewCloud(t)
	h := inhabited(t, cloud)
	house.NewFleet(t, h.MQTT, house.Login{}, 5).Talk(50)
	p := login(t, h, chrome.View{}, admin)
	p.Click("link", "^Uplink$")
	p.Find("heading", "^Links to the cloud$")
	p.Do("window.__same = true")
	for _, node := range []int{0, 1} {
		p.Find("image", `^u[01]: connected to `+cloud.Door(node)+" since")
	}
	p.Until(drawn(3))
	p.Until(`[...document.querySelectorAll('table.summary tbody tr')].filter(r => /\d ms/.test(r.innerText)).length === 2`)

	cloud.Shut(0)
	p.Sees(`(?s)moved.*u[01] Moved to another server`)
	for _, link := range []string{"u0", "u1"} {
		p.Find("image", "^"+link+": connected to "+cloud.Door(1)+" since")
	}
	p.Find("image", `^u[01]: .*1 interruption`)
	p.Until(`document.querySelector('.track .bar.down')`)
	accessible(t, p, "after a failover")

	cloud.Shut()
	p.Find("image", "^u0: no connection since")
	p.Find("image", "^u1: no connection since")
	p.Sees("(?i)storing")
	p.Until(`/[1-9]\d* (now|at most)/.test([...document.querySelectorAll('.card')].find(c => c.innerText.startsWith('Waiting for the cloud')).innerText)`)
	inViews(t, p, "uplink-away")
	p.Look(views[0])

	cloud.Open()
	p.Find("image", "^u0: connected to")
	p.Sees("(?i)flowing")
	if !chrome.Eval[bool](p, "window.__same === true") {
		t.Error("the page was loaded again")
	}
	for _, span := range []string{"15 min", "6 h", "24 h"} {
		p.Click("button", "^"+span+"$")
		p.Until(`document.querySelector('.ranges [aria-pressed=true]').innerText === '` + span + `'`)
	}
}

// What gave way because there was no room is told with how much and why; and while a
// backlog goes up, how long that will take.
func TestOverflowAndBacklog(t *testing.T) {
	cloud := house.NewCloud(t)
	h := house.New(t, house.Config{Program: program, Users: people, More: consoleSection + `
[[uplink]]
name = "cloud"
endpoints = ` + cloud.Endpoints() + `
cluster = false
up = [{filter = "home/#", add = "houses/17/"}]
[uplink.spool]
replay-rate = 40
[uplink.spool.normal]
window-messages = 64
`})
	p := login(t, h, chrome.View{}, admin)
	p.Click("link", "^Uplink$")
	p.Sees("Nothing was dropped since the gateway started")
	cloud.Shut()
	p.Find("image", "^u0: no connection since")
	fleet := house.NewFleet(t, h.MQTT, house.Login{}, 100)
	fleet.Publish() // QoS 0 in one go is more than there is room for
	const told = `[\d,]+ messages? of home/#: the memory for what waits was full, and the oldest gave way`
	p.Sees(told)
	accessible(t, p, "after an overflow")
	house.Pub(t, h.MQTT, house.Login{}, "-q", "1", "-t", "home/meter", "-m", "1", "--repeat", "400", "--repeat-delay", "0")
	p.Click("link", "^Now$")
	p.Sees(`(?s)Waiting for the cloud\s+\d+ messages`)
	cloud.Open()
	p.Sees(`(?s)Oldest message\s+.* old\s+Sent in\s+\d+ s`)
	p.Sees(`(?s)Waiting for the cloud\s+Nothing`)
}

// drawn says that so many charts have been drawn.
func drawn(n int) string {
	return `document.querySelectorAll('.chart[data-drawn] canvas').length >= ` + chrome.JSON(n)
}

// What the cloud refuses for good is shown with why, sent again when the cloud
// permits it, and thrown away; who may look only sees it.
func TestDeadLetters(t *testing.T) {
	acl := filepath.Join(t.TempDir(), "acl")
	const some = "topic readwrite tidegate/#\ntopic readwrite houses/17/sensors/#\ntopic readwrite houses/17/commands/#\n"
	permit := func(lines string) {
		if err := os.WriteFile(acl, []byte(lines), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	permit(some)
	cloud := house.NewCloud(t, "acl_file "+acl)
	h := inhabited(t, cloud)
	p := login(t, h, chrome.View{}, admin)
	p.Click("link", "^Uplink$")
	p.Sees("(?s)Nothing was dropped.*What the cloud refuses for good would be kept here")
	for _, name := range []string{"plan", "note", "list"} {
		house.Pub(t, h.MQTT, house.Login{}, "-q", "1", "-t", "home/"+name, "-m", "the secret "+name)
		p.Sees("the secret " + name)
	}
	p.Sees("3 messages lie here")
	p.Sees(`home/#: the cloud refused them for good; they are among the dead letters`)
	p.Sees("The cloud does not permit this topic")
	inViews(t, p, "uplink-refused")
	p.Look(views[0])

	reader := login(t, h, chrome.View{}, watcher)
	reader.Click("link", "^Uplink$")
	reader.Sees("the secret plan")
	if got := reader.All("button", "(?i)retry|drop"); len(got) > 0 {
		t.Errorf("who may look only is offered %v", got)
	}

	p.Click("button", "^Drop houses/17/home/note$")
	p.ClickLast("button", "^Cancel$")
	p.Gone("dialog", "")
	p.Click("button", "^Drop houses/17/home/note$")
	p.ClickLast("button", "^Drop 1 message$")
	p.Gone("button", "houses/17/home/note$")

	permit(some + "topic readwrite houses/17/home/plan\n")
	cloud.Reload()
	arrivals := []*house.Sub{house.Subscribe(t, cloud.Nodes[0], house.Login{}, "-t", "houses/17/home/plan"), house.Subscribe(t, cloud.Nodes[1], house.Login{}, "-t", "houses/17/home/plan")}
	p.Click("button", "^Retry houses/17/home/plan$")
	p.Gone("button", "houses/17/home/plan$")
	p.Sees("1 message lies here")
	if got := append(arrivals[0].Messages(), arrivals[1].Messages()...); len(got) != 1 || !strings.HasSuffix(got[0], "the secret plan") {
		t.Errorf("the cloud got %q, want the plan", got)
	}
	p.Click("button", "^Drop all$")
	p.ClickLast("button", "^Drop 1 message$")
	p.Sees("What the cloud refuses for good would be kept here")
	reader.Sees("What the cloud refuses for good would be kept here")
}

// Of several clouds the page shows the one that is chosen.
func TestSeveralUplinks(t *testing.T) {
	cloud, office := house.NewCloud(t), house.NewCloud(t)
	h := inhabited(t, cloud, `
[[uplink]]
name = "office"
endpoints = `+office.Endpoints()+`
cluster = false
up = [{filter = "office/#", add = "houses/17/"}]
`)
	p := login(t, h, chrome.View{}, admin)
	p.Click("link", "^Uplink$")
	p.Choose("^Cloud$", "cloud")
	p.Find("heading", "^Links to the cloud$")
	p.Find("image", "^u0: connected to ("+cloud.Door(0)+"|"+cloud.Door(1)+")")
	p.Choose("^Cloud$", "office")
	p.Find("heading", "^Links to office$")
	p.Find("image", ": connected to ("+office.Door(0)+"|"+office.Door(1)+")")
	p.Reload()
	p.Find("heading", "^Links to office$")
	fits(t, p, "uplink office")
	accessible(t, p, "uplink office")
}

// While nobody looks at the page it listens to nothing and draws nothing; when
// somebody looks again it catches up.
func TestHiddenPageRests(t *testing.T) {
	cloud := house.NewCloud(t)
	h := inhabited(t, cloud)
	p := browser.Open(t, chrome.View{})
	p.AtStart(hideable)
	p.AtStart(`window.__asked = 0
		const ask = window.fetch
		window.fetch = (...a) => { if (window.__hidden) window.__asked++; return ask(...a) }`)
	p.Go("http://" + h.Console + "/#/uplink")
	enter(p, admin, secret)
	p.Find("image", "^u0: connected to")
	other := login(t, h, chrome.View{}, admin)
	hide(p, true)
	cloud.Shut()
	other.Sees("(?i)storing")
	cloud.Open()
	other.Sees("(?i)flowing")
	if got := p.All("image", "interruption|no connection"); len(got) > 0 || chrome.Eval[int](p, "window.__asked") > 0 {
		t.Errorf("the hidden page shows %v, and asked %d times", got, chrome.Eval[int](p, "window.__asked"))
	}
	hide(p, false)
	p.Find("image", "^u0: .*interruption")
}
