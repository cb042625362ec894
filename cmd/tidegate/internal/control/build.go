package control

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"tidegate/cmd/tidegate/internal/card"
	"tidegate/internal/inorder"
	"tidegate/uplink"
	"tidegate/uplink/spool"
)

// Spans over which rates are taken.
const (
	rateSpan  = 3 * time.Second  // of messages: what a person sees move
	trendSpan = 5 * time.Minute  // of the card, which fills in steps
	trendFrom = 30 * time.Second // less says nothing about days
)

// statusOf puts readings and their past into a status, without its verdict.
func statusOf(r *Readings, p *past) Status {
	s := Status{
		Time: Time(r.At), Uptime: r.Uptime.Seconds(), ClockUnset: !r.ClockSet,
		Home: homeOf(r, p), Card: cardOf(r.Card),
		Memory:   Memory{RSS: r.RSS, Goroutines: r.Goroutines, Held: r.Edge.HeldBytes},
		Findings: []Finding{}, Uplinks: []Uplink{}, Sensors: []Sensor{}, Actuators: []Actuator{},
	}
	s.Card.WearLeft, s.Card.Free, s.Card.Size = r.WearLeft, r.DiskFree, r.DiskSize
	for i := range r.Uplinks {
		s.Uplinks = append(s.Uplinks, uplinkOf(r, &r.Uplinks[i], p))
	}
	return s
}

func homeOf(r *Readings, p *past) Home {
	e := &r.Edge
	h := Home{
		Devices: e.Connected, Sessions: e.Sessions, Received: e.PublishReceived, Sent: e.Sent, Refused: e.Denied + e.Refused,
		LoginsFailed: e.LoginsFailed, Queued: e.Queued, Listeners: r.Listeners,
		Dropped: e.DroppedQueue + e.DroppedSlow + e.DroppedTooLarge + e.DroppedRetained + e.DroppedSessions,
	}
	if h.Listeners == nil {
		h.Listeners = []Listener{}
	}
	if then, ok := p.before(r.At, rateSpan); ok {
		d := r.At.Sub(then.at)
		h.InPerS, h.OutPerS = per(e.PublishReceived, then.in, d), per(e.Sent, then.out, d)
	}
	return h
}

func cardOf(c card.Stats) Card {
	written := func(s card.Span) Written { return Written{Seconds: s.Seconds, Bytes: s.Written, Ours: s.Ours} }
	out := Card{Disk: c.Disk, Today: written(c.Today), LastDay: written(c.LastDay), Total: written(c.Total), LifeUsed: c.LifeUsed, SparesLow: c.SparesLow}
	switch {
	case c.SparesLow:
		out.Words = "near its end"
	case c.LifeUsed != nil:
		out.Words = fmt.Sprintf("%d %% of its life used", *c.LifeUsed)
	case c.LastDay.Seconds > 0:
		out.Words = size(c.LastDay.Written) + " written on the last day"
	default:
		out.Words = size(c.Today.Written) + " written since the account began"
	}
	return out
}

func uplinkOf(r *Readings, u *UplinkReadings, p *past) Uplink {
	out := Uplink{Name: u.Name, Links: []Link{}, Dropped: []Drop{}, Routes: []Route{}, Dead: u.Dead, StatusText: u.Status.Fault}
	out.Dead.Lost = u.Spool.DeadLost
	for i := range u.Links {
		out.Links = append(out.Links, linkOf(r.At, &u.Links[i]))
	}
	for _, d := range u.Spool.Drops {
		out.Dropped = append(out.Dropped, Drop{Route: d.Route, Cause: string(d.Cause), Count: d.Messages, Words: dropWords[d.Cause]})
	}
	for _, x := range u.Routes {
		out.Routes = append(out.Routes, Route{Down: x.Down, Filter: x.Filter, Messages: x.Messages, Refused: x.Refusals, Paused: x.Paused, Words: x.Cause})
	}
	out.State = stateOf(out.Links, r.Uptime)
	now := countsOf(r).up[u.Name]
	if then, ok := p.before(r.At, rateSpan); ok {
		d, was := r.At.Sub(then.at), then.up[u.Name]
		out.SentPerS, out.AckedPerS = per(now.sent, was.sent, d), per(now.acked, was.acked, d)
	}
	out.Spool = spoolOf(r, u, p, out.State)
	out.Spool.Words = spoolWords(&out.Spool, out.State)
	out.Words = uplinkWords(&out)
	return out
}

