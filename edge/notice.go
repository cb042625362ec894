package edge

import (
	"fmt"
	"hash/maphash"
	"strings"
	"sync"
	"time"
)

// Whoever sets a device up looks into the log for why it is not let in or not
// heard. A device that tries for ever, or one that invents names, must not fill
// the card with that: the same line comes once in noticeEvery, and there are at
// most noticeMost of them. Stats count everything.
const (
	noticeEvery = time.Hour
	noticeMost  = 200
	noticeText  = 128 // bytes of a client's own words that are repeated
)

// notices knows what was said since began.
type notices struct {
	mu    sync.Mutex // guards what follows
	began time.Time
	said  map[uint64]struct{}
	seed  maphash.Seed
}

// first says whether a line is to be written now.
func (n *notices) first(line string, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.said == nil {
		n.seed = maphash.MakeSeed()
	}
	if n.said == nil || now.Sub(n.began) >= noticeEvery {
		n.began, n.said = now, make(map[uint64]struct{})
	}
	key := maphash.String(n.seed, line)
	if _, again := n.said[key]; again || len(n.said) >= noticeMost {
		return false
	}
	n.said[key] = struct{}{}
	return true
}

// notice logs what happened to a client, once in a while.
func (b *Broker) notice(what, client string, more ...any) {
	more = append([]any{"client", client}, more...)
	for i, v := range more {
		if s, ok := v.(string); ok {
			more[i] = clip(s)
		}
	}
	if b.notices.first(fmt.Sprint(what, more), time.Now()) {
		b.log.Warn(what, more...)
	}
}

// clip shortens a client's own words.
func clip(s string) string {
	if len(s) <= noticeText {
		return s
	}
	return strings.ToValidUTF8(s[:noticeText], "") + "..."
}

// warn tells of a configuration, such as the default, that lets nobody in, and of
// users that are in two files.
func (b *Broker) warn(cfg Config, who *access) {
	if who.letsNobodyIn(&cfg) {
		b.log.Warn("nobody is let in: add a device (tidegate device add), name a users-file, or set anonymous = true on a listener")
	}
	for _, name := range who.clashes() {
		b.log.Warn("a user is in the users file of the configuration and was added here too: the file holds", "user", name)
	}
}

// refusals says for a person what a login ended with.
var refusals = map[byte]string{
	loginBadPassword:   "wrong user name or password",
	loginNotAuthorized: "neither a password nor a known certificate, and the listener is not anonymous",
	loginUnavailable:   "too many passwords to check at once",
	loginTooOften:      "too many log-ins from this address have failed",
}
