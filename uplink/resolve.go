package uplink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	lookupGap     = 250 * time.Millisecond // least time between two rounds of lookups
	unknownEvery  = time.Second            // a name without any answer yet is asked for so often
	mostAddresses = 64                     // endpoints of one configured name
)

// patience of a lookup: a lost packet shall not cost the five seconds after
// which the resolver would ask again.
var lookupTimes = [...]time.Duration{1500 * time.Millisecond, 4 * time.Second}

// names keeps what DNS says of the endpoints: every address is an endpoint of
// its own. It asks when a link begins to look for one, and on a timer. A lookup
// that fails changes nothing, so a name keeps its last good answer; one
// without any stays a single endpoint, which nobody can reach until it has.
type names struct {
	kick chan struct{} // one slot: a link looks for an endpoint

	mu    sync.Mutex            // guards what follows
	good  map[string][]endpoint // last good answer, by URL as configured
	bad   map[string]error      // why there is no newer one
	ended chan struct{}         // closed when the present or next round has ended
}

func newNames() *names {
	return &names{kick: make(chan struct{}, 1), good: map[string][]endpoint{}, bad: map[string]error{}, ended: make(chan struct{})}
}

var errResolved = errors.New("the name has its first addresses")

// ask wants a lookup soon. It never blocks.
func (n *names) ask() {
	select {
	case n.kick <- struct{}{}:
	default:
	}
}

// await asks and waits for an answer to e's name. It returns errResolved, or
// why there is none.
func (n *names) await(ctx context.Context, e endpoint) error {
	n.mu.Lock()
	ended := n.ended
	n.mu.Unlock()
	n.ask()
	select {
	case <-ended:
	case <-ctx.Done():
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.good[e.url] != nil:
		return errResolved
	case n.bad[e.url] != nil:
		return n.bad[e.url]
	}
	return noAnswer(e.name, context.DeadlineExceeded)
}

// expand replaces each endpoint that DNS knows by its addresses.
func (n *names) expand(listed []endpoint) (all []endpoint) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range listed {
		known := n.good[e.url]
		if !e.lookup || known == nil {
			all = append(all, e)
			continue
		}
		for _, k := range known {
			k.entry = e.entry
			if !slices.ContainsFunc(all, func(a endpoint) bool { return a.url == k.url }) {
				all = append(all, k)
			}
		}
	}
	return all
}

// note keeps the outcome of a lookup and says whether something is new.
func (n *names) note(e endpoint, answer []endpoint, err error) (changed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err != nil {
		n.bad[e.url] = err
		return false
	}
	delete(n.bad, e.url)
	changed = !slices.Equal(n.good[e.url], answer)
	n.good[e.url] = answer
	return changed
}

// keep forgets all but the listed endpoints and says whether each of those
// that DNS knows has had an answer.
func (n *names) keep(listed []endpoint) (all bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	names := map[string]bool{}
	all = true
	for _, e := range listed {
		names[e.url] = true
		all = all && (!e.lookup || n.good[e.url] != nil)
	}
	maps.DeleteFunc(n.good, func(url string, _ []endpoint) bool { return !names[url] })
	maps.DeleteFunc(n.bad, func(url string, _ error) bool { return !names[url] })
	return all
}

func (n *names) end() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.ended)
	n.ended = make(chan struct{})
}

// resolve keeps the endpoints as DNS says until ctx ends.
func (u *Uplink) resolve(ctx context.Context) {
	for ctx.Err() == nil {
		set := u.settings.Load()
		u.resolveOnce(ctx, set)
		u.names.end()
		every := set.cfg.ResolveEvery.Std()
		if !u.names.keep(u.settings.Load().listed) {
			every = min(every, unknownEvery)
		}
		sleep(ctx, lookupGap, nil)
		sleep(ctx, every, u.names.kick)
	}
}

// resolveOnce asks for all names at once; each answer counts as it comes.
func (u *Uplink) resolveOnce(ctx context.Context, set *settings) {
	r := set.cfg.resolver()
	var wg sync.WaitGroup
	for _, e := range set.listed {
		if !e.lookup {
			continue
		}
		wg.Go(func() {
			answer, err := lookupPatiently(ctx, r, e, set.way)
			if u.names.note(e, answer, err) {
				u.relist()
			}
		})
	}
	wg.Wait()
}

// relist takes over what DNS says now. Links stay where they are connected.
func (u *Uplink) relist() {
	u.mu.Lock()
	next := *u.settings.Load()
	before := next.endpoints
	u.expand(&next)
	changed := !slices.Equal(before, next.endpoints)
	if changed {
		u.install(&next)
	}
	u.mu.Unlock()
	if changed {
		u.log.Info("endpoints changed in DNS", "endpoints", urls(next.endpoints))
	}
}

