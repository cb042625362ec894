package console

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"tidegate/build/browser/chrome"
	"tidegate/build/browser/house"
)

// pub publishes as a device of the home.
func pub(t *testing.T, h *house.House, topic, payload string, more ...string) {
	t.Helper()
	house.Pub(t, h.MQTT, house.Login{}, append([]string{"-q", "1", "-t", topic, "-m", payload}, more...)...)
}

// opened are pages with more to see than at first.
var opened = map[string]func(*chrome.Page){
	"log": func(p *chrome.Page) { p.Sees(`\d+ lines`) },
	"now": func(p *chrome.Page) {
		p.Until("document.querySelectorAll('.path .dots:is(.gentle, .middling, .fast)').length > 2")
	},
	"topics": func(p *chrome.Page) {
		p.Click("button", "^Listen$")
		unfold(p, "home", "room-00", "device-000")
		p.Click("treeitem", "^value-1 ,")
		p.Until("document.querySelectorAll('.tail li').length > 20")
	},
}

// unfold opens one level after the other. Where there is one way only, the page
// has done so itself.
func unfold(p *chrome.Page, names ...string) {
	for _, name := range names {
		p.Until(`(() => {
			const row = [...document.querySelectorAll('[role=treeitem]')].find(r => r.querySelector('.name')?.textContent === ` + chrome.JSON(name) + `)
			if (row?.getAttribute('aria-expanded') === 'false') row.click()
			return row?.getAttribute('aria-expanded') === 'true'
		})()`)
	}
}

// topics opens the page.
func topics(t *testing.T, h *house.House, user string) *chrome.Page {
	t.Helper()
	p := login(t, h, chrome.View{}, user)
	show(p, h, "topics")
	return p
}

// The tree is opened level by level, with the mouse and with keys; values and new
// topics come by themselves and leave the focus where it is; what is retained is
// marked, and is removed after a question.
func TestTopicTree(t *testing.T) {
	h := house.New(t, house.Config{Program: program, Users: people, More: consoleSection})
	pub(t, h, "home/hall/lamp", "ON", "-r")
	pub(t, h, "home/kitchen/light/state", "ON", "-r")
	pub(t, h, "home/kitchen/clock", "12:00", "-r")
	pub(t, h, "home/kitchen/light", `{"brightness":254,"id":90071992547409931}`, "-r")
	p := topics(t, h, admin)
	p.Click("treeitem", "^home ,")
	p.Find("treeitem", "^kitchen ,")
	if got := p.All("treeitem", "^light ,"); len(got) > 0 {
		t.Errorf("levels that nobody opened are there: %v", got)
	}

	p.Press(kb.ArrowDown)
	p.Press(kb.ArrowDown)
	p.Press(kb.ArrowRight)
	p.Find("treeitem", `^light , 1 topic , .* , retained$`)
	p.Press(kb.ArrowDown)
	p.Press(kb.ArrowDown)
	p.Press(kb.Enter) // chooses it, and opens it
	p.Find("treeitem", "^state , ON , retained$")
	p.Find("heading", "^home/kitchen/light$")
	p.Sees(`(?s)\{\n +"brightness": 254,\n +"id": 90071992547409931\n\}`)
	p.Sees("JSON, 41 B, QoS 1")
	accessible(t, p, "a topic is chosen")
	picture(t, p, "topics-chosen", views[0])

	pub(t, h, "home/kitchen/light", "OFF") // not retained: the other stays so
	p.Find("treeitem", "^light , 1 topic , OFF , retained$")
	p.Until("document.querySelector('.payload').textContent === 'OFF'")
	pub(t, h, "home/kitchen/airing", "1")
	p.Find("treeitem", "^airing , 1$")
	if got := p.Focused(); got.Role != "treeitem" || !strings.HasPrefix(got.Name, "light ") {
		t.Errorf("the focus went to %v when a topic came before it", got)
	}

	p.Click("button", "^Remove what is retained$")
	p.ClickLast("button", "^Cancel$")
	p.Find("treeitem", "^light , 1 topic , OFF , retained$")
	p.Click("button", "^Remove what is retained$")
	p.ClickLast("button", "^Remove$")
	p.Find("treeitem", "^light , 1 topic , empty$")
	for _, m := range retainedOf(t, h) {
		if strings.HasPrefix(m, "home/kitchen/light ") {
			t.Errorf("still retained: %s", m)
		}
	}
	p.Click("treeitem", "^light ,") // closes it
	p.Gone("treeitem", "^state ,")
}

