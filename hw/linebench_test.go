package hw

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"tidegate/hw/internal/line"
	"tidegate/internal/conf"
)

// bench is a table with wires and lamps that a test works with.
type bench struct {
	mu    sync.Mutex // guards what follows
	begin time.Time
	wires map[string]*cable
	lamps map[string]*lamp
	fail  map[string]error // to open a line
}

// cable is the source of an input.
type cable struct {
	b     *bench
	level bool
	only  string // "rising" or "falling": the only edges that it gives
	queue []line.Edge
	err   error
	wake  chan struct{}
	open  int
}

// lamp is what an output drives.
type lamp struct {
	b      *bench
	state  line.State
	err    error
	opened int
	open   int
	set    []string // states in their order, with the time since the start
}

func newBench() *bench {
	return &bench{begin: time.Now(), wires: map[string]*cable{}, lamps: map[string]*lamp{}, fail: map[string]error{}}
}

func (b *bench) wire(name string) *cable {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.wires[name]
	if w == nil {
		w = &cable{b: b, wake: make(chan struct{}, 1)}
		b.wires[name] = w
	}
	return w
}

func (b *bench) lamp(name string) *lamp {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.lamps[name]
	if l == nil {
		l = &lamp{b: b}
		b.lamps[name] = l
	}
	return l
}

func (b *bench) change(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

func (b *bench) failure(name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.fail[name]
}

func (b *bench) input(c InputConfig) (*line.Input, error) {
	if err := b.failure(c.Line); err != nil {
		return nil, err
	}
	w := b.wire(c.Line)
	b.change(func() { w.open, w.queue = w.open+1, nil })
	return line.NewInput(w, c.Debounce.Std())
}

func (b *bench) pulses(c InputConfig) (*line.Pulses, error) {
	if err := b.failure(c.Line); err != nil {
		return nil, err
	}
	w := b.wire(c.Line)
	b.change(func() { w.open, w.queue, w.only = w.open+1, nil, c.Edge })
	return line.NewPulses(w), nil
}

func (b *bench) output(c ActuatorConfig, s line.State) (output, error) {
	place := c.Line + c.PWM
	if err := b.failure(place); err != nil {
		return nil, err
	}
	l := b.lamp(place)
	b.change(func() {
		l.opened, l.open = l.opened+1, l.open+1
		l.note(s)
	})
	return l, nil
}

func (b *bench) store(dir, name string) *line.Store { return line.NewStore(dir, name) }

// note is called with mu held.
func (l *lamp) note(s line.State) {
	l.state = s
	word := onOff(s.On)
	if s.Brightness > 0 {
		word = fmt.Sprint(s.Brightness)
	}
	l.set = append(l.set, fmt.Sprint(word, " ", time.Since(l.b.begin).Round(time.Millisecond)))
}

func (l *lamp) Set(s line.State) error {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	l.note(s)
	return nil
}

func (l *lamp) Check() error {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	return l.err
}

func (l *lamp) Close() error {
	l.b.change(func() { l.open-- })
	return nil
}

func (l *lamp) now() line.State {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	return l.state
}

func (w *cable) Now() time.Duration { return time.Since(w.b.begin) }

func (w *cable) Close() error {
	w.b.change(func() { w.open-- })
	return nil
}

func (w *cable) Value() (bool, error) {
	w.b.mu.Lock()
	defer w.b.mu.Unlock()
	return w.level, w.err
}

func (w *cable) set(level bool) {
	w.b.change(func() {
		w.level = level
		if w.only == "" || (w.only == "rising") == level {
			w.queue = append(w.queue, line.Edge{At: w.Now(), Active: level})
		}
	})
	w.signal()
}

func (w *cable) breaks(err error) {
	w.b.change(func() { w.err = err })
	w.signal()
}

func (w *cable) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *cable) take(all []line.Edge) (int, error) {
	w.b.mu.Lock()
	defer w.b.mu.Unlock()
	n := copy(all, w.queue)
	w.queue = w.queue[n:]
	return n, w.err
}

func (w *cable) Wait(ctx context.Context, most time.Duration, all []line.Edge) (int, error) {
	late := time.NewTimer(most)
	defer late.Stop()
	for {
		if n, err := w.take(all); n > 0 || err != nil {
			return n, err
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-late.C:
			return 0, nil
		case <-w.wake:
		}
	}
}

// commander takes the place of the broker.
type commander struct {
	mu       sync.Mutex // guards f and topics
	f        func(*Message)
	topics   []string
	retained []*Message
}

func (c *commander) watch(ctx context.Context, topics []string, f func(*Message)) {
	c.mu.Lock()
	c.f, c.topics = f, topics
	retained := c.retained
	c.mu.Unlock()
	for _, m := range retained {
		f(m)
	}
	<-ctx.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.f = nil
}

// deaf says whether nobody hears commands.
func (c *commander) deaf() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.f == nil
}

func (c *commander) send(topic, payload string) {
	c.message(&Message{Topic: topic, Payload: []byte(payload)})
}

func (c *commander) message(m *Message) {
	m.Accepted = time.Now()
	c.mu.Lock()
	f := c.f
	c.mu.Unlock()
	if f != nil {
		f(m)
	}
}

// works is a Hardware on a bench.
type works struct {
	*Hardware
	*bench
	commander
	got submitted
	log lines
	dir string
}

func newWorks(t *testing.T, b *bench, cfg Config) *works {
	t.Helper()
	return newWorksIn(t, b, cfg, t.TempDir())
}

func newWorksIn(t *testing.T, b *bench, cfg Config, dir string) *works {
	t.Helper()
	if problems := cfg.Check(); len(problems) > 0 {
		t.Fatal(problems)
	}
	w := &works{bench: b, dir: dir}
	w.Hardware = &Hardware{opt: Options{
		Log: slog.New(slog.NewTextHandler(&w.log, nil)), Submit: w.got.take, Watch: w.watch, Dir: dir,
		Clock: func() (time.Time, bool) { return time.Time{}, false },
	}}
	w.addLines(cfg, b)
	return w
}

// start runs it until the returned function is called.
func (w *works) start(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		if err := w.Run(ctx); err != nil {
			t.Errorf("Run returned %v", err)
		}
	})
	return sync.OnceFunc(func() { cancel(); all.Wait() })
}

// said are the payloads of a topic since the last call with it.
func (w *works) said(topic string) (all []string) {
	w.got.mu.Lock()
	defer w.got.mu.Unlock()
	rest := w.got.all[:0]
	for _, m := range w.got.all {
		if m.Topic == topic {
			all = append(all, string(m.Payload))
		} else {
			rest = append(rest, m)
		}
	}
	w.got.all = rest
	return all
}

var errBusy = errors.New("request gpiochip0:17: device or resource busy; it is used by lirc")

func every(d time.Duration) conf.Duration { return conf.Duration(d) }
