package control

import (
	"strings"
	"testing"
	"time"

	"tidegate/cmd/tidegate/internal/card"
	"tidegate/edge"
	"tidegate/hw"
	"tidegate/uplink"
	"tidegate/uplink/spool"
)

// now is when the table's gateways are looked at.
var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func link(id, state string, f uplink.Fault, ago time.Duration) uplink.LinkStats {
	return uplink.LinkStats{ID: id, State: state, Fault: f, Since: now.Add(-ago), Endpoint: "mqtt://cloud:1883", Sent: 1, Down: strings.HasSuffix(id, "-d0")}
}

func cloudOf(links ...uplink.LinkStats) UplinkReadings {
	return UplinkReadings{Stats: uplink.Stats{Name: "cloud", Links: links}, MaxDisk: 1 << 30}
}

func waiting(u UplinkReadings, ram, disk int, bytes int64, oldest time.Duration) UplinkReadings {
	u.Spool.Streams = []spool.StreamStats{{Class: spool.Normal, Waiting: ram, Stored: disk, Oldest: oldest}}
	u.Spool.DiskBytes = bytes
	return u
}

// healthy is a gateway of which nothing is to be said.
func healthy(uplinks ...UplinkReadings) *Readings {
	return &Readings{
		At: now, Uptime: time.Hour, ClockSet: true, Uplinks: uplinks, DiskFree: 10 << 30, DiskSize: 16 << 30,
		Listeners: []Listener{{Address: "0.0.0.0:1883", Protocol: "tcp"}},
	}
}

func judged(r *Readings, p *past) *Status {
	s := statusOf(r, p)
	judge(&s, r, p)
	return &s
}

