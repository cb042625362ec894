package update

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"
)

// line is what the gateway's status socket says each second, as far as it
// matters here.
type line struct {
	PID       int
	Version   string
	Listeners []string
	Uplinks   map[string]struct {
		Links []struct {
			State string
			Down  bool
		}
		Spool struct {
			Loaded  bool
			Trouble string
		}
	}
}

// up names the uplinks that have a link up.
func (l line) up() []string {
	var names []string
	for name, u := range l.Uplinks {
		for _, link := range u.Links {
			if link.State == "up" || link.State == "slow" {
				names = append(names, name)
				break
			}
		}
	}
	return names
}

// ill says what is wrong, or nil. required names the uplinks that must have a
// link up; one that the configuration has no more is not required.
func (l line) ill(required []string) error {
	if len(l.Listeners) == 0 {
		return errors.New("the broker does not listen")
	}
	for name, u := range l.Uplinks {
		switch {
		case !u.Spool.Loaded:
			return fmt.Errorf("the spool of uplink %s is not loaded", name)
		case u.Spool.Trouble != "":
			return fmt.Errorf("the spool of uplink %s: %s", name, u.Spool.Trouble)
		}
	}
	up := l.up()
	for _, name := range required {
		if _, configured := l.Uplinks[name]; configured && !slices.Contains(up, name) {
			return fmt.Errorf("uplink %s, which was up before the update, has no link", name)
		}
	}
	return nil
}

// most between two lines of a gateway that is well, and the length of one.
const (
	mostGap  = 5 * time.Second
	mostLine = 1 << 20
)

// watch gives the lines of the socket to f until f returns false, the
// connection ends or ctx does.
func watch(ctx context.Context, socket string, f func(line) bool) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	in := bufio.NewScanner(c)
	in.Buffer(nil, mostLine)
	for c.SetReadDeadline(time.Now().Add(mostGap)); in.Scan(); c.SetReadDeadline(time.Now().Add(mostGap)) {
		var l line
		if err := json.Unmarshal(in.Bytes(), &l); err != nil {
			return fmt.Errorf("the gateway's status: %w", err)
		}
		if !f(l) {
			return nil
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := in.Err(); err != nil {
		return fmt.Errorf("the gateway's status: %w", err)
	}
	return errors.New("the gateway has hung up")
}

// probation decides when new software is healthy: when the gateway was, without an
// interruption, for a time.
type probation struct {
	need     time.Duration
	required []string // uplinks

	pid   int
	since time.Time // the first of an unbroken row of good lines; zero for none
	last  time.Time
	why   error // the last thing that was wrong
}

// see takes a line, or why there is none, and says whether that is enough.
func (p *probation) see(now time.Time, l line, err error) bool {
	if err == nil {
		err = l.ill(p.required)
	}
	switch {
	case err != nil:
		p.why, p.since = err, time.Time{}
		return false
	case p.since.IsZero():
	case l.PID != p.pid:
		p.why, p.since = errors.New("the gateway has started anew"), time.Time{}
	case now.Sub(p.last) > mostGap:
		p.why, p.since = fmt.Errorf("the gateway said nothing for %v", now.Sub(p.last).Round(time.Second)), time.Time{}
	}
	if p.since.IsZero() {
		p.since = now
	}
	p.pid, p.last = l.PID, now
	return now.Sub(p.since) >= p.need
}
