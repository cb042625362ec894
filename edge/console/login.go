package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"
	"unicode/utf8"

	"tidegate/edge/internal/lan"
)

const (
	cookieName       = "tidegate"
	secureCookieName = "__Host-tidegate" // browsers take it over HTTPS only, for this host only
	csrfHeader       = "X-CSRF-Token"
)

// Bounds of log-in.
const (
	mostLogin     = 4 << 10 // bytes
	loginTime     = 20 * time.Second
	leastPassword = 10
	mostPassword  = 128
)

// state is what a page knows of itself.
type state struct {
	Role    Role   `json:"role"`
	User    string `json:"user"`
	CSRF    string `json:"csrf"`
	Setup   bool   `json:"setup"` // nobody has a role: the first visitor sets a password
	Gateway string `json:"gateway"`
	Assets  string `json:"assets"` // another one than the page's: there is new software
}

func (c *Console) login(w http.ResponseWriter, r *http.Request) {
	var in struct{ User, Password string }
	if !readJSON(w, r, &in) {
		return
	}
	from := origin(r)
	if !c.mayTry(w, r, from) {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), loginTime)
	defer cancel()
	// Before the password is tried: if it changes meanwhile, the session ends.
	_, mark := c.opt.Users.Standing(in.User)
	role, err := c.opt.Users.Authenticate(ctx, in.User, in.Password, from)
	switch {
	case errors.Is(err, ErrDamaged):
		c.log.Warn("log-in with a wrong name or password, or one in a damaged file", "endpoint", from)
		refuse(w, r, http.StatusUnauthorized, "wrong name or password, or right ones that the gateway cannot read any more: a file of its users is damaged", "on the gateway itself sudo tidegate status says which; sudo tidegate device passwd admin makes a new password")
	case errors.Is(err, ErrWrong):
		c.log.Warn("log-in with a wrong name or password", "endpoint", from)
		refuse(w, r, http.StatusUnauthorized, "wrong name or password", "try again; on an SD-card image the password of the user admin is in tidegate-report.txt on the boot partition")
	case errors.Is(err, ErrNoRole) || err == nil && role == NoRole:
		refuse(w, r, http.StatusForbidden, "this user is for devices, not for people", "give it a role in the console, or log in as another user")
	case err != nil:
		c.pace.giveBack(from)
		refuse(w, r, http.StatusServiceUnavailable, "the password could not be checked in time", "try again in a minute")
	default:
		c.pace.giveBack(from)
		c.admit(w, r, in.User, mark, role)
	}
}

// setup sets the administrator's password at the first visit.
func (c *Console) setup(w http.ResponseWriter, r *http.Request) {
	var in struct{ Password string }
	if !readJSON(w, r, &in) || !c.mayTry(w, r, origin(r)) {
		return
	}
	if n := utf8.RuneCountInString(in.Password); n < leastPassword || n > mostPassword {
		c.pace.giveBack(origin(r))
		refuse(w, r, http.StatusBadRequest, fmt.Sprintf("the password has %d characters", n), fmt.Sprintf("take %d to %d", leastPassword, mostPassword))
		return
	}
	user, err := c.opt.Users.Claim(in.Password)
	switch {
	case errors.Is(err, ErrClaimed):
		refuse(w, r, http.StatusConflict, "somebody has set a password already", "log in with it; if it was not you, on the gateway itself: sudo tidegate device passwd admin")
	case err != nil:
		c.log.Error("the first password could not be kept", "err", err)
		refuse(w, r, http.StatusInternalServerError, "the password could not be stored: "+err.Error(), "look whether the disk is full or cannot be written")
	default:
		role, mark := c.opt.Users.Standing(user)
		c.log.Info("the administrator's password was set", "endpoint", origin(r))
		c.admit(w, r, user, mark, role)
	}
}

// mayTry takes one of the tries of an address.
func (c *Console) mayTry(w http.ResponseWriter, r *http.Request, from string) bool {
	wait := c.pace.take(from)
	if wait == 0 {
		return true
	}
	seconds := int(math.Ceil(wait.Seconds()))
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	refuse(w, r, http.StatusTooManyRequests, "too many log-ins have failed from this address", fmt.Sprintf("try again in %d seconds", seconds))
	return false
}

// admit begins a session, in place of one that the browser has.
func (c *Console) admit(w http.ResponseWriter, r *http.Request, user, mark string, role Role) {
	c.sessions.end(secretOf(r))
	secret, s := c.sessions.begin(user, mark)
	setCookie(w, r, secret, int(c.cfg.Session.Std().Seconds()))
	c.log.Info("logged in", "user", user, "role", string(role), "endpoint", origin(r))
	answer(w, http.StatusOK, c.state(s, role))
}

func (c *Console) logout(w http.ResponseWriter, r *http.Request) {
	c.sessions.end(secretOf(r))
	setCookie(w, r, "", -1)
	answer(w, http.StatusOK, struct{}{})
}

func (c *Console) whoAmI(w http.ResponseWriter, r *http.Request) {
	s, role := c.who(r)
	answer(w, http.StatusOK, c.state(s, role))
}

func (c *Console) state(s *session, role Role) state {
	st := state{Gateway: c.opt.Gateway, Assets: c.assets.hash}
	if s == nil {
		st.Setup = c.opt.Users.Unclaimed()
		return st
	}
	st.Role, st.User, st.CSRF = role, s.user, s.csrf
	return st
}

// who returns the session of a request and its role as it is now, or nil.
func (c *Console) who(r *http.Request) (*session, Role) {
	secret := secretOf(r)
	s := c.sessions.find(secret)
	if s == nil {
		return nil, NoRole
	}
	role, mark := c.opt.Users.Standing(s.user)
	if role == NoRole || mark != s.mark {
		c.sessions.end(secret)
		return nil, NoRole
	}
	return s, role
}

func secretOf(r *http.Request) string {
	k, err := r.Cookie(cookieFor(r))
	if err != nil {
		return ""
	}
	return k.Value
}

func cookieFor(r *http.Request) string {
	if r.TLS != nil {
		return secureCookieName
	}
	return cookieName
}

func setCookie(w http.ResponseWriter, r *http.Request, value string, age int) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieFor(r), Value: value, Path: "/", MaxAge: age, HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode,
	})
}

// origin is where a request comes from: what counts for the rate of log-ins.
func origin(r *http.Request) string {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return lan.Origin(net.TCPAddrFromAddrPort(ap))
}

// readJSON reads a small body. A form of another page cannot send this type.
func readJSON(w http.ResponseWriter, r *http.Request, into any) bool {
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		refuse(w, r, http.StatusUnsupportedMediaType, "the request is not JSON", "send Content-Type: application/json")
		return false
	}
	if !readBody(w, r, mostLogin) {
		return false
	}
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		refuse(w, r, http.StatusBadRequest, "the request cannot be read: "+err.Error(), "reload the page and try again")
		return false
	}
	return true
}

// readBody takes a whole body in, of bounded size and in the time that timed gives,
// so that handlers need no bounds.
func readBody(w http.ResponseWriter, r *http.Request, most int64) bool {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		refuse(w, r, http.StatusRequestEntityTooLarge, "this is too large", fmt.Sprintf("send at most %d KiB", most>>10))
	case err != nil:
		refuse(w, r, http.StatusRequestTimeout, "the request did not arrive whole", "try again")
	default:
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
		r.Body = io.NopCloser(bytes.NewReader(body))
		r.ContentLength = int64(len(body))
	}
	return err == nil
}
