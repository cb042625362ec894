package edge

import "fmt"

// relisten gives the listeners whose address stays their new terms, binds new
// ones and closes those that are gone. Connections stay. mu is held.
func (b *Broker) relisten(want []ListenerConfig) error {
	next := b.match(want)
	given := map[*listener]*terms{}
	var fresh []*listener
	for i, cfg := range want {
		var err error
		if l := next[i]; l != nil {
			given[l], err = newTerms(cfg, l.terms.Load(), b.log)
		} else if next[i], err = newListener(cfg, b.log); err == nil {
			fresh = append(fresh, next[i])
		}
		if err != nil {
			return err
		}
	}
	for _, l := range b.listeners {
		if given[l] == nil {
			l.close() // first, since a new one may want the address
		}
	}
	for i, l := range fresh {
		if err := l.bind(); err != nil {
			for _, bound := range fresh[:i] {
				bound.close()
			}
			b.rebind(given)
			return err
		}
	}
	b.listeners = next
	for l, t := range given {
		l.terms.Store(t)
	}
	if b.accepting != nil {
		for _, l := range fresh {
			b.accepting(l)
		}
	}
	return nil
}

// rebind opens again what relisten had closed in vain.
func (b *Broker) rebind(kept map[*listener]*terms) {
	for i, l := range b.listeners {
		if kept[l] != nil {
			continue
		}
		again := &listener{log: l.log, perAddr: map[string]int{}}
		again.terms.Store(l.terms.Load())
		if err := again.bind(); err != nil {
			b.log.Error("listener lost", "endpoint", l.cfg().Bind, "err", err)
			continue
		}
		b.listeners[i] = again
		if b.accepting != nil {
			b.accepting(again)
		}
	}
}

// match returns for each wanted listener the one there is at its address, nil
// for none. Where several have one address, as :0, those that do not change stay.
func (b *Broker) match(want []ListenerConfig) []*listener {
	found, taken := make([]*listener, len(want)), map[*listener]bool{}
	for _, same := range []func(a, b *ListenerConfig) bool{sameConfig, sameAddress} {
		for i := range want {
			for _, l := range b.listeners {
				if found[i] == nil && !taken[l] && same(&want[i], l.cfg()) {
					found[i], taken[l] = l, true
				}
			}
		}
	}
	return found
}

func sameConfig(a, b *ListenerConfig) bool { return fmt.Sprint(*a) == fmt.Sprint(*b) }
func sameAddress(a, b *ListenerConfig) bool {
	return a.Bind == b.Bind && a.Mode == b.Mode && a.Owner == b.Owner
}
