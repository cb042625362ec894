package uplink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"tidegate/internal/wear"
	"tidegate/uplink/spool"
)

// Message is one accepted PUBLISH.
type Message = spool.Message

// Ticket is the acknowledgement that waits until a message is safe.
type Ticket = spool.Ticket

// MaxClientID is the length to which client ids are kept, in bytes: load
// balancers that stick by client id compare no more.
const MaxClientID = 32

// Options are what an Uplink needs besides its configuration.
type Options struct {
	Gateway string // id of the gateway, in client ids and message ids
	Epoch   uint64 // counts the starts of the gateway
	Dir     string // data directory; the uplink has a folder in it
	Log     *slog.Logger
	Budget  *wear.Budget
	Deliver func(m *Message, t Ticket) // takes what comes down; does not block. May be nil without down routes
	Wanted  func(topic string) bool    // whether somebody at home has subscribed to a topic; nil for always
	Settled func()                     // ends a batch of Deliver calls and of settled tickets; may be nil
	Version string                     // of the program, for the status topic
	Checker []string                   // command that checks a spool file, without the file's name

	now func() time.Time // the wall clock, which may not be set; nil for the system's
}

// Uplink carries messages to one cloud, and from it.
type Uplink struct {
	opt     Options
	log     *slog.Logger
	gateway string
	spool   *spool.Spool
	links   []*link

	settings atomic.Pointer[settings]
	routes   atomic.Pointer[routes]
	gates    gates
	noRoute  atomic.Int64
	looped   atomic.Int64
	outages  outages
	history  history
	presence *presence
	canary   *canary
	rolls    chan error    // one slot: why the links have old settings
	files    chan struct{} // one slot: there are other settings, perhaps with files to watch
	turn     chan struct{} // one slot: a link moves though its connection is well
	home     *homeward
	names    *names
	seed     uint64 // of random placement, which changes with each start only

	mu sync.Mutex // guards every link's place together; taken before a link's mu
}

// settings are one reading of the configuration.
type settings struct {
	cfg       Config
	listed    []endpoint // as configured
	endpoints []endpoint // as DNS says
	orders    [][]int    // by link
	own       topics
	edition   int // counts the changes that connections are made anew for

	trust *trust
	way   way
	meter *meter // nil without rate-limit
	now   func() time.Time
}

// index returns the endpoint with a URL, -1 for none.
func (s *settings) index(url string) int {
	return slices.IndexFunc(s.endpoints, func(e endpoint) bool { return e.url == url })
}

// priorities returns those of the endpoints.
func (s *settings) priorities() []int {
	p := make([]int, len(s.endpoints))
	for i, e := range s.endpoints {
		p[i] = e.priority
	}
	return p
}

