package chrome

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Element is something on the page that a screen reader would name.
type Element struct {
	p    *Page
	Role string // ARIA
	Name string // accessible name
	node cdp.BackendNodeID
}

func (e Element) String() string { return fmt.Sprintf("%s %q", e.Role, e.Name) }

// All returns what has the role and a name that matches, in the order of the
// document, and is not hidden from a screen reader. An empty role is any.
func (p *Page) All(role, name string) []Element {
	p.t.Helper()
	all, err := p.all(role, regexp.MustCompile(name))
	if err != nil {
		p.t.Fatalf("look for %s %q: %v", role, name, err)
	}
	return all
}

func (p *Page) all(role string, name *regexp.Regexp) (found []Element, err error) {
	root, err := p.document()
	if err != nil {
		return nil, err
	}
	r, err := try(p, accessibility.QueryAXTree, accessibility.QueryAXTreeParams{ObjectID: root, Role: role})
	if err != nil {
		return nil, err
	}
	for _, n := range r.Nodes {
		e := Element{p: p, Role: text(n.Role), Name: text(n.Name), node: n.BackendDOMNodeID}
		if !n.Ignored && e.node != 0 && name.MatchString(e.Name) {
			found = append(found, e)
		}
	}
	return found, nil
}

// text is the string in a value of the accessibility tree.
func text(v *accessibility.Value) string {
	if v == nil {
		return ""
	}
	return plain(v.Value)
}

// plain is a JSON string without its quotes, and anything else as it is.
func plain[B ~[]byte](value B) string {
	var s string
	if json.Unmarshal(value, &s) != nil {
		return string(value)
	}
	return s
}

// Find waits for the first element with the role and a name that matches.
func (p *Page) Find(role, name string) (found Element) {
	p.t.Helper()
	pattern := regexp.MustCompile(name)
	until(p.t, func() bool {
		all, err := p.all(role, pattern)
		if err != nil || len(all) == 0 {
			return false
		}
		found = all[0]
		return true
	}, func() string {
		return fmt.Sprintf("no %s is called %q; there are %v; the page shows:\n%s", role, name, p.All(role, ""), p.text())
	})
	return found
}

// Gone waits until nothing has the role and a name that matches.
func (p *Page) Gone(role, name string) {
	p.t.Helper()
	pattern := regexp.MustCompile(name)
	until(p.t, func() bool {
		all, err := p.all(role, pattern)
		return err == nil && len(all) == 0
	}, func() string { return fmt.Sprintf("still there: %v", p.All(role, name)) })
}

// Click finds and clicks with the mouse, where it is seen. What something else
// covers, or what moves away, is tried again.
func (p *Page) Click(role, name string) {
	p.t.Helper()
	p.click(role, name, func(all []Element) Element { return all[0] })
}

// ClickLast is Click for the last of several: of a dialogue, which stands at the
// end of the document.
func (p *Page) ClickLast(role, name string) {
	p.t.Helper()
	p.click(role, name, func(all []Element) Element { return all[len(all)-1] })
}

func (p *Page) click(role, name string, which func([]Element) Element) {
	p.t.Helper()
	var last error
	until(p.t, func() bool {
		p.Find(role, name)
		all := p.All(role, name)
		if len(all) == 0 {
			return false // it was there a moment ago
		}
		last = which(all).click()
		return last == nil
	}, func() string { return fmt.Sprintf("click %s %q: %v", role, name, last) })
}

// Fill finds a field and types a text in place of what it holds.
func (p *Page) Fill(role, name, value string) {
	p.t.Helper()
	p.Click(role, name)
	p.Do(`document.activeElement.select && document.activeElement.select()`)
	call(p, input.InsertText, input.InsertTextParams{Text: value})
}

// Press presses keys, one after the other: what kb names, or characters.
func (p *Page) Press(keys string) {
	p.t.Helper()
	p.run("press keys", chromedp.KeyEvent(keys))
}

// Focused says what the focus is on, as a screen reader would.
func (p *Page) Focused() Element {
	p.t.Helper()
	all, err := p.all("", regexp.MustCompile(""))
	if err != nil {
		p.t.Fatalf("look for the focus: %v", err)
	}
	node := p.describe("document.activeElement")
	for _, e := range all {
		if e.node == node {
			return e
		}
	}
	return Element{p: p, Role: "none", node: node}
}

