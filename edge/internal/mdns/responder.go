package mdns

import (
	"context"
	"fmt"
	"hash/maphash"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// Options are what a responder tells.
type Options struct {
	Host     string // one label: "tidegate" is told as tidegate.local; after a conflict "tidegate-2" and so on
	Name     string // of the services' instances: "Tidegate on pump-house"; after a conflict with " (2)" and so on
	Services []Service
	Log      *slog.Logger // may be nil
}

// Responder tells a host name and services. Make one with New, then call Run
// once.
type Responder struct {
	opt  Options
	log  *slog.Logger
	sock *sockets
	seed maphash.Seed

	// Of Run's goroutine.
	links    map[int]*link
	local    map[netip.Addr]bool
	hostN    int  // 1: the name as wished
	nameN    int  // the same for the instances
	borrowed bool // another program of this machine tells the host name
	told     bool // the names have been announced as ours
	probes   int  // sent, of this round
	says     int  // announcements sent
	next     time.Time
	clashes  []time.Time // of late
	waiting  []answer
	sentAt   map[told]time.Time // multicast last
	own      [64]uint64         // hashes of packets sent: they come back
	ownAt    int

	mu   sync.Mutex // guards host
	host string     // as told now; "" while nobody knows
}

// told is one record on one link.
type told struct {
	link int
	name string
	kind dnsmessage.Type
	data string
}

// New checks nothing and starts nothing.
func New(opt Options) *Responder {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	return &Responder{opt: opt, log: opt.Log, seed: maphash.MakeSeed(), hostN: 1, nameN: 1, links: map[int]*link{}, sentAt: map[told]time.Time{}}
}

// Host returns the name that is told now, such as "tidegate-2.local"; "" before
// anybody could object.
func (r *Responder) Host() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.host
}

// settleTime is how long links are left to settle before they are looked at: an
// interface that comes up changes several times.
const settleTime = time.Second

// Run answers until ctx ends, and then takes everything back. The error is that
// port 5353 cannot be shared.
func (r *Responder) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	in, changed := make(chan packet, 64), make(chan struct{}, 1)
	sock, err := open(func(p packet) {
		select {
		case in <- p:
		case <-ctx.Done():
		}
	})
	if err != nil {
		stop()
		return err
	}
	r.sock = sock
	var others sync.WaitGroup
	defer others.Wait()
	defer sock.close()
	defer stop()
	watched, watch, err := watchLinks(func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	if err != nil {
		return fmt.Errorf("watch the network interfaces: %w", err)
	}
	defer watched.Close()
	others.Go(watch)
	r.serve(ctx, in, changed)
	return nil
}

func (r *Responder) serve(ctx context.Context, in <-chan packet, changed <-chan struct{}) {
	r.look()
	var settle <-chan time.Time
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(max(time.Until(r.due()), 0))
		select {
		case <-ctx.Done():
			r.goodbye()
			return
		case p := <-in:
			r.take(p)
		case <-changed:
			if settle == nil {
				settle = time.After(settleTime)
			}
		case <-settle:
			settle = nil
			r.look()
		case <-timer.C:
		}
		now := time.Now()
		if !r.next.IsZero() && !now.Before(r.next) {
			r.step(now)
		}
		r.answerDue(now)
	}
}

// far is a time at which nothing is due.
const far = time.Hour

func (r *Responder) due() time.Time {
	t := time.Now().Add(far)
	if !r.next.IsZero() && r.next.Before(t) {
		t = r.next
	}
	for i := range r.waiting {
		if r.waiting[i].due.Before(t) {
			t = r.waiting[i].due
		}
	}
	return t
}

// look finds out which links there are. On a new link the names are probed for,
// and new addresses are announced.
func (r *Responder) look() {
	now, err := links()
	if err != nil {
		r.log.Warn("network interfaces cannot be listed", "err", err)
		return
	}
	old := r.links
	r.local = map[netip.Addr]bool{}
	fresh, other := false, false
	for index, l := range now {
		was := old[index]
		if was == nil {
			fresh = true
			r.join(l)
		} else if !slices.Equal(was.addrs, l.addrs) {
			r.forget(index)
			r.join(l) // there may be a new family
			other = true
		}
		for _, a := range l.addrs {
			r.local[a] = true
		}
	}
	for index, l := range old {
		if now[index] == nil {
			r.forget(index)
			r.sock.leave(l)
		}
	}
	r.links = now
	switch {
	case fresh:
		r.probe(time.Duration(rand.Int64N(int64(250 * time.Millisecond))))
	case other && r.told:
		r.says, r.next = 0, time.Now()
	}
}