func TestVerdict(t *testing.T) {
	up := link("h-u0", uplink.Connected, "", time.Hour)
	away := func(f uplink.Fault) uplink.LinkStats { return link("h-u0", uplink.Backoff, f, 12*time.Minute) }
	with := func(change func(*Readings)) *Readings { r := healthy(cloudOf(up)); change(r); return r }
	stored := waiting(cloudOf(away(uplink.FaultRefused)), 0, 1204, 300<<20, 12*time.Minute)
	for _, c := range []struct {
		name     string
		r        *Readings
		then     int64 // bytes on disk five minutes ago
		verdict  Verdict
		headline string
		state    string
	}{
		{"all well", healthy(cloudOf(up)), 0, Well, "All is well", Flowing},
		{"without a cloud", healthy(), 0, Well, "All is well", ""},
		{"wrong password", healthy(cloudOf(away(uplink.FaultCredentials))), 0, Trouble, "The cloud refuses the password", Storing},
		{"no network", healthy(cloudOf(away(uplink.FaultUnreachable))), 0, Attention, "There is no way to the cloud: the network is down", Storing},
		{"no name", healthy(cloudOf(away(uplink.FaultNoName))), 0, Attention, "The name of the cloud is not found", Storing},
		{"a fault without words", healthy(cloudOf(away("new"))), 0, Attention, "The cloud cannot be reached", Storing},
		{"away without a reason", healthy(cloudOf(away(""))), 0, Attention, "The cloud cannot be reached", Storing},
		{"the worse of two reasons", healthy(cloudOf(away(uplink.FaultTimedOut), link("h-u1", uplink.Backoff, uplink.FaultOwnCertificate, time.Minute))), 0,
			Trouble, "The cloud does not take the gateway's certificate", Storing},
		{"storing, no trend yet", healthy(stored), -1, Attention,
			"Nobody answers at the cloud's address. Storing: 1,204 messages wait since 12 minutes; 29 % of the card's part is used", Storing},
		{"storing for days", healthy(stored), 300<<20 - 800_000, Attention,
			"Nobody answers at the cloud's address. Storing: 1,204 messages wait since 12 minutes; the card has room for 3 days", Storing},
		{"full soon", healthy(waiting(cloudOf(away(uplink.FaultRefused)), 0, 9000, 900<<20, time.Hour)), 800 << 20, Trouble,
			"Storing: 9,000 messages wait since 60 minutes; the card has room for 6 minutes", Storing},
		{"one message", healthy(waiting(cloudOf(away(uplink.FaultRefused)), 1, 0, 0, 3*time.Second)), 0, Attention,
			"Nobody answers at the cloud's address. Storing: 1 message waits since 3 seconds", Storing},
		{"slow", healthy(cloudOf(link("h-u0", uplink.Slow, uplink.FaultLate, time.Minute))), 0, Attention, "The cloud is slow: acknowledgements come late", Slow},
		{"one of two away", healthy(cloudOf(up, link("h-u1", uplink.Connecting, uplink.FaultClosed, time.Minute))), 0, Attention, "Link h-u1 is away; what it carries waits", Partly},
		{"one of two moves", healthy(cloudOf(up, link("h-u1", uplink.Connecting, uplink.FaultClosed, time.Second))), 0, Well, "All is well", Partly},
		{"commands do not come", healthy(cloudOf(up, link("h-d0", uplink.Backoff, uplink.FaultNotAuthorized, time.Minute))), 0,
			Trouble, "Commands from the cloud do not come: the cloud does not let this gateway in", Flowing},
		{"starting", with(func(r *Readings) {
			r.Uptime = time.Second
			r.Uplinks = []UplinkReadings{cloudOf(uplink.LinkStats{ID: "h-u0", State: uplink.Connecting, Since: now})}
		}), 0, Attention, "Connecting to the cloud", Starting},
		{"a paused route", with(func(r *Readings) {
			r.Uplinks[0].Routes = []uplink.RouteStats{{Filter: "home/#", Paused: true, Cause: "no permission", Since: now}}
		}), 0, Trouble, "The cloud refuses the messages of home/#; they are kept", Flowing},
		{"dead letters", with(func(r *Readings) { r.Uplinks[0].Dead = Dead{Count: 3} }), 0, Attention, "The cloud has refused 3 messages for good", Flowing},
		{"messages were lost", with(func(r *Readings) {
			r.Uplinks[0].Spool.Drops = []spool.DropStats{{Route: "home/#", Cause: spool.ForDisk, Messages: 7, At: now.Add(-time.Minute)}}
		}), 0, Trouble, "7 messages of the last minutes will not reach the cloud", Flowing},
		{"they were lost long ago", with(func(r *Readings) {
			r.Uplinks[0].Spool.Drops = []spool.DropStats{{Route: "home/#", Cause: spool.ForDisk, Messages: 7, At: now.Add(-time.Hour)}}
		}), 0, Well, "All is well", Flowing},
		{"they were to expire", with(func(r *Readings) {
			r.Uplinks[0].Spool.Drops = []spool.DropStats{{Route: "home/#", Cause: spool.ForExpiry, Messages: 7, At: now}}
		}), 0, Well, "All is well", Flowing},
		{"the card cannot be written", with(func(r *Readings) { r.Uplinks[0].Spool.Trouble = "read-only file system" }), 0, Trouble, "What waits cannot be written to the card", Flowing},
		{"the card is full", with(func(r *Readings) { r.DiskFree = 1 << 20 }), 0, Trouble, "The card is full: 1049 kB left", Flowing},
		{"the card wears out", with(func(r *Readings) { r.Card = card.Stats{SparesLow: true} }), 0, Trouble, "The card is near its end", Flowing},
		{"no device may", with(func(r *Readings) { r.NobodyIn = true }), 0, Attention, "No device may connect yet", Flowing},
		{"no listener", with(func(r *Readings) { r.Listeners = nil }), 0, Trouble, "Devices cannot connect: there is no listener", Flowing},
		{"a sensor is gone", with(func(r *Readings) {
			r.HW = hw.Stats{Sensor: []hw.SensorStats{{Name: "hall", State: hw.Offline, Cause: "no answer"}}}
		}), 0, Attention, "Sensor hall gives no readings", Flowing},
		{"a few wrong passwords", with(func(r *Readings) { r.Edge = edge.Stats{LoginsFailed: 3} }), 0, Well, "All is well", Flowing},
		{"many wrong passwords", with(func(r *Readings) { r.Edge = edge.Stats{LoginsFailed: 30} }), 0, Attention, "30 log-ins failed in the last minutes", Flowing},
		{"the memory was full", with(func(r *Readings) { r.Edge = edge.Stats{Overloads: 1} }), 0, Attention, "Devices sent more than the gateway has memory for, and were held back", Flowing},
		{"no clock", with(func(r *Readings) { r.ClockSet = false }), 0, Well, "All is well", Flowing},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &past{}
			if c.then >= 0 {
				p.add(counts{at: now.Add(-5 * time.Minute), up: map[string]upCounts{"cloud": {disk: c.then}}})
			}
			s := judged(c.r, p)
			if s.Verdict != c.verdict || s.Headline != c.headline {
				t.Errorf("got %s %q, want %s %q", s.Verdict, s.Headline, c.verdict, c.headline)
			}
			if len(s.Uplinks) > 0 && s.Uplinks[0].State != c.state {
				t.Errorf("state: got %s, want %s", s.Uplinks[0].State, c.state)
			}
			for _, f := range s.Findings {
				if f.What == "" || levelRank(f.Level) < 0 || f.Level != levelInfo && f.Hint == "" && c.state != Starting || strings.Contains(f.What+f.Hint, "%!") || strings.Contains(f.What, "%s") {
					t.Errorf("a finding that does not help: %+v", f)
				}
			}
		})
	}
}

