package top

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"tidegate/cmd/tidegate/internal/control"
	"tidegate/cmd/tidegate/internal/show"
	"tidegate/cmd/tidegate/internal/tty"
)

// view is what is on the screen.
type view struct {
	paint   tty.Paint
	status  *control.Status
	devices ledger
	order   int
	trouble string // why nothing new comes; "" when it does
	in, up  trail
}

// trail is the past of a rate, for a line of blocks.
type trail []float64

const mostTrail = 400

func (t *trail) add(v float64) {
	*t = append(*t, v)
	if len(*t) > mostTrail {
		*t = slices.Delete(*t, 0, len(*t)-mostTrail)
	}
}

// draw is the end of the trail in so many columns, the highest of it as a whole
// block.
func (t trail) draw(width int) string {
	t = t[max(len(t)-width, 0):]
	most := 0.0
	for _, v := range t {
		most = max(most, v)
	}
	var b strings.Builder
	blocks := []rune("▁▂▃▄▅▆▇█")
	for _, v := range t {
		i := 0
		if most > 0 {
			i = int(v / most * float64(len(blocks)-1))
		}
		b.WriteRune(blocks[min(max(i, 0), len(blocks)-1)])
	}
	return b.String()
}

// frame is the screen: at most rows lines of at most columns.
func (v *view) frame(columns, rows int) []string {
	p := &show.Page{Paint: v.paint, Width: columns}
	if v.status == nil {
		return []string{tty.Fit(orWaiting(v.trouble), columns), "", v.help(columns)}
	}
	s := v.status
	p.Heading(s)
	lines := p.Lines()
	if v.trouble != "" {
		lines = append(lines, v.paint.In(tty.Red, tty.Fit("what follows is old: "+tty.Safe(v.trouble), columns)))
	} else if f := first(s.Findings); f != "" {
		lines = append(lines, tty.Fit("→ "+tty.Safe(f), columns))
	}
	lines = append(lines, "")
	lines = append(lines, v.rate("in", s.Home.InPerS, v.in, columns), v.rate("to cloud", acked(s), v.up, columns))
	lines = append(lines, tty.Fit(fmt.Sprintf("devices %d   out %s/s   queued %s   refused %s   dropped %s   memory %s", s.Home.Devices, show.Rate(s.Home.OutPerS),
		show.Count(int64(s.Home.Queued)), show.Count(s.Home.Refused), show.Count(s.Home.Dropped), show.Size(s.Memory.RSS)), columns))
	for i := range s.Uplinks {
		lines = append(lines, v.uplink(&s.Uplinks[i], columns)...)
	}
	room := rows - len(lines) - 2 // an empty line, and the help
	if room >= 3 {
		lines = append(lines, "")
		lines = append(lines, v.list(columns, room-1)...)
	}
	for len(lines) < rows-1 {
		lines = append(lines, "")
	}
	return append(lines[:min(len(lines), max(rows-1, 1))], v.help(columns))
}

func orWaiting(trouble string) string {
	if trouble == "" {
		return "asking the gateway ..."
	}
	return tty.Safe(trouble)
}

// first is what to do about the worst.
func first(all []control.Finding) string {
	for _, f := range all {
		if f.Level != "info" && f.Hint != "" {
			return f.Hint
		}
	}
	return ""
}

func acked(s *control.Status) (n float64) {
	for _, u := range s.Uplinks {
		n += u.AckedPerS
	}
	return n
}

const rateHead = 18 // columns

func (v *view) rate(name string, now float64, past trail, columns int) string {
	head := fmt.Sprintf("%-9s %5s/s ", name, show.Rate(now))
	return tty.Fit(head, columns) + v.paint.In(tty.Green, past.draw(max(columns-rateHead, 0)))
}

func (v *view) uplink(u *control.Uplink, columns int) []string {
	p := &show.Page{Paint: v.paint, Width: columns}
	s := &u.Spool
	text := fmt.Sprintf("%s: %s   waiting %s   on disk %s", tty.Safe(u.Name), u.State, show.Count(int64(s.Waiting())), show.Size(s.DiskBytes))
	if s.Waiting() > 0 {
		text += "   oldest " + show.Lasting(s.OldestAge)
	}
	if s.DrainSeconds != nil {
		text += "   done in " + show.Lasting(*s.DrainSeconds)
	}
	if u.Dead.Count > 0 {
		text += fmt.Sprintf("   refused %d", u.Dead.Count)
	}
	p.Links(u.Links)
	return append([]string{"", v.paint.In(tty.Bold, tty.Fit(text, columns))}, p.Lines()...)
}

// list is the busiest devices, under a heading.
func (v *view) list(columns, rows int) []string {
	id := min(max(columns-51, 8), 40)
	head := fmt.Sprintf("%-*s %-12s %8s %8s %8s  %s", id, "device", "user", "in/s", "out/s", "waiting", "address")
	lines := []string{v.paint.In(tty.Invert, pad(head, columns))}
	for _, d := range v.devices.sorted(v.order) {
		if len(lines) == rows {
			break
		}
		at := d.Address
		if !d.Connected {
			at = "away"
		}
		lines = append(lines, tty.Fit(fmt.Sprintf("%s %s %8s %8s %8s  %s", pad(tty.Safe(d.ClientID), id), pad(tty.Safe(d.User), 12), show.Rate(d.in), show.Rate(d.out), show.Count(int64(d.Queued)), tty.Safe(at)), columns))
	}
	return lines
}

// pad makes text exactly so wide.
func pad(text string, width int) string {
	text = tty.Fit(text, width)
	return text + strings.Repeat(" ", max(width-utf8.RuneCountInString(text), 0))
}

func (v *view) help(columns int) string {
	var keys []string
	for i, o := range orders {
		text := string(o.key) + " " + o.name
		if i == v.order {
			text = "[" + text + "]"
		}
		keys = append(keys, text)
	}
	return v.paint.In(tty.Faint, tty.Fit("q quit   busiest by: "+strings.Join(keys, "  "), columns))
}