func urls(all []endpoint) (urls []string) {
	for _, e := range all {
		urls = append(urls, e.url)
	}
	return urls
}

// resolver asks the system's name servers, or the configured one.
func (c Config) resolver() *net.Resolver {
	if c.DNSServer == "" {
		return net.DefaultResolver
	}
	server := c.DNSServer
	if _, _, err := net.SplitHostPort(server); err != nil {
		server = net.JoinHostPort(strings.Trim(server, "[]"), "53")
	}
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, server)
	}}
}

func lookupPatiently(ctx context.Context, r *net.Resolver, e endpoint, w way) (all []endpoint, err error) {
	for _, within := range lookupTimes {
		ctx, cancel := context.WithTimeout(ctx, within)
		all, err = lookup(ctx, r, e, w)
		late := ctx.Err() != nil
		cancel()
		if err == nil {
			return all, nil
		}
		if !late {
			break
		}
	}
	return nil, noAnswer(e.name, err)
}

// lookup asks DNS for the endpoints behind e, in an order that does not depend
// on the answer's. Hosts that w reaches through a proxy stay names.
func lookup(ctx context.Context, r *net.Resolver, e endpoint, w way) ([]endpoint, error) {
	if !e.srv {
		_, port, _ := net.SplitHostPort(e.host)
		return addresses(ctx, r, e, e.name, port)
	}
	service := "mqtt"
	if e.tls {
		service = "secure-mqtt"
	}
	_, records, err := r.LookupSRV(ctx, service, "tcp", e.name)
	if len(records) == 0 {
		return nil, cmp.Or(err, errors.New("there are no SRV records"))
	}
	if len(records) == 1 && records[0].Target == "." { // RFC 2782: decidedly not here
		return nil, fmt.Errorf("the SRV record says that %s offers no such service", e.name)
	}
	slices.SortFunc(records, func(a, b *net.SRV) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Target, b.Target), cmp.Compare(a.Port, b.Port))
	})
	var all []endpoint
	for _, record := range records[:min(len(records), mostAddresses)] {
		host := strings.TrimSuffix(record.Target, ".")
		port := strconv.Itoa(int(record.Port))
		to := e
		scheme, _, _ := strings.Cut(e.url, "+srv://")
		to.url = scheme + "://" + net.JoinHostPort(host, port)
		to.host = net.JoinHostPort(host, port)
		to.srv, to.priority, to.weight = false, int(record.Priority), int(record.Weight)+1
		if !w.straight(to.host) {
			to.lookup = false
			all = append(all, to)
			continue
		}
		found, lerr := addresses(ctx, r, to, host, port)
		if lerr != nil {
			err = lerr // the others will do
			continue
		}
		all = append(all, found...)
	}
	if len(all) == 0 {
		return nil, err
	}
	return all[:min(len(all), mostAddresses)], nil
}

// addresses makes an endpoint like e of each address of host.
func addresses(ctx context.Context, r *net.Resolver, e endpoint, host, port string) ([]endpoint, error) {
	found, err := r.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	for i := range found {
		found[i] = found[i].Unmap()
	}
	slices.SortFunc(found, netip.Addr.Compare)
	found = routed(slices.Compact(found))
	var all []endpoint
	for _, a := range found[:min(len(found), mostAddresses)] {
		to := e
		to.url, to.host, to.lookup = fmt.Sprintf("%s (%s)", e.url, a), net.JoinHostPort(a.String(), port), false
		all = append(all, to)
	}
	return all, nil
}

// routed leaves out the addresses that this machine has no route to, as those
// of IPv6 in a home without it, unless there would be none.
func routed(all []netip.Addr) []netip.Addr {
	good := slices.DeleteFunc(slices.Clone(all), func(a netip.Addr) bool {
		c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 9))) // sends nothing
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	if len(good) == 0 {
		return all
	}
	return good
}

// noAnswer puts a failed lookup into words.
func noAnswer(name string, err error) error {
	var d *net.DNSError
	switch {
	case errors.As(err, &d) && d.IsNotFound:
		return fault(FaultNoName, fmt.Errorf("DNS: there is no %s; look at the name in endpoints", name))
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &d) && d.IsTimeout:
		return fault(FaultNoName, fmt.Errorf("DNS: nobody answers what the address of %s is; is the network up, and the name server right?", name))
	case errors.As(err, &d):
		return fault(FaultNoName, fmt.Errorf("DNS: no address of %s: %s; is the network up, and the name server right?", name, d.Err))
	}
	return fault(FaultNoName, fmt.Errorf("DNS: no address of %s: %w", name, err))
}