// While the file of users is damaged nobody is told to add one.
func TestDamagedUsers(t *testing.T) {
	r := healthy(cloudOf())
	r.NobodyIn, r.UsersFault = true, "users.toml:1 is cut off"
	for _, f := range judged(r, &past{}).Findings {
		if strings.Contains(f.What, "No device may connect") {
			t.Errorf("got %+v", f)
		}
	}
	var out strings.Builder
	for _, f := range judged(r, &past{}).Findings {
		out.WriteString(f.What + ". " + f.Hint)
	}
	if !strings.Contains(out.String(), "their file is damaged. users.toml:1 is cut off. Put it right, or restore a backup") {
		t.Errorf("got %s", &out)
	}
}

// Every fault that the uplink knows has words.
func TestEveryFaultHasWords(t *testing.T) {
	for f, x := range troubles {
		if levelRank(x.level) < 0 || !strings.Contains(x.what, "%s") || strings.HasSuffix(x.what, ".") || x.hint == "" && x.level != levelInfo {
			t.Errorf("%s: got %+v", f, x)
		}
	}
	for c := range dropWords {
		if dropWords[c] == "" {
			t.Errorf("%s has no words", c)
		}
	}
}

func TestWordsForPeople(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "a second", 40 * time.Second: "40 seconds", 12 * time.Minute: "12 minutes", 5 * time.Hour: "5 hours", 49 * time.Hour: "2 days", 73 * time.Hour: "3 days",
	} {
		if got := lasting(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1204: "1,204", 1234567: "1,234,567", -1204: "-1,204"} {
		if got := number(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

// Rates need two looks; a burst of seconds says nothing about days.
func TestRates(t *testing.T) {
	r := healthy(waiting(cloudOf(link("h-u0", uplink.Backoff, uplink.FaultRefused, time.Minute)), 0, 10, 1000, time.Minute))
	r.Edge.PublishReceived = 100
	if s := judged(r, &past{}); s.Home.InPerS != 0 || s.Uplinks[0].Spool.FullSeconds != nil {
		t.Errorf("at the first look: got %+v", s.Home)
	}
	p := &past{}
	p.add(counts{at: now.Add(-5 * time.Second), in: 50, up: map[string]upCounts{"cloud": {}}})
	if s := judged(r, p); s.Home.InPerS != 10 || s.Uplinks[0].Spool.FullSeconds != nil {
		t.Errorf("after five seconds: got %+v, %v", s.Home, s.Uplinks[0].Spool.FullSeconds)
	}
	p = &past{}
	p.add(counts{at: now.Add(-100 * time.Second), in: 50, up: map[string]upCounts{"cloud": {}}})
	if s := judged(r, p); s.Uplinks[0].Spool.FullSeconds == nil || *s.Uplinks[0].Spool.FullSeconds != float64(1<<30-1000)/10 {
		t.Errorf("after a while: got %v", s.Uplinks[0].Spool.FullSeconds)
	}
}

func TestPastIsBounded(t *testing.T) {
	p := &past{}
	for i := range 3600 {
		p.add(counts{at: now.Add(time.Duration(i) * time.Second)})
	}
	if n := len(p.kept); n > 2*keptCounts {
		t.Errorf("got %d counts", n)
	}
	last := now.Add(3599 * time.Second)
	for _, age := range []time.Duration{3 * time.Second, 5 * time.Minute, 10 * time.Minute} {
		if c, ok := p.before(last, age); !ok || last.Sub(c.at) < age || last.Sub(c.at) > age+11*time.Second {
			t.Errorf("of %v ago: got one of %v", age, last.Sub(c.at))
		}
	}
}
