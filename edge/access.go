package edge

import (
	"context"
	"crypto/x509"
	"fmt"
	"os"
	"strconv"
	"strings"

	"tidegate/internal/conf"
	"tidegate/internal/topic"
)

// Reason codes of CONNACK that a login ends with [MQTT 5, 3.2.2.2].
const (
	loginOK            byte = 0x00
	loginBadPassword   byte = 0x86
	loginNotAuthorized byte = 0x87
	loginUnavailable   byte = 0x88
	loginTooOften      byte = 0x9F
)

const sharePrefix = "$share/"

// AccessConfig says who may do what.
type AccessConfig struct {
	// UsersFile is the path of a TOML file with users, groups and their
	// permissions. Empty: there are no users; a listener that allows anonymous
	// clients then lets them do everything but touch topics that begin with "$",
	// of which they may read those below $SYS.
	UsersFile string `toml:"users-file"`

	// FailuresPerMinute is how many log-ins of one address, or IPv6 /64, may
	// fail; more wait for the next minute's. 0: any number.
	FailuresPerMinute int `toml:"failures-per-minute"`
}

// Check returns every problem of c. What is wrong inside the users file is
// found by New and Reload, with its own lines.
func (c AccessConfig) Check() []conf.Problem {
	var problems []conf.Problem
	if n := c.FailuresPerMinute; n < 0 || n > 1_000_000 {
		problems = append(problems, conf.Problem{Key: "failures-per-minute", Value: strconv.Itoa(n), Rule: "0 to 1000000", Hint: "0 slows nobody"})
	}
	if c.UsersFile == "" {
		return problems
	}
	info, err := os.Stat(c.UsersFile)
	if err == nil && info.Mode().IsRegular() {
		return problems
	}
	hint := "it is a directory or a device"
	if err != nil {
		hint = err.Error()
	}
	return append(problems, conf.Problem{Key: "users-file", Value: fmt.Sprintf("%q", c.UsersFile), Rule: "the path of a readable TOML file, or empty for no users", Hint: hint})
}

// access decides who may log in. It never changes but for what verifier remembers.
type access struct {
	cfg      AccessConfig
	file     *users // of the configuration's users file; nil: it names none
	kept     *kept  // whom people added; nil: nobody so far
	users    *users // both in one; nil: neither
	verifier *verifier
}

// newAccess reads the users file of the configuration, if there is one. v is a
// verifier in use, nil for a new one: what it knows of passwords holds on, since it
// is bound to their hashes.
func newAccess(cfg AccessConfig, k *kept, v *verifier) (*access, error) {
	if v == nil {
		v = newVerifier()
	}
	a := &access{cfg: cfg, verifier: v}
	if cfg.UsersFile != "" {
		var err error
		if a.file, err = readUsers(cfg.UsersFile); err != nil {
			return nil, err
		}
	}
	return a.with(k), nil
}

// with is the same with others that people added.
func (a *access) with(k *kept) *access {
	return &access{cfg: a.cfg, file: a.file, kept: k, users: mergeUsers(a.file, k), verifier: a.verifier}
}

// login decides whether a client may connect, and as whom. anonymous is what
// the listener allows; user and password are those of the CONNECT packet, empty
// when absent; peer is the client certificate that the listener verified, or
// nil; from is the origin of its address. The result is a grant and 0x00, or nil
// and the CONNACK's reason: 0x86 wrong name or password, 0x87 no credentials and
// not anonymous, 0x88 when ctx ended before its turn to be checked, 0x9F when it
// ended before there was a try left.
func (a *access) login(ctx context.Context, anonymous bool, clientID, user string, password []byte, peer *x509.Certificate, from string) (*grant, byte) {
	u := a.users
	if u == nil {
		if anonymous {
			g := newGrant("", clientID, everything)
			g.unchecked = user != "" || len(password) > 0
			return g, loginOK
		}
		return nil, loginNotAuthorized
	}
	if by := u.certified(peer, user); by != nil && len(password) == 0 {
		g := newGrant(by.name, clientID, by.rules)
		g.cert = peer.Subject.CommonName
		return g, loginOK
	}
	if user == "" && len(password) == 0 {
		if anonymous {
			return newGrant("", clientID, u.anonymous.ruleLists), loginOK
		}
		return nil, loginNotAuthorized
	}
	if anonymous && u.anonymous.AnyName && u.byName[user] == nil {
		g := newGrant("", clientID, u.anonymous.ruleLists)
		g.unchecked = true
		return g, loginOK
	}
	if code := a.checkPassword(ctx, u.byName[user], u.hashes, user, password, from); code != loginOK {
		return nil, code
	}
	by := u.byName[user]
	g := newGrant(user, clientID, by.rules)
	g.hash = by.hash.text
	return g, loginOK
}

// again is the grant that a client would get now by what it showed when it
// logged in; nil when it would not be let in. anonymous is as for login.
func (a *access) again(old *grant, anonymous bool, clientID string) *grant {
	u := a.users
	if old.user == "" {
		switch {
		case !anonymous, u != nil && old.unchecked && !u.anonymous.AnyName:
			return nil
		}
		rules := everything
		if u != nil {
			rules = u.anonymous.ruleLists
		}
		g := newGrant("", clientID, rules)
		g.unchecked = old.unchecked
		return g
	}
	if u == nil {
		return nil
	}
	by := u.byName[old.user]
	if by == nil || old.cert != "" && u.byCert[old.cert] != by || old.cert == "" && (by.hash == nil || by.hash.text != old.hash) {
		return nil
	}
	g := newGrant(by.name, clientID, by.rules)
	g.cert, g.hash = old.cert, old.hash
	return g
}