func (p *Page) describe(expression string) cdp.BackendNodeID {
	p.t.Helper()
	object := call(p, runtime.Evaluate, runtime.EvaluateParams{Expression: expression, ObjectGroup: "find"}).Result.ObjectID
	return call(p, dom.DescribeNode, dom.DescribeNodeParams{ObjectID: object}).Node.BackendNodeID
}

// click clicks into the middle of the element's first box. It is an error when
// something else got the click, as on a page that moves under the mouse.
func (e Element) click() error {
	p := e.p
	if _, err := try(p, dom.ScrollIntoViewIfNeeded, dom.ScrollIntoViewIfNeededParams{BackendNodeID: e.node}); err != nil {
		return err
	}
	quads, err := try(p, dom.GetContentQuads, dom.GetContentQuadsParams{BackendNodeID: e.node})
	if err != nil {
		return err
	}
	if len(quads.Quads) == 0 || len(quads.Quads[0]) < 8 {
		return fmt.Errorf("%v is not seen", e)
	}
	q := quads.Quads[0]
	x, y := (q[0]+q[4])/2, (q[1]+q[5])/2
	object, err := try(p, dom.ResolveNode, dom.ResolveNodeParams{BackendNodeID: e.node, ObjectGroup: "find"})
	if err != nil {
		return err
	}
	why, err := e.hit(object.Object.ObjectID, fmt.Sprintf(`
		const hit = document.elementFromPoint(%f, %f)
		window.clickedLast = null
		window.addEventListener('click', e => { window.clickedLast ??= e.target }, { capture: true, once: true })`, x, y))
	if err != nil || why != "" {
		return cmp.Or(err, fmt.Errorf("%v: %s", e, why))
	}
	for _, kind := range []input.DispatchMouseEventType{input.DispatchMouseEventTypeMouseMoved, input.DispatchMouseEventTypeMousePressed, input.DispatchMouseEventTypeMouseReleased} {
		m := input.DispatchMouseEventParams{Type: kind, X: x, Y: y}
		if kind != input.DispatchMouseEventTypeMouseMoved {
			m.Button, m.ClickCount = input.MouseButtonLeft, 1
		}
		if _, err := try(p, input.DispatchMouseEvent, m); err != nil {
			return err
		}
	}
	// An error here is a page that is left: the click did it.
	if why, err := e.hit(object.Object.ObjectID, `const hit = window.clickedLast`); err == nil && why != "" {
		return fmt.Errorf("%v: the click went elsewhere: %s", e, why)
	}
	return nil
}

// hit says why what a script finds as hit is not the element, its label or what
// is in it; "" when it is.
func (e Element) hit(object runtime.RemoteObjectID, script string) (why string, err error) {
	r, err := try(e.p, runtime.CallFunctionOn, runtime.CallFunctionOnParams{
		ObjectID: object, ReturnByValue: new(true),
		FunctionDeclaration: `function () {` + script + `
			if (!hit) return 'there is nothing at that point'
			if (this.contains(hit) || hit.contains(this) || [...(this.labels || [])].some(l => l.contains(hit))) return ''
			return 'covered by ' + hit.outerHTML.slice(0, 200)
		}`,
	})
	if err != nil {
		return "", err
	}
	return plain(r.Result.Value), nil
}

// Disabled says whether the element cannot be used.
func (e Element) Disabled() bool {
	e.p.t.Helper()
	return e.call(`function () { return this.matches(':disabled, [aria-disabled=true]') }`) == "true"
}

// Value returns what a field holds.
func (e Element) Value() string {
	e.p.t.Helper()
	return e.call(`function () { return this.value }`)
}

func (e Element) call(function string) string {
	e.p.t.Helper()
	object := call(e.p, dom.ResolveNode, dom.ResolveNodeParams{BackendNodeID: e.node, ObjectGroup: "find"}).Object.ObjectID
	r := call(e.p, runtime.CallFunctionOn, runtime.CallFunctionOnParams{ObjectID: object, ReturnByValue: new(true), FunctionDeclaration: function})
	return plain(r.Result.Value)
}

// Choose chooses an option of a list by what it says.
func (p *Page) Choose(name, option string) {
	p.t.Helper()
	if got := p.Find("combobox", name).call(fmt.Sprintf(`function () {
		const o = [...this.options].find(o => o.text === %s)
		if (!o) return 'there are ' + [...this.options].map(o => o.text)
		this.value = o.value
		for (const e of ['input', 'change']) this.dispatchEvent(new Event(e, { bubbles: true }))
		return ''
	}`, JSON(option))); got != "" {
		p.t.Fatalf("choose %q in %q: %s", option, name, got)
	}
}
