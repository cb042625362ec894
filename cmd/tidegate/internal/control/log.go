package control

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	mostLines   = 1000
	mostLogSize = 512 << 10 // bytes that the lines may take
	mostText    = 2000      // bytes of a line's text, and of each of its fields
	mostFields  = 24        // of a line
	lineCost    = 200       // bytes that a line takes besides its text
	waitingLog  = 64        // lines that wait for one who follows
)

// Line is one line of the log.
type Line struct {
	Time    Time              `json:"time"`
	Level   string            `json:"level"` // debug, info, warn, error
	Message string            `json:"message"`
	Fields  map[string]string `json:"fields"`

	level slog.Level
	cost  int
}

// Log keeps the last lines of the log in RAM, 1000 and half a MiB at most.
type Log struct {
	mu        sync.Mutex // guards what follows
	lines     []*Line    // oldest first
	cost      int
	followers map[*logFollower]bool
}

type logFollower struct {
	lines   chan *Line
	dropped int64
}

// NewLog returns an empty log.
func NewLog() *Log { return &Log{followers: map[*logFollower]bool{}} }

// Tee returns a handler that gives to next what that wants, and keeps it.
func (l *Log) Tee(next slog.Handler) slog.Handler { return &tee{Handler: next, log: l} }

type tee struct {
	slog.Handler
	log    *Log
	fields []slog.Attr // with the groups in their keys
	group  string
}

func (t *tee) Handle(ctx context.Context, r slog.Record) error {
	t.log.add(t.line(r))
	return t.Handler.Handle(ctx, r)
}

func (t *tee) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *t
	next.Handler = t.Handler.WithAttrs(attrs)
	next.fields = slices.Clip(next.fields)
	for _, a := range attrs {
		next.fields = append(next.fields, slog.Attr{Key: t.group + a.Key, Value: a.Value})
	}
	return &next
}

func (t *tee) WithGroup(name string) slog.Handler {
	next := *t
	next.Handler, next.group = t.Handler.WithGroup(name), t.group+name+"."
	return &next
}

func (t *tee) line(r slog.Record) *Line {
	out := &Line{Time: Time(r.Time), Level: strings.ToLower(r.Level.String()), Message: clip(r.Message, mostText), Fields: map[string]string{}, level: r.Level}
	add := func(key string, v slog.Value) {
		if len(out.Fields) < mostFields {
			out.Fields[key] = clip(v.Resolve().String(), mostText)
		}
	}
	for _, a := range t.fields {
		add(a.Key, a.Value)
	}
	r.Attrs(func(a slog.Attr) bool { add(t.group+a.Key, a.Value); return true })
	out.cost = lineCost + len(out.Message)
	for k, v := range out.Fields {
		out.cost += len(k) + len(v) + 64
	}
	return out
}

// clip shortens text to most bytes, between letters.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + " …"
}

func (l *Log) add(line *Line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
	l.cost += line.cost
	for len(l.lines) > mostLines || l.cost > mostLogSize {
		l.cost -= l.lines[0].cost
		l.lines[0] = nil
		l.lines = l.lines[1:]
	}
	for f := range l.followers {
		select {
		case f.lines <- line:
		default:
			f.dropped++
		}
	}
}

// last returns the lines that want wants, and, to follow, what comes from then
// on.
func (l *Log) last(want func(*Line) bool, follow bool) (lines []*Line, f *logFollower) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines = []*Line{}
	for _, x := range l.lines {
		if want(x) {
			lines = append(lines, x)
		}
	}
	if follow {
		f = &logFollower{lines: make(chan *Line, waitingLog)}
		l.followers[f] = true
	}
	return lines, f
}

func (l *Log) leave(f *logFollower) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.followers, f)
}

// missed returns how many lines had no room, and forgets them.
func (l *Log) missed(f *logFollower) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := f.dropped
	f.dropped = 0
	return n
}

// Lines is the body of /v1/log.
type Lines struct {
	Lines []*Line `json:"lines"`
}

// Dropped is an event of a stream: so many were left out, because the listener
// is too slow.
type Dropped struct {
	Count int64 `json:"count"`
}

// wanted reads level and search of a request.
func wanted(r *http.Request) (func(*Line) bool, error) {
	q := r.URL.Query()
	least := slog.LevelDebug
	if text := q.Get("level"); text != "" && least.UnmarshalText([]byte(text)) != nil {
		return nil, bad("level is none of debug, info, warn and error", "")
	}
	search := strings.ToLower(q.Get("search"))
	return func(l *Line) bool { return l.level >= least && (search == "" || l.has(search)) }, nil
}

func (l *Line) has(search string) bool {
	if strings.Contains(strings.ToLower(l.Message), search) {
		return true
	}
	for k, v := range l.Fields {
		if strings.Contains(k, search) || strings.Contains(strings.ToLower(v), search) {
			return true
		}
	}
	return false
}

// log is GET /v1/log.
func (a *API) log(w http.ResponseWriter, r *http.Request) error {
	want, err := wanted(r)
	if err != nil {
		return err
	}
	if on := r.URL.Query().Get("follow"); on == "" || on == "0" {
		lines, _ := a.opt.Log.last(want, false)
		return answer(w, Lines{lines})
	}
	s, ctx, done, err := a.open(w, r)
	if err != nil {
		return err
	}
	defer done()
	lines, f := a.opt.Log.last(want, true)
	defer a.opt.Log.leave(f)
	var frames []frame
	for _, l := range lines {
		if one, err := newFrame("line", l); err == nil {
			frames = append(frames, one)
		}
	}
	if err := s.send(append(frames, comment)...); err != nil {
		return err
	}
	return a.followLog(ctx, s, f, want)
}

func (a *API) followLog(ctx context.Context, s *stream, f *logFollower, want func(*Line) bool) error {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		var frames []frame
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
			frames = append(frames, comment)
		case l := <-f.lines:
			if !want(l) {
				continue
			}
			if one, err := newFrame("line", l); err == nil {
				frames = append(frames, one)
			}
		}
		if n := a.opt.Log.missed(f); n > 0 {
			if one, err := newFrame("dropped", Dropped{n}); err == nil {
				frames = append(frames, one)
			}
		}
		if err := s.send(frames...); err != nil {
			return err
		}
	}
}