// New checks the configuration and builds an uplink. Nothing runs before Run,
// but Send may be called: the messages wait.
func New(cfg Config, opt Options) (*Uplink, error) {
	if err := check(cfg); err != nil {
		return nil, err
	}
	if opt.Gateway == "" {
		return nil, errors.New("uplink: the gateway's id is empty")
	}
	if len(cfg.Down) > 0 && opt.Deliver == nil {
		return nil, errors.New("uplink: down routes need Options.Deliver")
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	u := &Uplink{
		rolls: make(chan error, 1), turn: make(chan struct{}, 1), files: make(chan struct{}, 1), home: newHomeward(), names: newNames(), seed: rand.Uint64(),
		opt: opt, gateway: opt.Gateway, log: opt.Log.With("component", "uplink", "uplink", cfg.Name),
	}
	u.presence, u.canary = &presence{up: u, reason: "started"}, newCanary(u)
	if opt.now == nil {
		u.opt.now = time.Now
	}
	set, err := u.read(cfg)
	if err != nil {
		return nil, err
	}
	u.settings.Store(set)
	u.routes.Store(newRoutes(cfg, nil))
	u.gates.routes, u.gates.wake = u.routes.Load, u.wakeAll
	sp, err := spool.New(cfg.Spool, spool.Options{
		Dir: filepath.Join(opt.Dir, "uplink-"+cfg.Name), Links: cfg.Links, Epoch: opt.Epoch, Log: u.log, Budget: opt.Budget, Checker: opt.Checker,
		Ready: func(link int) { u.links[link].notify() }, Settled: u.settledNow,
		Link:  func(topic string) int { return linkOf(topic, cfg.Links) },
		Route: func(topic string, c spool.Class) string { return u.routes.Load().origin(topic, c) },
	})
	if err != nil {
		return nil, fmt.Errorf("spool of uplink %s: %w", cfg.Name, err)
	}
	u.spool = sp
	u.addLinks(cfg)
	return u, nil
}

func (u *Uplink) addLinks(cfg Config) {
	prefix := or(cfg.ClientID, u.gateway)
	if len(prefix) > MaxClientID-4 && !cfg.SingleClient {
		u.log.Warn("client ids are long: a load balancer that sticks by client id may confuse the links; set client-id", "client-id", prefix)
	}
	if cfg.SingleClient {
		l := newLink(u, 0, prefix)
		l.role = newBoth(l)
		u.links = append(u.links, l)
	} else {
		u.addDirections(cfg, prefix)
	}
	if len(cfg.Down) > 0 && !cfg.Cluster {
		u.log.Info("the endpoints are separate brokers: commands come from the one that the down link is connected to; what is sent to another, or while the link moves or is away, does not arrive")
	}
	set := u.settings.Load()
	for _, l := range u.links {
		l.place = u.occupy(l, set, func(int) bool { return true })
	}
}

func (u *Uplink) addDirections(cfg Config, prefix string) {
	for i := range cfg.Links {
		l := newLink(u, i, fmt.Sprintf("%s-u%d", prefix, i))
		l.role = &upward{link: l}
		u.links = append(u.links, l)
	}
	if cfg.listens() {
		l := newLink(u, cfg.Links, prefix+"-d0")
		l.role = newDownward(l, &l.bell)
		u.links = append(u.links, l)
	}
}

// downward returns what carries commands, nil when there is none, and the link
// that it is on: the last one, which presence belongs to.
func (u *Uplink) downward() (*downward, *link) {
	l := u.links[len(u.links)-1]
	switch r := l.role.(type) {
	case *downward:
		return r, l
	case *both:
		return r.down, l
	}
	return nil, nil
}

// HoldCommands leaves the commands that come from now on with the cloud, and
// waits until those that the edge has are settled, or ctx ends. It is called
// before the edge is stopped: then none of them comes again after the restart.
func (u *Uplink) HoldCommands(ctx context.Context) {
	if d, _ := u.downward(); d != nil {
		d.stop(ctx)
	}
}

func (u *Uplink) wakeAll() {
	for _, l := range u.links {
		l.notify()
	}
}

func check(cfg Config) error {
	var errs []error
	for _, p := range cfg.Check() {
		errs = append(errs, errors.New(p.String()))
	}
	return errors.Join(errs...)
}

func (u *Uplink) read(cfg Config) (*settings, error) {
	s, err := newSettings(cfg, u.gateway, u.opt.now)
	if err != nil {
		return nil, err
	}
	u.expand(s)
	return s, nil
}

// newSettings reads the files of cfg and lists its endpoints, which DNS has not
// been asked for.
func newSettings(cfg Config, gateway string, now func() time.Time) (*settings, error) {
	s := &settings{cfg: cfg, own: cfg.topics(gateway), way: cfg.way(), meter: newMeter(int64(cfg.RateLimit)), now: now}
	var err error
	if s.trust, err = cfg.trust(); err != nil {
		return nil, err
	}
	for i, text := range cfg.Endpoints {
		e, err := parseEndpoint(text)
		if err != nil {
			continue // Check has refused it
		}
		e.entry = i
		e.lookup = e.lookup && (e.srv || s.way.straight(e.host)) // a proxy finds hosts by itself
		s.listed = append(s.listed, e)
	}
	return s, nil
}

// expand lists the endpoints as DNS says, and each link's order of them.
func (u *Uplink) expand(s *settings) {
	s.endpoints, s.orders = u.names.expand(s.listed), nil
	rates, salt := s.rates(), strconv.FormatUint(u.seed, 36)
	for i := range s.cfg.Links + 1 {
		s.orders = append(s.orders, preference(s.cfg.Placement, u.gateway, salt, i, urls(s.endpoints), rates))
	}
}

// Run loads the spool and keeps the links connected until ctx ends; then the
// links wait, in bounded time, for what is in flight, and the spool stores the
// rest. It returns after the last goroutine has ended.
func (u *Uplink) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	keep, release := context.WithCancel(context.WithoutCancel(ctx))
	defer release()
	spooled := make(chan error, 1)
	go func() {
		spooled <- u.spool.Run(keep)
		stop() // without a spool nothing is safe
	}()
	var wg sync.WaitGroup
	for _, l := range u.links {
		wg.Go(func() { l.run(ctx) })
	}
	wg.Go(func() { u.roll(ctx) })
	wg.Go(func() { u.goHome(ctx) })
	wg.Go(func() { u.resolve(ctx) })
	wg.Go(func() { u.canary.fly(ctx) })
	wg.Go(func() { u.watchFiles(ctx) })
	wg.Wait()
	release()
	if err := <-spooled; err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	return nil
}

