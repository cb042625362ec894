package console

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"
)

// handler is everything that is served.
func (c *Console) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", c.assets.index)
	mux.HandleFunc("GET /a/{hash}/{name...}", c.assets.serve)
	mux.HandleFunc("GET /favicon.ico", c.assets.icon)
	mux.HandleFunc("GET /api/session", c.whoAmI)
	mux.HandleFunc("POST /api/login", c.login)
	mux.HandleFunc("POST /api/setup", c.setup)
	mux.Handle("POST /api/logout", c.private(http.HandlerFunc(c.logout), Read))
	mux.Handle("POST /api/qr", c.private(http.HandlerFunc(drawQR), Admin))
	mux.Handle("/api/v1/", c.private(http.StripPrefix("/api", c.api()), Admin))
	if c.opt.Metrics != nil && c.cfg.Metrics != metricsOff {
		mux.HandleFunc("GET /metrics", c.metrics)
	}
	for path, h := range c.opt.Open {
		mux.Handle(path, h)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, r, http.StatusNotFound, "there is nothing at this address", "the page is at /")
	})
	return c.guard(timed(mux))
}

func (c *Console) api() http.Handler {
	if c.opt.API != nil {
		return c.opt.API
	}
	return http.NotFoundHandler()
}

type identityKey struct{}

type identity struct {
	user string
	role Role
}

// RoleOf returns as what the one who sent a request to Options.API has logged in.
func RoleOf(ctx context.Context) Role {
	id, _ := ctx.Value(identityKey{}).(identity)
	return id.role
}

// UserOf returns who sent a request to Options.API.
func UserOf(ctx context.Context) string {
	id, _ := ctx.Value(identityKey{}).(identity)
	return id.user
}

// private lets in who has logged in. What is no GET must show the session's
// token and come from somebody with at least the role.
func (c *Console) private(next http.Handler, least Role) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, role := c.who(r)
		if s == nil {
			refuse(w, r, http.StatusUnauthorized, "you are not logged in", "log in; a log-in ends after some time, and when the gateway starts")
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			switch {
			case !s.shows(r.Header.Get(csrfHeader)):
				refuse(w, r, http.StatusForbidden, "the request lacks the token of the page", "reload the page and try again")
				return
			case least == Admin && role != Admin:
				refuse(w, r, http.StatusForbidden, "you may look at everything and change nothing", "log in as a user with the role admin")
				return
			case !readBody(w, r, mostBody):
				return
			}
		}
		ctx := context.WithValue(r.Context(), identityKey{}, identity{s.user, role})
		next.ServeHTTP(&watched{ResponseWriter: w, still: func() bool { now, _ := c.who(r); return now == s }}, r.WithContext(ctx))
	})
}

var errEnded = errors.New("the session has ended")

// watched ends an answer that lasts longer than its session.
type watched struct {
	http.ResponseWriter
	still  func() bool
	looked time.Time
}

// sessionLook is how often at most an answer looks after its session.
const sessionLook = time.Second

func (w *watched) Write(b []byte) (int, error) {
	now := time.Now()
	if w.looked.IsZero() {
		w.looked = now
	}
	if now.Sub(w.looked) >= sessionLook {
		w.looked = now
		if !w.still() {
			return 0, errEnded
		}
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Flush is for those who ask for an http.Flusher.
func (w *watched) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }

// timed gives each piece of an answer its time, and the body of a request, which
// the server waits for before it answers, whether the handler wants it or not.
func timed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime)) // what cannot is no connection
		}
		t := &deadlined{ResponseWriter: w}
		t.extend()
		next.ServeHTTP(t, r)
	})
}

type deadlined struct {
	http.ResponseWriter
	at time.Time
}

func (w *deadlined) extend() {
	if now := time.Now(); now.Sub(w.at) > writeTime/10 {
		w.at = now
		_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(now.Add(writeTime))
	}
}

func (w *deadlined) Write(b []byte) (int, error) {
	w.extend()
	return w.ResponseWriter.Write(b)
}

func (w *deadlined) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *deadlined) Flush() {
	w.extend()
	_ = http.NewResponseController(w.ResponseWriter).Flush()
}

// acceptsGzip says whether a browser takes compressed answers.
func acceptsGzip(r *http.Request) bool {
	for one := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		coding, quality, _ := strings.Cut(one, ";")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			return strings.Trim(strings.TrimPrefix(strings.ReplaceAll(quality, " ", ""), "q="), "0.") != "" || quality == ""
		}
	}
	return false
}