// retainedOf returns the retained messages below home, as somebody gets them who
// comes now.
func retainedOf(t *testing.T, h *house.House) []string {
	t.Helper()
	s := house.Subscribe(t, h.MQTT, house.Login{}, "-t", "home/#", "-q", "1")
	pub(t, h, "home/end-of-retained", "1")
	s.Gets("home/end-of-retained 1 0 1") // what is retained came before
	s.Kill()
	return s.Messages()
}

// Thousands of names on one level come a hundred at a time, and are found by
// searching. What is no text is shown as what it is.
func TestManyTopics(t *testing.T) {
	h := house.New(t, house.Config{Program: program, Users: people, More: consoleSection})
	p := topics(t, h, admin)
	house.NewFleet(t, h.MQTT, house.Login{}, 60).Talk(300)
	unfold(p, "home", "room-01")
	p.Find("treeitem", "^device-059 , 10 topics$")
	p.Do(`const { csrf } = await (await fetch('/api/session')).json()
		for (let i = 0; i < 240; i++) await fetch('/api/v1/publish', { method: 'POST', headers: { 'Content-Type': 'application/json', 'X-CSRF-Token': csrf },
			body: JSON.stringify({ topic: 'home/many/n-' + String(i).padStart(3, '0'), payload: String(i), encoding: 'text', qos: 0, retain: false }) })`)
	p.Click("treeitem", "^many ,")
	p.Find("treeitem", "^n-099 , 99$")
	if got := p.All("treeitem", "^n-"); len(got) != 100 {
		t.Errorf("got %d names at once, want 100", len(got))
	}
	p.Press(kb.End)
	p.Find("treeitem", "^Show 100 more of 140$")
	p.Do("[...document.querySelectorAll('.more-topics')].at(0).click()")
	p.Find("treeitem", "^n-199 , 199$")
	if got := p.Focused(); !strings.HasPrefix(got.Name, "n-100") {
		t.Errorf("the focus is on %v, want the first that came", got)
	}

	p.Fill("searchbox", "^Search topics$", "device-059/Value-7")
	p.Find("treeitem", `^home/room-01/device-059/value-7 ,`)
	p.Sees("1 topic found")
	p.Fill("searchbox", "^Search topics$", "nothing has this")
	p.Sees("No topic has")
	house.Pub(t, h.MQTT, house.Login{}, "-t", "home/raw", "-m", "\xff\x01Tide")
	p.Fill("searchbox", "^Search topics$", "raw")
	p.Click("treeitem", "^home/raw , binary, ")
	p.Sees(`(?s)0000 +ff 01 54 69 64 65 +··Tide.*Binary, 6 B`)
}

// hear publishes until the page hears it: it says that it listens a moment before
// the broker does.
func hear(t *testing.T, h *house.House, p *chrome.Page, topic string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !strings.Contains(chrome.Eval[string](p, "document.querySelector('.tail').innerText"), "is heard"); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("nothing of %s comes; the page shows:\n%s", topic, p.Text())
		}
		pub(t, h, topic, "is heard")
	}
}

// Whoever listens sees what the filter lets through and nothing else, can pause,
// clear and stop, and is told of a filter that is none.
func TestLiveMessages(t *testing.T) {
	h := house.New(t, house.Config{Program: program, Users: people, More: consoleSection})
	p := topics(t, h, admin)
	p.Fill("textbox", "^Topics$", "home/#/light")
	p.Click("button", "^Listen$")
	p.Sees("This is no filter")

	pub(t, h, "home/kitchen/light", "before", "-r")
	p.Fill("textbox", "^Topics$", "home/+/light")
	p.Click("button", "^Listen$")
	p.Sees(`Listening to home/\+/light`)
	p.Sees("before")
	hear(t, h, p, "home/kitchen/light")
	pub(t, h, "home/hall/bell", "ding")
	pub(t, h, "home/hall/light", `{"on":true}`, "-i", "hall-lamp")
	p.Find("list", "^Messages, the newest first$")
	p.Until(`document.querySelector('.tail li .to')?.textContent === 'home/hall/light'`)
	p.Sees("hall-lamp, QoS 1")
	if got := chrome.Eval[string](p, "document.querySelector('.tail').innerText"); strings.Contains(got, "bell") {
		t.Errorf("the filter let through %q", got)
	}
	p.Do(`document.querySelector('.tail summary').click()`)
	p.Until(`document.querySelector('.tail .payload').checkVisibility() && document.querySelector('.tail .payload').textContent === '{\n  "on": true\n}'`)
	accessible(t, p, "live messages")
	picture(t, p, "topics-live", views[0])

	p.Click("button", "^Pause$")
	pub(t, h, "home/hall/light", "unseen")
	p.Sees("1 while paused, not shown")
	p.Click("button", "^Go on$")
	pub(t, h, "home/hall/light", "seen again")
	p.Sees("seen again")
	if strings.Contains(chrome.Eval[string](p, "document.querySelector('.tail').innerText"), "unseen") {
		t.Error("what came while it was paused is shown")
	}
	p.Click("button", "^Clear$")
	p.Until("document.querySelectorAll('.tail li').length === 0")
	pub(t, h, "home/hall/light", "after clearing")
	p.Sees("after clearing")
	p.Click("button", "^Stop$")
	p.Find("button", "^Listen$")
	p.Gone("button", "^Stop$")
}

