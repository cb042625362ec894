package show

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"tidegate/cmd/tidegate/internal/control"
	"tidegate/cmd/tidegate/internal/tty"
	"tidegate/uplink"
)

// Page is where lines go.
type Page struct {
	Paint tty.Paint
	Width int // columns
	lines []string
}

// Lines returns what was written.
func (p *Page) Lines() []string { return p.lines }

func (p *Page) line(text string) { p.lines = append(p.lines, text) }

// labelled writes text behind a label, broken at the width.
func (p *Page) labelled(label, text string) { p.coloured(label, tty.Plain, text) }

// coloured is labelled with the text up to its first blank in a colour.
func (p *Page) coloured(label string, c tty.Colour, text string) {
	indent := strings.Repeat(" ", labels)
	body := tty.Wrap(tty.Safe(text), p.Width-labels, indent)
	if word, rest, ok := strings.Cut(body, " "); ok {
		body = p.Paint.In(c, word) + " " + rest
	}
	head := fmt.Sprintf("%-*s", labels, label)
	if label != "" {
		head = p.Paint.In(tty.Bold, head)
	}
	p.lines = append(p.lines, strings.Split(head+body, "\n")...)
}

const labels = 10 // columns

// verdictColours and stateColours say how bad it is.
var verdictColours = map[control.Verdict]tty.Colour{
	control.Well: tty.Green, control.Attention: tty.Yellow, control.Trouble: tty.Red,
}

var levelColours = map[string]tty.Colour{"trouble": tty.Red, "attention": tty.Yellow}

var stateColours = map[string]tty.Colour{
	control.Flowing: tty.Green, control.Partly: tty.Yellow, control.Slow: tty.Yellow, control.Starting: tty.Yellow,
	control.Storing: tty.Red, control.Stopped: tty.Red,
}

// Heading is the gateway and its verdict.
func (p *Page) Heading(s *control.Status) {
	right := "up " + Lasting(s.Uptime)
	left := tty.Safe(s.Gateway) + "  "
	room := p.Width - utf8.RuneCountInString(left) - utf8.RuneCountInString(right) - 2
	headline := tty.Fit(tty.Safe(s.Headline), max(room, 10))
	gap := max(p.Width-utf8.RuneCountInString(left+headline+right), 1)
	p.line(p.Paint.In(tty.Bold, left) + p.Paint.In(verdictColours[s.Verdict], headline) + strings.Repeat(" ", gap) + right)
}

// Status is everything about a gateway, to be read in one look.
func (p *Page) Status(s *control.Status) {
	p.Heading(s)
	p.line("")
	p.findings(s.Findings)
	p.Home(&s.Home)
	for i := range s.Uplinks {
		p.uplink(&s.Uplinks[i], len(s.Uplinks) > 1)
	}
	if len(s.Uplinks) == 0 {
		p.labelled("cloud", "none is configured: everything stays at home")
	}
	p.hardware(s)
	p.machine(s)
}

// findings are what a person should know: the worst first.
func (p *Page) findings(all []control.Finding) {
	for _, f := range all {
		indent := strings.Repeat(" ", labels)
		text := tty.Wrap(tty.Safe(f.What), p.Width-labels, indent)
		p.lines = append(p.lines, strings.Split(p.Paint.In(levelColours[f.Level], fmt.Sprintf("%-*s", labels, f.Level))+text, "\n")...)
		if f.Hint != "" {
			p.lines = append(p.lines, strings.Split(indent+tty.Wrap("→ "+tty.Safe(f.Hint), p.Width-labels, indent), "\n")...)
		}
	}
	if len(all) > 0 {
		p.line("")
	}
}

// Home is what the devices do.
func (p *Page) Home(h *control.Home) {
	devices := "1 device"
	if h.Devices != 1 {
		devices = fmt.Sprintf("%d devices", h.Devices)
	}
	text := fmt.Sprintf("%s, %s messages/s in, %s/s out", devices, Rate(h.InPerS), Rate(h.OutPerS))
	for _, x := range []struct {
		n    int64
		what string
	}{{int64(h.Queued), "queued"}, {h.Refused, "refused"}, {h.LoginsFailed, "log-ins failed"}, {h.Dropped, "dropped"}} {
		if x.n > 0 {
			text += fmt.Sprintf(", %s %s", Count(x.n), x.what)
		}
	}
	p.labelled("home", text)
	var at []string
	for _, l := range h.Listeners {
		at = append(at, l.Address+" "+l.Protocol)
	}
	if len(at) > 0 {
		p.labelled("", "listens on "+strings.Join(at, ", "))
	}
}

