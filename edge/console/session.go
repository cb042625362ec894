package console

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"sync"
	"time"
)

// What one user, and all, may have of sessions; beyond, the one that was not used
// for longest ends.
const (
	mostSessions = 128
	mostOfUser   = 16
)

// session is a log-in.
type session struct {
	user string
	mark string // of the user's password, as it was
	csrf string // what a page must show that wants to change something

	// Guarded by sessions.mu.
	begun, used time.Time
}

// sessions are known by the hash of what the browsers have.
type sessions struct {
	life, idle time.Duration

	mu  sync.Mutex // guards what follows
	all map[[sha256.Size]byte]*session
}

func newSessions(life, idle time.Duration) *sessions {
	return &sessions{life: life, idle: idle, all: map[[sha256.Size]byte]*session{}}
}

// begin returns a session and the secret by which it is known.
func (s *sessions) begin(user, mark string) (secret string, made *session) {
	now := time.Now()
	made = &session{user: user, mark: mark, csrf: randomText(), begun: now, used: now}
	secret = randomText()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(now)
	s.makeRoom(mostOfUser, func(o *session) bool { return o.user == user })
	s.makeRoom(mostSessions, func(*session) bool { return true })
	s.all[sha256.Sum256([]byte(secret))] = made
	return secret, made
}

// randomText is 256 bits.
func randomText() string {
	var b [32]byte
	rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// makeRoom ends sessions until there is room for one more. mu is held.
func (s *sessions) makeRoom(most int, counts func(*session) bool) {
	for {
		n := 0
		var oldest [sha256.Size]byte
		for key, o := range s.all {
			if !counts(o) {
				continue
			}
			if n == 0 || o.used.Before(s.all[oldest].used) {
				oldest = key
			}
			n++
		}
		if n < most {
			return
		}
		delete(s.all, oldest)
	}
}

// sweep ends what is over. mu is held.
func (s *sessions) sweep(now time.Time) {
	for key, o := range s.all {
		if s.over(o, now) {
			delete(s.all, key)
		}
	}
}

func (s *sessions) over(o *session, now time.Time) bool {
	return now.Sub(o.begun) >= s.life || now.Sub(o.used) >= s.idle
}

// find returns the session of a secret, or nil, and counts as use.
func (s *sessions) find(secret string) *session {
	if secret == "" {
		return nil
	}
	key := sha256.Sum256([]byte(secret))
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.all[key]
	if o == nil {
		return nil
	}
	if s.over(o, now) {
		delete(s.all, key)
		return nil
	}
	o.used = now
	return o
}

// end ends the session of a secret.
func (s *sessions) end(secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, sha256.Sum256([]byte(secret)))
}

// shows says whether a token is that of the session.
func (o *session) shows(token string) bool {
	return subtle.ConstantTimeCompare([]byte(o.csrf), []byte(token)) == 1
}