// join begins to hear a link; one that does not let us is told things all the
// same.
func (r *Responder) join(l *link) {
	if err := r.sock.join(l); err != nil {
		r.log.Warn("cannot hear mDNS on an interface", "endpoint", l.name, "err", err)
	}
}

// forget drops what was known of a link.
func (r *Responder) forget(index int) {
	maps.DeleteFunc(r.sentAt, func(k told, _ time.Time) bool { return k.link == index })
	r.waiting = slices.DeleteFunc(r.waiting, func(a answer) bool { return a.link == index })
}

// probe begins a round of probes after a while.
func (r *Responder) probe(after time.Duration) {
	r.probes, r.says, r.next = 0, 0, time.Now().Add(after)
}

func (r *Responder) hostName() string { return r.hostLabel() + ".local." }

func (r *Responder) hostLabel() string {
	if r.hostN > 1 {
		return label(r.opt.Host, fmt.Sprint("-", r.hostN))
	}
	return label(r.opt.Host, "")
}

func (r *Responder) instance(s *Service) string {
	end := s.Name
	if r.nameN > 1 {
		end += fmt.Sprintf(" (%d)", r.nameN)
	}
	return label(r.opt.Name, end)
}

// records returns all that is told on a link, the host's first.
func (r *Responder) records(l *link) (list []record) {
	if !r.borrowed {
		list = addresses(r.hostName(), l.addrs)
	}
	for i := range r.opt.Services {
		s := &r.opt.Services[i]
		if s.Addr.IsValid() && !slices.Contains(l.addrs, s.Addr) {
			continue
		}
		for _, one := range serviceRecords(*s, r.instance(s), r.hostName()) {
			if !slices.ContainsFunc(list, func(have record) bool { return have.name == one.name && have.same(one.kind, one.data) }) {
				list = append(list, one)
			}
		}
	}
	return list
}

func uniqueOf(list []record) []record {
	return slices.DeleteFunc(slices.Clone(list), func(one record) bool { return !one.unique })
}

// The rhythm of probes and announcements [RFC 6762, 8.1, 8.3].
const (
	probeEvery    = 250 * time.Millisecond
	announceEvery = time.Second
)

// step does what the rhythm has next.
func (r *Responder) step(now time.Time) {
	if r.probes < 3 {
		r.probes++
		r.next = now.Add(probeEvery)
		for _, l := range r.links {
			if unique := uniqueOf(r.records(l)); len(unique) > 0 {
				packet, err := probe(unique)
				r.send(l, packet, err)
			}
		}
		return
	}
	if r.says == 0 {
		r.claim()
	}
	r.says++
	r.next = now.Add(announceEvery)
	if r.says == 2 {
		r.next = time.Time{}
	}
	for _, l := range r.links {
		r.tell(l, r.records(l), nil, now)
	}
}

// claim takes the names: nobody has objected.
func (r *Responder) claim() {
	host := r.hostLabel() + ".local"
	r.mu.Lock()
	changed := r.host != host
	r.host = host
	r.mu.Unlock()
	r.told = true
	if changed {
		r.log.Info("the gateway has a name in the network", "endpoint", host, "services", len(r.opt.Services))
	}
}

// tell multicasts records.
func (r *Responder) tell(l *link, list, more []record, now time.Time) {
	if len(list) == 0 {
		return
	}
	for i := range list {
		r.sentAt[told{l.index, list[i].name, list[i].kind, string(list[i].data)}] = now
	}
	packet, err := response(list, more, false)
	r.send(l, packet, err)
}

// goodbye takes back what was told [RFC 6762, 10.1].
func (r *Responder) goodbye() {
	if !r.told {
		return
	}
	for _, l := range r.links {
		if list := r.records(l); len(list) > 0 {
			packet, err := response(list, nil, true)
			r.send(l, packet, err)
		}
	}
	r.told = false
}

func (r *Responder) send(l *link, packet []byte, err error) {
	if err != nil {
		r.log.Warn("cannot tell a name or a service", "err", err)
		return
	}
	r.remember(packet)
	r.sock.multicast(l, packet)
}

// remember notes a packet that will come back.
func (r *Responder) remember(packet []byte) {
	r.own[r.ownAt%len(r.own)] = maphash.Bytes(r.seed, packet)
	r.ownAt++
}

func (r *Responder) isOwn(packet []byte) bool {
	return slices.Contains(r.own[:], maphash.Bytes(r.seed, packet))
}
