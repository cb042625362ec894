package control

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"tidegate/hw"
	"tidegate/internal/inorder"
	"tidegate/uplink"
)

// judge fills in findings, verdict and headline.
func judge(s *Status, r *Readings, p *past) {
	several := len(s.Uplinks) > 1
	for i := range s.Uplinks {
		s.Findings = append(s.Findings, findingsOf(&s.Uplinks[i], &r.Uplinks[i], r, p, several)...)
	}
	s.Findings = append(s.Findings, homeFindings(s, r, p)...)
	s.Findings = append(s.Findings, hardwareFindings(&r.HW)...)
	s.Findings = append(s.Findings, machineFindings(s, r)...)
	inorder.Sort(s.Findings, func(a, b Finding) int { return cmp.Compare(levelRank(a.Level), levelRank(b.Level)) })
	s.Verdict, s.Headline = Well, "All is well"
	if len(s.Findings) == 0 || s.Findings[0].Level == levelInfo {
		return
	}
	worst := s.Findings[0]
	s.Verdict, s.Headline = Verdict(worst.Level), worst.What
	if worst.About == "cloud" { // what becomes of the messages belongs to it
		for _, f := range s.Findings[1:] {
			if f.About == "spool" && (f.Level != levelInfo || strings.HasPrefix(f.What, "Storing")) {
				s.Headline += ". " + f.What
				break
			}
		}
	}
}

func levelRank(level string) int {
	return slices.Index([]string{levelTrouble, levelAttention, levelInfo}, level)
}

const (
	blink     = 5 * time.Second  // a link that is away for less is on its way to another endpoint
	fullSoon  = time.Hour        // then messages are lost: time to act
	lostSpan  = 10 * time.Minute // drops of this time are news
	leastFree = 64 << 20         // bytes on the card
)

// findingsOf are those about one cloud and what waits for it.
func findingsOf(u *Uplink, r *UplinkReadings, all *Readings, p *past, several bool) (out []Finding) {
	cloud := "The cloud"
	if several {
		cloud = fmt.Sprintf("The cloud “%s”", u.Name)
	}
	add := func(level, about, what, hint string, since Time) {
		out = append(out, Finding{Level: level, About: about, What: what, Hint: hint, Since: since})
	}
	links := senders(u.Links)
	switch u.State {
	case Starting:
		add(levelAttention, "cloud", "Connecting to "+strings.Replace(cloud, "The", "the", 1), "", Time{})
	case Storing, Slow, Stopped:
		add(away(u, links, cloud))
	case Partly:
		for _, l := range links {
			if !l.Flowing && l.Lasting >= blink.Seconds() {
				t := troubleOf(uplink.Fault(l.Fault))
				add(levelAttention, "cloud", fmt.Sprintf("Link %s is away; what it carries waits", l.ID), named(t.what, cloud)+". "+t.hint, l.Since)
			}
		}
	}
	for _, l := range u.Links {
		if l.Down && len(u.Links) > 1 && !l.Flowing && l.Lasting >= blink.Seconds() && (u.State == Flowing || u.State == Partly) {
			t := troubleOf(uplink.Fault(l.Fault))
			add(cmp.Or(t.level, levelAttention), "cloud", "Commands from "+strings.Replace(cloud, "The", "the", 1)+" do not come: "+lower(named(t.what, cloud)), t.hint, l.Since)
		}
		if l.Flowing && l.Fault != "" {
			t := troubleOf(uplink.Fault(l.Fault))
			add(t.level, "cloud", named(t.what, cloud), t.hint, Time{})
		}
	}
	for i := range r.Routes {
		if x := &r.Routes[i]; x.Paused {
			add(levelTrouble, "cloud", fmt.Sprintf("%s refuses the messages of %s; they are kept", cloud, x.Filter), "Reason: "+x.Cause+". One is tried now and then.", Time(x.Since))
		}
	}
	prefix := ""
	if several {
		prefix = u.Name + ": "
	}
	return append(out, spoolFindings(u, r, all, p, prefix)...)
}

// away is the finding that nothing goes up.
func away(u *Uplink, links []Link, cloud string) (level, about, what, hint string, since Time) {
	l := worst(links)
	if l == nil {
		t := troubleOf("")
		return t.level, "cloud", named(t.what, cloud), t.hint, Time{}
	}
	t := troubleOf(uplink.Fault(l.Fault))
	if t.level == levelInfo {
		t.level = levelAttention
	}
	return t.level, "cloud", named(t.what, cloud), t.hint, l.Since
}