// More than can be read is bounded, and the page says how much was left out.
func TestFloodOfLiveMessages(t *testing.T) {
	h := house.New(t, house.Config{Program: program, Users: people, More: consoleSection})
	p := topics(t, h, admin)
	p.Click("button", "^Listen$")
	p.Sees("Listening to #")
	fleet := house.NewFleet(t, h.MQTT, house.Login{}, 100)
	for end := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		fleet.Publish()
		text := p.Text()
		if strings.Contains(text, "more were left out, too many for this page") && strings.Contains(text, "the last 200 are kept") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the page does not say what it left out, but:\n%s", text)
		}
	}
	if got := chrome.Eval[int](p, "document.querySelectorAll('.tail li').length"); got > 200 {
		t.Errorf("got %d messages in the document, want 200 at most", got)
	}
}

// What is written in the form reaches who listens, with its QoS, and is retained
// when that is wanted; an empty retained one asks first.
func TestPublish(t *testing.T) {
	h := house.New(t, house.Config{Program: program, Users: people, More: consoleSection})
	s := house.Subscribe(t, h.MQTT, house.Login{}, "-t", "home/#", "-q", "2")
	p := topics(t, h, admin)
	p.Fill("textbox", "^Topic$", "home/kitchen/light/set")
	p.Fill("textbox", "^Message$", `{"state":"ON"}`)
	p.Choose("^QoS$", "1, at least once")
	p.Click("button", "^Publish$")
	p.Sees("Published to home/kitchen/light/set") // it is said for a few seconds
	s.Gets(`home/kitchen/light/set 1 0 {"state":"ON"}`)

	p.Click("checkbox", "Retain")
	p.Fill("textbox", "^Message$", "kept")
	p.Choose("^QoS$", "2, exactly once")
	p.Click("button", "^Publish$")
	s.Gets("home/kitchen/light/set 2 0 kept")
	p.Click("treeitem", "^home ,") // the only way leads to the topic
	p.Find("treeitem", "^set , kept , retained$")

	p.Fill("textbox", "^Message$", "")
	p.Do(`document.querySelector('#payload').value = ''`)
	p.Click("button", "^Publish$")
	p.ClickLast("button", "^Remove$")
	p.Find("treeitem", "^set , empty$")
	s.Gets("home/kitchen/light/set 2 0 ")
	if got := retainedOf(t, h); len(got) != 1 {
		t.Errorf("got %q, want nothing retained", got)
	}

	p.Fill("textbox", "^Topic$", "home/+/set")
	p.Do(`document.querySelector('input[type=checkbox]').click()`)
	p.Click("button", "^Publish$")
	p.Sees(`(?i)"home/\+/set" is no topic`)
	p.Forgive(refusedLogin)
}

// Who may look only sees and hears everything, and is told why there is no form.
func TestTopicsReadOnly(t *testing.T) {
	h := house.New(t, house.Config{Program: program, Users: people, More: consoleSection})
	pub(t, h, "home/door", "open", "-r")
	p := topics(t, h, watcher)
	p.Sees("You may look only")
	p.Click("treeitem", "^home ,")
	p.Click("treeitem", "^door , open , retained$")
	p.Find("button", "^Listen to it$")
	for _, name := range []string{"^Publish", "^Remove"} {
		if got := p.All("button", name); len(got) > 0 {
			t.Errorf("there is %v for somebody who may look only", got)
		}
	}
	p.Click("button", "^Listen to it$")
	p.Sees("Listening to home/door")
	hear(t, h, p, "home/door")
}
