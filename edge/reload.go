package edge

import (
	"slices"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// Reload applies what changed in cfg: users, permissions, limits and
// listeners. Connections stay, with the permissions their clients have now, but
// for those of clients that would not be let in any more or have a subscription
// they may not have: these are disconnected with 0x87. A user whose password
// has another hash is such a client. Sessions of clients that are away are judged
// by their user's name, and end when they hold what is not allowed any more; wills
// that wait have the permissions of now. With an error nothing has changed. The file
// of users that people added is read again too; of a damaged one is said in the log,
// and the users of before stay.
func (b *Broker) Reload(cfg Config) error {
	cut, err := b.reconfigure(cfg)
	if err != nil {
		return err
	}
	b.announceAnew()
	b.cutOff(cut)
	return nil
}

func (b *Broker) reconfigure(cfg Config) (cut []*conn, err error) {
	b.changing.Lock()
	defer b.changing.Unlock()
	if err := b.apply(cfg); err != nil {
		return nil, err
	}
	return b.reviewAll(), nil
}

func (b *Broker) apply(cfg Config) error {
	if err := problems(cfg.Check()); err != nil {
		return err
	}
	old := b.access.Load()
	who, err := newAccess(cfg.Access, b.readKept().orElse(old.kept), old.verifier)
	if err != nil {
		return err
	}
	b.warn(cfg, who)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.relisten(cfg.Listeners); err != nil {
		return err
	}
	b.conf.Store(&cfg)
	b.access.Store(who) // last: who attaches meanwhile looks at it to see a change
	return nil
}

// reviewAll gives everybody the permissions of now, and returns the connections
// that must go. changing is held, or an older change could be the last.
func (b *Broker) reviewAll() (cut []*conn) {
	for _, c := range b.connections() {
		if c.joined.Load() && !c.review() {
			c.cut.Store(true)
			cut = append(cut, c)
		}
	}
	for _, s := range b.absentees() {
		b.reviewAway(s)
	}
	return cut
}

// cutOff ends the connections that reviewAll returned.
func (b *Broker) cutOff(cut []*conn) {
	if len(cut) > 0 {
		b.log.Info("clients disconnected, since they may not do any more what they did", "connections", len(cut))
	}
	dismiss(cut, packets.ErrNotAuthorized.Code)
}

// review gives a client that has joined the permissions it has now. It returns
// false when the client must go, and until then may do nothing it may not.
func (c *conn) review() bool {
	old := c.grant.Load()
	may := c.b.access.Load().again(old, c.b.admitsAnonymous(c.terms.cfg.Bind), c.sess.id)
	if may == nil {
		c.grant.Store(&grant{user: old.user})
		return false
	}
	c.grant.Store(may)
	return c.sess.allowed(may)
}

// reviewAway gives the session of a client that is away the permissions that its
// user has now, and ends it when it may not wait for what it has subscribed to.
func (b *Broker) reviewAway(s *session) {
	may := b.access.Load().standing(s.user, s.id, slices.ContainsFunc(b.config().Listeners, func(l ListenerConfig) bool { return l.Anonymous }))
	stays := may != nil
	if !stays {
		may = &grant{user: s.user}
	}
	s.mu.Lock()
	away := s.conn.Load() == nil
	if away && s.will != nil {
		w := *s.will
		w.grant = may
		s.will = &w
	}
	s.mu.Unlock()
	if away && !(stays && s.allowed(may)) && s.expired(time.Time{}) {
		b.notice("session ended, since its client may not have its subscriptions any more", s.id, "user", s.user)
		b.endSession(s)
	}
}

// admitsAnonymous says whether the listener of an address lets anonymous clients
// in, or when it is gone, any other one.
func (b *Broker) admitsAnonymous(bind string) bool {
	known, here, other := false, false, false
	for _, l := range b.config().Listeners {
		known = known || l.Bind == bind
		here = here || l.Bind == bind && l.Anonymous
		other = other || l.Anonymous
	}
	if known {
		return here
	}
	return other
}