// spoolFindings are about what waits and what was lost.
func spoolFindings(u *Uplink, r *UplinkReadings, all *Readings, p *past, prefix string) (out []Finding) {
	add := func(level, what, hint string) {
		out = append(out, Finding{Level: level, About: "spool", What: prefix + what, Hint: hint})
	}
	s := &u.Spool
	if s.Fault != "" {
		add(levelTrouble, "What waits cannot be written to the card", "The card may be full, worn out or read-only: "+s.Fault)
	}
	if u.State == Storing && s.Waiting() > 0 {
		level, hint := levelInfo, "They are sent, in order, when the cloud is back."
		if s.FullSeconds != nil && seconds(*s.FullSeconds) < fullSoon && s.DiskBytes > s.DiskLimit/2 {
			level, hint = levelTrouble, "After that messages are dropped. Bring the cloud back, or raise max-disk of the uplink."
		}
		add(level, s.Words, hint)
	} else if s.Waiting() > 0 && s.DrainSeconds != nil && s.OldestAge > 10 {
		add(levelInfo, s.Words, "")
	}
	if n, why := recentlyLost(r, all.At, p); n > 0 {
		add(levelTrouble, fmt.Sprintf("%s of the last minutes will not reach the cloud", counted(n, "message")), "Why: "+why+".")
	}
	if u.Dead.Count > 0 {
		add(levelAttention, fmt.Sprintf("The cloud has refused %s for good", counted(int64(u.Dead.Count), "message")), "Look at the dead letters: correct what is wrong there and send them again, or remove them.")
	}
	return out
}

// recentlyLost counts the drops of the last minutes that somebody misses, and
// says why the most were.
func recentlyLost(r *UplinkReadings, now time.Time, p *past) (n int64, why string) {
	then, ok := p.before(now, lostSpan)
	if !ok {
		return 0, ""
	}
	total, most := int64(0), int64(0)
	for _, d := range r.Spool.Drops {
		if total += d.Messages; lost(d.Cause) && now.Sub(d.At) < lostSpan {
			if n += d.Messages; d.Messages > most {
				most, why = d.Messages, dropWords[d.Cause]
			}
		}
	}
	return min(n, max(total-then.up[r.Name].dropped, 0)), why
}

func homeFindings(s *Status, r *Readings, p *past) (out []Finding) {
	add := func(level, about, what, hint string) {
		out = append(out, Finding{Level: level, About: about, What: what, Hint: hint})
	}
	if len(s.Home.Listeners) == 0 {
		add(levelTrouble, "home", "Devices cannot connect: there is no listener", "Add [[edge.listener]] with bind = \":1883\" to the configuration, "+reload)
	}
	if r.UsersFault != "" {
		add(levelTrouble, "home", "Users who were added here cannot log in: their file is damaged", r.UsersFault+". Put it right, or restore a backup, "+reload)
	} else if r.NobodyIn {
		add(levelAttention, "home", "No device may connect yet", "Add the first on the page Devices or with: sudo tidegate device add NAME")
	}
	then, ok := p.before(r.At, lostSpan)
	if n := r.Edge.LoginsFailed - then.failed; ok && n > 0 {
		level := levelInfo
		if n >= 10 {
			level = levelAttention
		}
		add(level, "home", counted(n, "log-in")+" failed in the last minutes", "A device has a wrong name or password, or somebody guesses. The log names them.")
	}
	if ok && r.Edge.Overloads > then.trouble {
		add(levelAttention, "memory", "Devices sent more than the gateway has memory for, and were held back", "If it comes again, raise memory in [edge.limits], or look for a device that floods.")
	}
	return out
}

func hardwareFindings(h *hw.Stats) (out []Finding) {
	for _, x := range h.Sensor {
		if x.State == hw.Offline {
			out = append(out, Finding{Level: levelAttention, About: "sensors", What: "Sensor " + x.Name + " gives no readings", Hint: sentence(x.Cause) + " Look at its wires; it is tried again and again."})
		}
	}
	for what, list := range map[string][]hw.LineStats{"Input ": h.Input, "Actuator ": h.Actuator} {
		for _, x := range list {
			if x.State == hw.Offline {
				out = append(out, Finding{Level: levelAttention, About: "sensors", What: what + x.Name + " is not there", Hint: sentence(x.Cause) + " It is tried again and again."})
			}
		}
	}
	inorder.Sort(out, func(a, b Finding) int { return cmp.Compare(a.What, b.What) })
	return out
}

func machineFindings(s *Status, r *Readings) (out []Finding) {
	add := func(level, about, what, hint string) {
		out = append(out, Finding{Level: level, About: about, What: what, Hint: hint})
	}
	if r.Card.SparesLow {
		add(levelTrouble, "card", "The card is near its end", "Make a backup (tidegate backup) and replace it.")
	} else if r.Card.LifeUsed != nil && *r.Card.LifeUsed >= 90 {
		add(levelAttention, "card", fmt.Sprintf("The card has used %d %% of its life", *r.Card.LifeUsed), "Make a backup (tidegate backup) and have a new one ready.")
	}
	if r.DiskSize > 0 && r.DiskFree < leastFree {
		add(levelTrouble, "card", "The card is full: "+size(r.DiskFree)+" left", "Remove what does not belong to the gateway, or use a larger card.")
	}
	if !r.ClockSet {
		level, hint := levelInfo, "Times are as the gateway's clock says. It asks the network for the time (NTP)."
		if r.At.Before(clockBefore) {
			level = levelAttention
		}
		add(level, "clock", "Nobody has set the gateway's clock yet", hint)
	}
	return out
}

// clockBefore is a time before which this program did not exist.
var clockBefore = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// sentence makes one of words: a capital and a stop.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	s = strings.ToUpper(s[:1]) + s[1:]
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}

// lower makes words that go on in a sentence.
func lower(s string) string {
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}
