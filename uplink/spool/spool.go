package spool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"tidegate/internal/wear"
	"tidegate/internal/whole"
)

// Options is what a Spool needs from its surroundings.
type Options struct {
	Dir     string       // of the spool files; made if missing. No other process may use it
	Links   int          // number of up links
	Epoch   uint64       // boot epoch: larger at each start of the process
	Log     *slog.Logger // nil: none
	Budget  *wear.Budget // nil: none
	Checker []string     // argv of the child process that checks a file, without its path; empty: check in this process
	Ready   func(link int)
	Settled func()
	Link    func(topic string) int             // the link that a topic in the cloud belongs to, for dead letters that are sent again; nil: 0
	Route   func(topic string, c Class) string // names the route that a message with this topic in the cloud came by, for the account of drops; "" if none. It must not block. nil: none

	Wall func() (now time.Time, synced bool) // wall time, and whether it can be trusted; nil: the kernel's
	open opener
}

// Spool keeps the messages of one uplink until the cloud has acknowledged
// them: see the package's documentation. All methods may be called from any
// goroutine, except that one link's Take has one caller at a time.
type Spool struct {
	cfg   Config
	opt   Options
	log   *slog.Logger
	clock *clock
	disk  *disk
	work  *wear.Committer

	spill, along time.Duration // how long a message waits before it, or with it others, is written

	ids     atomic.Uint64
	links   []*link
	streams []*stream // link*classes + class
	loaded  atomic.Bool
	closing atomic.Bool
	commits atomic.Int64
	bytes   atomic.Int64
	trouble atomic.Pointer[trouble] // nil when all is well

	old    olds
	scouts scout
	losses losses
	replay replay

	// Only the committer's goroutine uses these.
	batchBuf  batch
	pending   []*Entry
	tickets   []Ticket
	cursorAt  time.Time
	drainedAt time.Time
	linger    time.Duration // lingerAfter
	rescueAt  time.Time     // damaged files are left alone before it, after a failure
	thinAt    time.Time     // the same for files that have to give way
	thinErr   error         // why they could not
	overDisk  bool

	refused refusals
	graves  graves
}

// trouble is what goes wrong with the disk.
type trouble struct {
	what string
	err  error
}

type link struct {
	down   atomic.Bool
	window atomic.Int64
	flight atomic.Int64 // taken, and neither acknowledged nor refused
}

// New checks cfg and opt and returns a spool that takes messages and gives
// none yet. It starts nothing; Run does.
func New(cfg Config, opt Options) (*Spool, error) {
	if p := cfg.Check(); len(p) > 0 {
		return nil, fmt.Errorf("spool: %s", p[0])
	}
	if opt.Links < 1 || opt.Links > 1<<16-1 {
		return nil, fmt.Errorf("spool: %d links", opt.Links)
	}
	// The name is synced also when it was there: an earlier start may have
	// ended just before. A power cut would take the directory and all in it.
	if err := errors.Join(os.MkdirAll(opt.Dir, 0o700), whole.SyncDir(filepath.Dir(opt.Dir))); err != nil {
		return nil, fmt.Errorf("make spool directory: %w; choose a data directory that can be written", err)
	}
	opt.Log = cmp.Or(opt.Log, slog.New(slog.DiscardHandler))
	if opt.Budget == nil {
		opt.Budget = wear.NewBudget(1<<40, 1<<40)
	}
	if opt.Ready == nil {
		opt.Ready = func(int) {}
	}
	if opt.Settled == nil {
		opt.Settled = func() {}
	}
	if opt.open == nil {
		opt.open = os.OpenFile
	}
	s := &Spool{cfg: cfg, opt: opt, log: opt.Log, linger: lingerAfter, scouts: newScout(), clock: newClock(opt.Epoch, opt.Wall)}
	s.replay = replay{least: float64(cfg.ReplayRate), buckets: make([]bucket, opt.Links)}
	s.spill, s.along = cfg.SpillAfter.Std(), cfg.SpillAfter.Std()/2
	s.disk = &disk{dir: opt.Dir, fileSize: int64(cfg.FileSize), open: opt.open, log: s.log, tries: make(map[int]int)}
	s.work = wear.NewCommitter(opt.Budget, cfg.MinGap.Std(), cfg.MaxGap.Std(), s.write)
	for i := range opt.Links {
		s.links = append(s.links, new(link))
		for c := range Class(classes) {
			s.streams = append(s.streams, newStream(s, streamKey{Links: uint16(opt.Links), Link: uint16(i), Class: c}, i))
		}
	}
	return s, nil
}

func (s *Spool) stream(link int, c Class) *stream { return s.streams[link*classes+int(c)] }

// Run checks and loads what an earlier process left, then writes what is due
// until ctx ends, and last all that was not acknowledged. The links must have
// stopped before ctx ends; what they took counts as not acknowledged.
func (s *Spool) Run(ctx context.Context) error {
	if err := s.disk.acquire(); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	if !s.load(ctx) {
		return s.disk.close()
	}
	s.readyAll()
	inner, stop := context.WithCancel(context.Background())
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { s.work.Run(inner) })
	wg.Go(func() { s.scout(inner) })
	s.watch(ctx)
	stop()
	wg.Wait()
	return s.shutdown()
}

// watch wakes the committer when something may have become due.
func (s *Spool) watch(ctx context.Context) {
	tick := time.NewTicker(min(s.spill/4, 250*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.sampleReplay(time.Now())
			s.remind()
			s.losses.tell(s.log, time.Now(), false)
			if s.graves.due(s.opt.Dir, time.Now()) || s.anyDue() || len(s.disk.all()) > 0 || s.refused.any() {
				s.work.Wake()
			}
		}
	}
}

