package scenario

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"tidegate/build/lab/gateway"
	"tidegate/build/lab/proc"
	"tidegate/uplink"
)

// signs are what the gateway shows of its links: its log, and its status.
type signs struct {
	also io.Writer

	mu    sync.Mutex // guards what follows
	rest  []byte
	mark  time.Time
	first time.Time      // of a link's trouble since the mark; zero for none
	what  string         // the line
	lost  map[string]int // connections of up links, in all, by fault
}

// Write takes the gateway's log.
func (s *signs) Write(b []byte) (int, error) {
	if s.also != nil {
		_, _ = s.also.Write(b)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rest = append(s.rest, b...)
	for {
		line, rest, ok := bytes.Cut(s.rest, []byte("\n"))
		if !ok {
			return len(b), nil
		}
		s.line(string(line))
		s.rest = rest
	}
}

func (s *signs) line(line string) {
	if !strings.Contains(line, " link=") {
		return
	}
	if strings.Contains(line, `msg="link lost"`) && strings.Contains(line, "-u") {
		if s.lost == nil {
			s.lost = map[string]int{}
		}
		s.lost[faultOf(line)]++
	}
	if !strings.Contains(line, `msg="link up"`) {
		s.trouble(line)
	}
}

// faultOf is what the gateway took the trouble for.
func faultOf(line string) string {
	_, rest, _ := strings.Cut(line, " fault=")
	fault, _, _ := strings.Cut(rest, " ")
	if fault == "" {
		return "lost"
	}
	return fault
}

func (s *signs) trouble(what string) {
	if s.first.IsZero() && !s.mark.IsZero() {
		s.first, s.what = time.Now(), what
	}
}

// begin makes this moment the mark.
func (s *signs) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mark, s.first, s.what = time.Now(), time.Time{}, ""
}

// detected returns how long after the mark the gateway knew of trouble.
func (s *signs) detected() (after time.Duration, what string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first.IsZero() {
		return 0, "", false
	}
	return s.first.Sub(s.mark), s.what, true
}

// losses returns how many connections of up links were lost, and for what.
func (s *signs) losses() (n int, faults string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, fault := range slices.Sorted(maps.Keys(s.lost)) {
		n += s.lost[fault]
		all = append(all, fmt.Sprint(s.lost[fault], " ", fault))
	}
	return n, strings.Join(all, ", ")
}

// see takes the status of the links.
func (s *signs) see(links []uplink.LinkStats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range links {
		if l.State != uplink.Connected && l.Cause != "" { // one that has just started has none yet
			s.trouble(l.ID + ": " + l.State + ": " + l.Cause)
		}
	}
}

// meter follows what the gateway costs, through its restarts.
type meter struct {
	mu      sync.Mutex // guards what follows
	peak    int64      // anonymous memory, bytes
	written int64      // to the storage layer, bytes, by processes that have ended
	pid     int
	now     int64 // written by this one
}

func (m *meter) sample(g *gateway.Gateway) {
	p := g.Process()
	if p == nil || !p.Running() {
		return
	}
	u, err := proc.Read(p.PID())
	if err != nil {
		return // it has just ended
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if p.PID() != m.pid {
		m.written, m.now, m.pid = m.written+m.now, 0, p.PID()
	}
	m.peak, m.now = max(m.peak, u.Anon), u.Written
}

func (m *meter) totals() (peak, written int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.peak, m.written + m.now
}