func linkOf(now time.Time, l *uplink.LinkStats) Link {
	out := Link{
		ID: l.ID, Down: l.Down, Endpoint: l.Endpoint, State: l.State, Flowing: l.Flows(), Fault: string(l.Fault), Since: Time(l.Since), Lasting: max(now.Sub(l.Since), 0).Seconds(),
		RTT: l.RTT.Seconds(), InFlight: l.InFlight, Sent: l.Sent, Acked: l.Acked, Received: l.Received,
		Reconnects: l.Reconnects, Failovers: l.Failovers, Returns: l.Returns, Words: stateWords[l.State],
	}
	if l.Fault != "" {
		t := troubleOf(l.Fault)
		out.Words, out.Hint = named(t.what, "The cloud"), t.hint
	}
	return out
}

// named puts the name of a cloud into words; at the beginning with a capital.
func named(what, cloud string) string {
	if !strings.HasPrefix(what, "%s") {
		cloud = strings.Replace(cloud, "The cloud", "the cloud", 1)
	}
	return strings.Replace(what, "%s", cloud, 1)
}

// startTime is how long a gateway may take for its first connection before that
// is something to look at.
const startTime = 10 * time.Second

// senders are the links that carry messages up.
func senders(links []Link) []Link {
	if len(links) == 1 {
		return links
	}
	return slices.DeleteFunc(slices.Clone(links), func(l Link) bool { return l.Down })
}

func stateOf(links []Link, uptime time.Duration) string {
	up := senders(links)
	flowing, slow, stopped, faults, ever := 0, 0, 0, 0, false
	for _, l := range up {
		ever = ever || l.Sent > 0 || l.Reconnects > 0
		switch {
		case l.Flowing:
			flowing++
		case l.State == uplink.Slow:
			slow++
		case l.State == uplink.Stopped:
			stopped++
		case l.Fault != "":
			faults++
		}
	}
	switch {
	case len(up) > 0 && flowing == len(up):
		return Flowing
	case flowing > 0:
		return Partly
	case slow > 0:
		return Slow
	case uptime < startTime && !ever && faults == 0:
		return Starting
	case stopped == len(up):
		return Stopped
	}
	return Storing
}

func spoolOf(r *Readings, u *UplinkReadings, p *past, state string) Spool {
	s := Spool{DiskBytes: u.Spool.DiskBytes, DiskLimit: u.MaxDisk, Fault: u.Spool.Trouble, Classes: classesOf(&u.Spool)}
	for _, x := range slices.Concat(u.Spool.Streams, u.Spool.Old) {
		s.RAMMessages += x.Waiting
		s.RAMBytes += int64(x.Bytes)
		s.InFlight += x.InFlight
		s.DiskMessages += x.Stored
		if x.Waiting+x.Stored+x.InFlight > 0 {
			s.OldestAge = max(s.OldestAge, x.Oldest.Seconds())
		}
	}
	if u.Spool.Replay.Left > 0 && state != Storing && s.Waiting() > 0 {
		left := u.Spool.Replay.Left.Seconds()
		s.DrainSeconds = &left
	}
	if state == Flowing || s.DiskMessages == 0 {
		return s
	}
	if then, ok := p.before(r.At, trendSpan); ok && r.At.Sub(then.at) >= trendFrom {
		if rate := per(s.DiskBytes, then.up[u.Name].disk, r.At.Sub(then.at)); rate > 0 {
			full := float64(roomOf(r, u)) / rate
			s.FullSeconds = &full
		}
	}
	return s
}

// roomOf is how much more may wait on the card, in bytes.
func roomOf(r *Readings, u *UplinkReadings) int64 {
	room := max(u.MaxDisk-u.Spool.DiskBytes, 0)
	if r.DiskSize > 0 {
		room = min(room, r.DiskFree)
	}
	return room
}