// Send takes a message that the edge accepted. It never blocks. False: no
// route takes it, and the ticket is not kept. True: the ticket is settled
// once, perhaps before Send returns.
func (u *Uplink) Send(m *Message, t Ticket) bool {
	r := u.routes.Load()
	to := r.find(m.Topic)
	if to.route == nil {
		u.noRoute.Add(1)
		return false
	}
	if len(m.Properties) > 0 && own(m.Properties, u.gateway) && u.settings.Load().cfg.LoopGuard {
		u.looped.Add(1)
		return false
	}
	to.route.count.Add(1)
	qos, retain := min(m.QoS, to.route.qos), m.Retain && !to.route.clear
	if to.topic != m.Topic || qos != m.QoS || retain != m.Retain {
		up := *m
		up.Topic, up.QoS, up.Retain = to.topic, qos, retain
		m = &up
	}
	u.spool.Push(to.link, to.route.class, m, t)
	return true
}

// Reload applies a changed configuration. Routes change at once; a change of
// endpoints, credentials or limits rolls the links, one after the other. The
// name, the number of links and the spool need a restart.
func (u *Uplink) Reload(cfg Config) error {
	if err := check(cfg); err != nil {
		return err
	}
	old := u.settings.Load()
	switch {
	case cfg.Name != old.cfg.Name, cfg.Links != old.cfg.Links, cfg.ClientID != old.cfg.ClientID, cfg.SingleClient != old.cfg.SingleClient:
		return errors.New("a change of name, links, client-id or single-client needs a restart of the gateway")
	case fmt.Sprint(cfg.Spool) != fmt.Sprint(old.cfg.Spool):
		return errors.New("a change of the spool needs a restart of the gateway")
	case !cfg.SingleClient && cfg.listens() != old.cfg.listens():
		return errors.New("a change that adds or removes the down link (the first or the last down route, status or canary) needs a restart of the gateway")
	}
	u.routes.Store(newRoutes(cfg, u.routes.Load()))
	if d, _ := u.downward(); d != nil {
		d.bell.notify()
	}
	defer u.home.changed()
	if sameConnection(old.cfg, cfg) {
		u.mu.Lock()
		next := *u.settings.Load()
		next.cfg = cfg
		u.settings.Store(&next)
		u.mu.Unlock()
		return nil
	}
	set, err := u.read(cfg)
	if err != nil {
		return err
	}
	u.move(set)
	u.names.ask()
	return nil
}