func (p *Page) uplink(u *control.Uplink, several bool) {
	label := "cloud"
	if several {
		label = tty.Fit(u.Name, labels-1)
	}
	text := u.State + ": " + u.Words
	if u.State != control.Storing && u.State != control.Stopped {
		text += fmt.Sprintf("; %s/s sent, %s/s acknowledged", Rate(u.SentPerS), Rate(u.AckedPerS))
	}
	p.coloured(label, stateColours[u.State], text)
	p.links(u)
	p.spool(u)
}

// links is the table of an uplink's links; what is wrong with one stands below
// it, unless the uplink's own words say the same.
func (p *Page) links(u *control.Uplink) {
	p.Links(u.Links)
	said := u.Words
	for _, l := range u.Links {
		if l.Fault != "" && !strings.Contains(said, l.Words) {
			p.labelled("", l.ID+": "+l.Words)
			said += l.Words
		}
	}
}

// Links is a table of an uplink's links.
func (p *Page) Links(all []control.Link) {
	if len(all) == 0 {
		return
	}
	idWidth := 4
	for _, l := range all {
		idWidth = max(idWidth, min(utf8.RuneCountInString(l.ID), 24))
	}
	endpoint := p.Width - labels - idWidth - 36
	p.line(p.Paint.In(tty.Faint, fmt.Sprintf("%*s%-*s  %-10s %7s %6s %6s  %s", labels, "", idWidth, "link", "state", "round", "flight", "since", tty.Fit("endpoint", endpoint))))
	for _, l := range all {
		colour := tty.Yellow
		if l.Flowing && l.Fault == "" {
			colour = tty.Green
		} else if l.State == uplink.Backoff || l.State == uplink.Stopped {
			colour = tty.Red
		}
		state := p.Paint.In(colour, fmt.Sprintf("%-10s", l.State))
		p.line(fmt.Sprintf("%*s%-*s  %s %7s %6d %6s  %s", labels, "", idWidth, tty.Fit(l.ID, idWidth), state, RoundTrip(l.RTT), l.InFlight, Lasting(l.Lasting), tty.Fit(l.Endpoint, endpoint)))
	}
}

func (p *Page) spool(u *control.Uplink) {
	s := &u.Spool
	text := s.Words
	if strings.Contains(u.Words, text) {
		text = ""
	}
	if s.Waiting() > 0 {
		text += fmt.Sprintf(" (%s in memory, %s on disk, %s of %s)", Count(int64(s.RAMMessages)), Count(int64(s.DiskMessages)), Size(s.DiskBytes), Size(s.DiskLimit))
	}
	if text = strings.TrimSpace(text); text != "" {
		p.labelled("waiting", text)
	}
	for _, d := range u.Dropped {
		if d.Count > 0 {
			p.labelled("dropped", fmt.Sprintf("%s of %s: %s", Count(d.Count), d.Route, d.Words))
		}
	}
	if u.Dead.Count > 0 {
		p.labelled("refused", fmt.Sprintf("%s lie among the dead letters: tidegate spool dead list", Count(int64(u.Dead.Count))))
	}
}

func (p *Page) hardware(s *control.Status) {
	for i, x := range s.Sensors {
		var values []string
		for _, v := range x.Values {
			values = append(values, valueText(v))
		}
		text := strings.Join(values, ", ")
		if !x.Available {
			text = strings.TrimSpace("not there: " + x.Words)
		} else if text == "" {
			text = "no reading yet"
		}
		p.labelled(once(i, "sensors"), x.Name+": "+text)
	}
	for i, x := range s.Actuators {
		state := x.State
		if !x.Available {
			state = strings.TrimSpace("not there: " + x.Words)
		} else if state == "" {
			state = "not known yet"
		}
		p.labelled(once(i, "switches"), x.Name+": "+state)
	}
}

func once(i int, label string) string {
	if i == 0 {
		return label
	}
	return ""
}

var trends = map[string]string{"rising": " ↗", "falling": " ↘"}

func valueText(v control.Value) string {
	text := v.Text
	if v.Value != nil {
		text = strings.TrimSpace(fmt.Sprintf("%.4g %s", *v.Value, v.Unit))
	}
	if v.Field != "" && v.Field != "value" { // what sensors of one quantity call it
		text = v.Field + " " + text
	}
	return text + trends[v.Trend]
}

func (p *Page) machine(s *control.Status) {
	card := s.Card.Words
	if s.Card.Size > 0 {
		card += fmt.Sprintf(", %s free of %s", Size(s.Card.Free), Size(s.Card.Size))
	}
	p.labelled("card", card)
	p.labelled("memory", fmt.Sprintf("%s; version %s", Size(s.Memory.RSS), s.Version))
}