func classesOf(s *spool.Stats) []Class {
	out := []Class{}
	for _, x := range slices.Concat(s.Streams, s.Old) {
		i := slices.IndexFunc(out, func(c Class) bool { return c.Name == x.Class.String() })
		if i < 0 {
			i, out = len(out), append(out, Class{Name: x.Class.String()})
		}
		c := &out[i]
		c.RAM, c.InFlight, c.Disk, c.Bytes = c.RAM+x.Waiting, c.InFlight+x.InFlight, c.Disk+x.Stored, c.Bytes+int64(x.Bytes)+x.Disk
		if x.Waiting+x.Stored+x.InFlight > 0 {
			c.OldestAge = max(c.OldestAge, x.Oldest.Seconds())
		}
	}
	order := []string{spool.Urgent.String(), spool.Normal.String(), spool.Bulk.String()}
	inorder.Sort(out, func(a, b Class) int { return cmp.Compare(slices.Index(order, a.Name), slices.Index(order, b.Name)) })
	return out
}

func seconds(s float64) time.Duration {
	const century = 100 * 365 * 24 * time.Hour
	return time.Duration(min(s, century.Seconds()) * float64(time.Second))
}

// spoolWords says what waits, without a stop.
func spoolWords(s *Spool, state string) string {
	n := int64(s.Waiting())
	if n == 0 {
		switch state {
		case Storing, Stopped:
			return "Nothing waits yet"
		}
		return "Nothing waits"
	}
	wait := counted(n, "message") + " wait"
	if n == 1 {
		wait += "s"
	}
	if state == Storing || state == Stopped {
		if s.OldestAge >= 1 {
			wait += " since " + lasting(seconds(s.OldestAge))
		}
		return "Storing: " + wait + room(s)
	}
	if s.DrainSeconds != nil {
		return "Sending what waited: " + counted(n, "message") + " left, done in about " + lasting(seconds(*s.DrainSeconds))
	}
	if s.FullSeconds != nil {
		return wait + ", more each minute" + room(s)
	}
	return wait
}

// room says for how long the card has room.
func room(s *Spool) string {
	switch {
	case s.FullSeconds != nil && *s.FullSeconds > (365*24*time.Hour).Seconds():
		return "; the card has room for more than a year"
	case s.FullSeconds != nil && *s.FullSeconds > 0:
		return "; the card has room for " + lasting(seconds(*s.FullSeconds))
	case s.FullSeconds != nil:
		return "; the card has no room left"
	case s.DiskLimit > 0 && s.DiskMessages > 0:
		return fmt.Sprintf("; %.0f %% of the card's part is used", 100*float64(s.DiskBytes)/float64(s.DiskLimit))
	}
	return ""
}

// uplinkWords is one sentence on one cloud, without a stop.
func uplinkWords(u *Uplink) string {
	up := senders(u.Links)
	flowing := 0
	for _, l := range up {
		if l.Flowing {
			flowing++
		}
	}
	switch u.State {
	case Flowing:
		if u.Spool.Waiting() > 0 {
			return u.Spool.Words
		}
		return "The cloud acknowledges what is sent"
	case Partly:
		return fmt.Sprintf("%d of %s to the cloud are up", flowing, counted(int64(len(up)), "link"))
	case Slow:
		return "The cloud is slow: acknowledgements come late"
	case Starting:
		return "Connecting to the cloud"
	case Stopped:
		return "Not running"
	}
	return cloudAway(up) + ". " + u.Spool.Words
}

// cloudAway says why no link is up: what a person has to do something about
// before what may pass.
func cloudAway(up []Link) string {
	if l := worst(up); l != nil {
		return l.Words
	}
	return "The cloud cannot be reached"
}

// worst returns the link with the worst fault, nil when none has one.
func worst(links []Link) (out *Link) {
	rank := func(l *Link) int { return levelRank(troubleOf(uplink.Fault(l.Fault)).level) }
	for i := range links {
		if l := &links[i]; l.Fault != "" && (out == nil || rank(l) < rank(out)) {
			out = l
		}
	}
	return out
}