// remind tells links that something waits for them, should a Take have come
// back empty because the disk could not be read.
func (s *Spool) remind() {
	for _, st := range s.every() {
		st.mu.Lock()
		some := st.waiting() > 0 || !st.atEnd()
		st.mu.Unlock()
		if some {
			s.opt.Ready(st.link)
		}
	}
}

// shutdown writes what is left. A disk that fails now is reported: what was
// acknowledged is safe, the rest was never acknowledged.
func (s *Spool) shutdown() error {
	s.closing.Store(true)
	defer func() { s.losses.tell(s.log, time.Now(), true) }()
	var err error
	for range 3 {
		var n int64
		if n, err = s.write(); n > 0 {
			s.opt.Budget.Spend(n)
		}
		if err == nil {
			break
		}
	}
	if err != nil {
		err = fmt.Errorf("spool: write the rest: %w", err)
	}
	err = errors.Join(err, s.settleRetried())
	return errors.Join(err, s.disk.close())
}

func (s *Spool) readyAll() {
	for i := range s.links {
		s.opt.Ready(i)
	}
}

// Push takes a message over: it is settled when the cloud has acknowledged it
// or it is on disk, or by the class's policy. It never blocks on the disk.
// m stays unchanged from now on.
func (s *Spool) Push(link int, c Class, m *Message, t Ticket) {
	s.push(link, c, m, t, ID{})
}

// push takes a message over under an id that it had before, if any.
func (s *Spool) push(link int, c Class, m *Message, t Ticket, id ID) {
	if m.Accepted.IsZero() {
		copied := *m
		copied.Accepted = time.Now()
		m = &copied
	}
	st := s.stream(link, c)
	size, bucket := messageSize(m), bucketOf(m.Topic)
	st.mu.Lock()
	for st.full(size) {
		if !s.giveWay(st, m.Topic, t) {
			return
		}
		st.mu.Lock()
	}
	e := st.entry()
	e.Msg, e.ticket, e.size, e.bucket, e.state = m, t, size, bucket, waiting
	e.seq = st.next
	st.next++
	st.pushed++
	if e.Epoch, e.Seq = id.Epoch, id.Seq; id.Seq == 0 {
		e.Epoch, e.Seq = s.opt.Epoch, s.ids.Add(1)
	}
	if st.buckets[bucket] > 0 || !s.loaded.Load() || st.held != nil && st.held(m.Topic) {
		st.count(e)
		st.joined++
		st.behind.push(e)
	} else {
		st.live.push(e)
	}
	st.bytes += size
	wake := st.high() || s.links[link].down.Load()
	st.mu.Unlock()
	if wake {
		s.work.Wake()
	}
	s.opt.Ready(link)
}

const quotaExceeded = 0x97 // MQTT 5, 3.4.2.1

// giveWay drops a message, the new one with ticket t or an older one, and says
// whether the new one comes in. The caller holds st.mu, and no longer after it.
func (s *Spool) giveWay(st *stream, topic string, t Ticket) bool {
	v, in := st.overflow(topic, t)
	st.mu.Unlock()
	s.drop(v)
	s.settle(v.ticket, v.reason)
	if !in {
		s.work.Wake()
	}
	return in
}

// overflow applies the class's policy to a new message with ticket t. It
// returns what is dropped and whether the message comes in.
func (st *stream) overflow(topic string, t Ticket) (v victim, in bool) {
	switch st.cfg.Overflow {
	case DropOldest:
		if old, ok := st.makeRoom(); ok {
			st.drops.Oldest++
			return old, true
		}
	case DropNewest:
		st.drops.Newest++
		id := ID{st.s.opt.Epoch, st.s.ids.Add(1)} // it was accepted: consumers see the gap
		return victim{t, 0, ForNewest, st.key.Class, topic, id}, false
	}
	st.drops.Rejected++
	return victim{t, quotaExceeded, ForReject, st.key.Class, topic, ID{st.s.opt.Epoch, st.s.ids.Load()}}, false
}

func (s *Spool) settle(t Ticket, reason byte) {
	if t.Owner != nil {
		t.Owner.Settle(t.ID, reason)
	}
}

// Ack says that the cloud has acknowledged e. Its ticket is settled unless it
// was; whoever calls Ack calls Options.Settled at the end of the batch.
func (s *Spool) Ack(e *Entry) {
	s.links[e.stream.link].flight.Add(-1)
	s.done(e)
}

func (s *Spool) done(e *Entry) {
	st := e.stream
	st.mu.Lock()
	t, stored := e.ticket, e.state == kept
	if stored {
		st.kept.remove(e)
		st.acked += int64(e.size)
	} else {
		st.flying.remove(e)
	}
	st.release(e)
	drained := st.idle()
	st.mu.Unlock()
	if drained && stored {
		s.work.Wake() // the files may go
	}
	s.settle(t, 0)
	if drained && s.old.any() {
		s.nextLayout()
	}
}

// Online tells the state of a link. While it is down, what waits for it is due
// at once. A link of which nothing was said counts as coming up.
func (s *Spool) Online(link int, up bool) {
	s.links[link].down.Store(!up)
	if !up {
		s.work.Wake()
	}
}

// Window tells how many messages a link may have in flight, so that Take can
// keep room for urgent ones. 0, the default, keeps none.
func (s *Spool) Window(link, messages int) { s.links[link].window.Store(int64(messages)) }
