package edge

import (
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"tidegate/edge/internal/mdns"
	"tidegate/internal/conf"
	"tidegate/internal/topic"
	"tidegate/internal/wear"
	"tidegate/internal/whole"
)

// Options are what a broker needs besides its configuration.
type Options struct {
	// Dir is where edge.db lies, users.toml and the console's administrator. Empty:
	// retained messages live in memory only, and no user can be added.
	Dir string

	// Log may be nil.
	Log *slog.Logger

	// Gateway is the gateway's name in what mDNS tells; it may be empty.
	Gateway string

	// Version is what $SYS/broker/version says.
	Version string

	// Budget is what edge.db may cost the card; nil for none.
	Budget *wear.Budget

	// Checker is the command that calls CheckStore on the path appended to it,
	// in a process of its own: a damaged file can kill it. Nil: no check.
	Checker []string

	// Forward hands an accepted message to the uplinks; it may be nil. It never
	// blocks, and publishes nothing itself. false: no route; the message is
	// acknowledged at once and the ticket forgotten. true: the ticket is settled
	// exactly once, from any goroutine, possibly before Forward returns.
	Forward func(m *Message, t Ticket) bool
}

// Broker is the edge: it takes connections from devices and carries messages
// between them. Make one with New, then call Listen and Run once each.
type Broker struct {
	opt    Options
	log    *slog.Logger
	conf   atomic.Pointer[Config]
	access atomic.Pointer[access]

	changing      sync.Mutex              // over Reload and all changes of users; taken before mu
	administrator atomic.Pointer[account] // of the console; nil until somebody claims to be it

	trie   trie
	routes routes
	store  *store // nil: memory only

	retaining [64]sync.Mutex // by topic: all that is done with a retained message is one step
	seed      maphash.Seed

	memory  memory
	hungry  hungry
	stats   counters
	notices notices
	flooded atomic.Pointer[session] // one whose queue was full; told of by keepHouse
	holders holders

	queuedBytes atomic.Int64 // of all sessions
	departures  atomic.Int64 // of clients whose session stays
	stopping    chan struct{}
	reannounce  chan struct{} // what mDNS tells may have changed
	responder   atomic.Pointer[mdns.Responder]
	page        atomic.Pointer[net.Addr] // of OfferPage
	readers     sync.WaitGroup           // goroutines of connections
	writers     sync.WaitGroup

	mu        sync.Mutex // guards what follows; taken before a session's mu
	listeners []*listener
	accepting func(*listener) // nil until Run
	seats     map[string]*seat
	absent    map[*session]struct{} // sessions whose client is away
	conns     map[*conn]struct{}
	perAddr   map[string]int

	dirtyMu sync.Mutex // guards what follows
	dirty   []*conn    // made ready by goroutines that do not read from a connection
	spare   []*conn
}