// standing is the grant of an anonymous client, or of a user by name alone: for
// the sessions of those who are away. nil when it would not be let in. anonymous
// says whether any listener lets anonymous clients in.
func (a *access) standing(user, clientID string, anonymous bool) *grant {
	u := a.users
	switch {
	case user == "" && !anonymous, user != "" && (u == nil || u.byName[user] == nil):
		return nil
	case user != "":
		return newGrant(user, clientID, u.byName[user].rules)
	case u != nil:
		return newGrant("", clientID, u.anonymous.ruleLists)
	}
	return newGrant("", clientID, everything)
}

// certified returns the account that a verified certificate stands for, unless
// the client asks to be someone else.
func (u *users) certified(peer *x509.Certificate, user string) *account {
	if peer == nil || peer.Subject.CommonName == "" {
		return nil
	}
	by := u.byCert[peer.Subject.CommonName]
	if by != nil && user != "" && user != by.name {
		return nil
	}
	return by
}

// checkPassword returns the reason of a CONNACK. by is the account of that name,
// nil for none, and hashes are those of all accounts. It spends on an unknown name, or
// one without a password, what it would spend on some known one, so that the time
// taken does not tell which names exist.
func (a *access) checkPassword(ctx context.Context, by *account, hashes []*passwordHash, user string, password []byte, from string) byte {
	var hash *passwordHash
	if by != nil {
		hash = by.hash
	}
	if hash != nil && a.verifier.knows(user, hash, password) {
		return loginOK
	}
	if a.verifier.guesses.enter(ctx, from, a.cfg.FailuresPerMinute) != nil {
		return loginTooOften
	}
	good := false
	defer func() { a.verifier.guesses.leave(from, !good) }()
	known := hash != nil
	if !known && len(hashes) > 0 {
		hash = hashes[a.verifier.pick(user, len(hashes))]
	}
	if hash == nil {
		return loginBadPassword
	}
	ok, err := a.verifier.check(ctx, user, hash, password)
	switch {
	case err != nil:
		good = true // nobody knows
		return loginUnavailable
	case !ok, !known:
		return loginBadPassword
	}
	good = true
	return loginOK
}

// grant is what one connection may do, decided at login and again at a reload.
// It never changes.
type grant struct {
	user      string // "" for an anonymous client
	publish   []string
	subscribe []string

	// What the client showed for it.
	hash      string // that its password fitted
	cert      string // common name of its certificate
	unchecked bool   // a name or a password, when there was nothing to check it by
}

var everything = ruleLists{Publish: []string{"#"}, Subscribe: []string{"#", "$SYS/#"}}

func newGrant(user, clientID string, rules ruleLists) *grant {
	return &grant{user: user, publish: expand(rules.Publish, user, clientID), subscribe: expand(rules.Subscribe, user, clientID)}
}

// expand puts user and client id into the rules, in one pass so that a name
// "%c" stays a name. It leaves out a rule that would mean more than was
// written: one whose value is empty, holds a wildcard or a level separator, or
// makes the filter begin with "$" ("$SYS", "$share").
func expand(rules []string, user, clientID string) []string {
	var out []string
	put := strings.NewReplacer("%u", user, "%c", clientID)
	for _, rule := range rules {
		if strings.Contains(rule, "%u") && !oneLevel(user) || strings.Contains(rule, "%c") && !oneLevel(clientID) {
			continue
		}
		filter := put.Replace(rule)
		if topic.ValidFilter(filter) && strings.HasPrefix(filter, "$") == strings.HasPrefix(rule, "$") {
			out = append(out, filter)
		}
	}
	return out
}

func oneLevel(s string) bool { return s != "" && !strings.ContainsAny(s, "+#/") }

// mayPublish says whether the valid topic name may be published to.
func (g *grant) mayPublish(name string) bool {
	for _, rule := range g.publish {
		if topic.Match(rule, name) {
			return true
		}
	}
	return false
}

// maySubscribe says whether the valid filter may be subscribed to: when one
// rule covers every topic it matches. A shared subscription is judged by the
// filter behind its group.
func (g *grant) maySubscribe(filter string) bool {
	if shared, ok := strings.CutPrefix(filter, sharePrefix); ok {
		_, filter, ok = strings.Cut(shared, "/")
		if !ok || filter == "" {
			return false
		}
	}
	for _, rule := range g.subscribe {
		if covers(rule, filter) {
			return true
		}
	}
	return false
}

// allowed says whether a client with this grant may come back to the session:
// as the user who began it, with every subscription still permitted. A client
// id is no secret, and what is queued was meant for someone with those rights.
func (s *session) allowed(g *grant) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for filter := range s.subs {
		if !g.maySubscribe(filter) {
			return false
		}
	}
	return s.user == g.user
}

// covers says whether every topic name that the valid filter inner matches is
// matched by the valid filter outer too.
func covers(outer, inner string) bool {
	if inner[0] == '$' && (outer[0] == '+' || outer[0] == '#') {
		return false
	}
	if inner == "#" {
		return outer == "#" || outer == "+/#" // a name has at least one level
	}
	for {
		o, orest, omore := strings.Cut(outer, "/")
		if o == "#" {
			return true
		}
		i, irest, imore := strings.Cut(inner, "/")
		if i == "#" || o != "+" && o != i {
			return false
		}
		switch {
		case !omore && !imore:
			return true
		case !imore:
			return orest == "#"
		case !omore:
			return false
		}
		outer, inner = orest, irest
	}
}