// New checks the configuration and reads users and certificates.
func New(cfg Config, opt Options) (*Broker, error) {
	if err := problems(cfg.Check()); err != nil {
		return nil, err
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	b := &Broker{
		opt:        opt,
		log:        opt.Log.With("component", "edge"),
		stopping:   make(chan struct{}),
		reannounce: make(chan struct{}, 1),
		seats:      map[string]*seat{},
		absent:     map[*session]struct{}{},
		conns:      map[*conn]struct{}{},
		perAddr:    map[string]int{},
		seed:       maphash.MakeSeed(),
	}
	b.trie.memory = &b.memory
	b.routes = routes{trie: &b.trie, m: map[string]*route{}}
	who, err := newAccess(cfg.Access, b.readKept(), nil)
	if err != nil {
		return nil, err
	}
	b.access.Store(who)
	b.loadAdministrator()
	b.conf.Store(&cfg)
	b.warn(cfg, who)
	for _, l := range cfg.Listeners {
		made, err := newListener(l, b.log)
		if err != nil {
			return nil, err
		}
		b.listeners = append(b.listeners, made)
	}
	return b, nil
}

func problems(list []conf.Problem) error {
	var errs []error
	for _, p := range list {
		p.Key = "edge." + p.Key
		errs = append(errs, errors.New(p.String()))
	}
	return errors.Join(errs...)
}

func (b *Broker) config() *Config { return b.conf.Load() }
func (b *Broker) highWater() int  { return int(b.config().Limits.WriteBuffer) }

// Listen loads what is on disk and binds the addresses.
func (b *Broker) Listen() error {
	if err := b.open(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, l := range b.listeners {
		if err := l.bind(); err != nil {
			for _, bound := range b.listeners[:i] {
				bound.close()
			}
			if b.store != nil {
				err = errors.Join(err, b.store.close())
			}
			return err
		}
	}
	return nil
}

// Addrs returns the bound addresses in the configuration's order.
func (b *Broker) Addrs() []net.Addr {
	b.mu.Lock()
	defer b.mu.Unlock()
	var addrs []net.Addr
	for _, l := range b.listeners {
		addrs = append(addrs, l.ln.Addr())
	}
	return addrs
}

// Run serves until ctx ends, then reads no more, waits a little for what was
// accepted to be acknowledged, disconnects everybody and returns when the last
// goroutine has stopped, within three seconds or so. Wills are not published at
// a clean stop, but after the next start, unless their clients are back by then.
func (b *Broker) Run(ctx context.Context) error {
	var accepters, others sync.WaitGroup
	storing, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var storeErr error
	if b.store != nil {
		others.Go(func() { storeErr = b.store.run(storing) })
	}
	b.mu.Lock()
	b.accepting = func(l *listener) { accepters.Go(func() { b.accept(ctx, l) }) }
	for _, l := range b.listeners {
		b.accepting(l)
	}
	b.mu.Unlock()
	accepters.Go(func() { b.keepHouse(ctx) })
	accepters.Go(func() { b.announce(ctx) })
	<-ctx.Done()
	b.mu.Lock()
	b.accepting = nil
	close(b.stopping)
	for _, l := range b.listeners {
		l.close()
	}
	b.mu.Unlock()
	accepters.Wait()
	b.awaitAcks()
	b.disconnectAll()
	b.readers.Wait()
	b.writers.Wait()
	stop()
	others.Wait()
	return storeErr
}

func (b *Broker) isStopping() bool {
	select {
	case <-b.stopping:
		return true
	default:
		return false
	}
}

// settleTime is how long a stop waits for acknowledgements: long enough for
// what the cloud does not answer in time to be written.
const settleTime = 2 * time.Second

// awaitAcks waits until every message was acknowledged to its client, so that
// it is not sent again after the restart, under another id.
func (b *Broker) awaitAcks() {
	for end := time.Now().Add(settleTime); time.Now().Before(end) && b.unacked() > 0; {
		time.Sleep(5 * time.Millisecond)
	}
}

func (b *Broker) unacked() (n int32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.conns {
		n += c.unacked.Load()
	}
	return n
}

// disconnectAll says goodbye to everybody at once.
func (b *Broker) disconnectAll() {
	dismiss(b.connections(), packets.ErrServerShuttingDown.Code)
}

func (b *Broker) connections() []*conn {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Collect(maps.Keys(b.conns))
}

// dismiss ends connections from outside, all within the same moment.
func dismiss(list []*conn, reason byte) {
	for _, c := range list {
		if c.joined.Load() && c.v5 {
			c.send([]byte{packets.Disconnect << 4, 1, reason})
		}
		c.signOff(statusOf(reason))
		c.flush()
	}
	end := time.Now().Add(linger)
	for _, c := range list {
		c.flushOut(end)
		c.close()
	}
}

// open opens edge.db and loads the retained messages.
func (b *Broker) open() error {
	if b.opt.Dir == "" {
		return nil
	}
	cfg := b.config()
	st, err := openStore(b.opt.Dir, cfg.SyncInterval.Std(), b.opt.Budget, b.log)
	if err != nil {
		return err
	}
	if err := whole.Tidy(b.opt.Dir); err != nil {
		b.log.Warn("what a power cut has left could not be removed", "err", err)
	}
	st.checker, st.messages, st.bytes = b.opt.Checker, cfg.Limits.Retained, int64(cfg.Limits.RetainedBytes)
	st.keeper.sessions, st.keeper.most = b.sessions, int64(cfg.Session.DiskBytes)
	b.store = st
	err = st.load(func(m *Message) {
		if topic.ValidName(m.Topic) {
			b.trie.retain(m, cfg.Limits.Retained, int64(cfg.Limits.RetainedBytes))
		}
	})
	if err == nil {
		b.restore(st.saved, st.final, st.anew)
		st.saved = nil
	}
	return err
}

// host returns the address without its port.
func host(a net.Addr) string {
	h, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return h
}
