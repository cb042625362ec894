package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"

	"tidegate/edge/internal/lan"
)

// headers are those of every answer. The policy lets the page load nothing but
// what the gateway serves, run no script and no style that stands in a page, be in
// no frame, and send forms nowhere else.
var headers = [][2]string{
	{"Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"},
	{"X-Content-Type-Options", "nosniff"},
	{"X-Frame-Options", "DENY"},
	{"Referrer-Policy", "no-referrer"},
	{"Cross-Origin-Resource-Policy", "same-origin"},
	{"Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=(), serial=(), hid=(), midi=()"},
}

// guard is in front of everything.
func (c *Console) guard(next http.Handler) http.Handler {
	crossOrigin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer c.survive(w, r)
		for _, h := range headers {
			w.Header().Set(h[0], h[1])
		}
		switch err := crossOrigin.Check(r); {
		case !c.answersTo(r.Host):
			refuse(w, r, http.StatusMisdirectedRequest, "the gateway does not go by this name here", "call it by its IP address or its .local name, or add the name to hosts in the section [console] of the configuration")
		case err != nil, foreign(r):
			refuse(w, r, http.StatusForbidden, "another page has sent this", "open the gateway's page itself")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// survive ends a request that brought the server into trouble, and no other.
func (c *Console) survive(w http.ResponseWriter, r *http.Request) {
	what := recover()
	if what == nil {
		return
	}
	if what == http.ErrAbortHandler {
		panic(what)
	}
	c.log.Error("console: a request went wrong", "err", fmt.Sprint(what), "path", r.URL.Path, "stack", string(debug.Stack()))
	refuse(w, r, http.StatusInternalServerError, "the gateway has made a mistake", "its log has the details; please report them")
}

// answersTo says whether a host, as the browser called it, is one of the
// gateway's: a stranger's page can reach the gateway by a name of the stranger's,
// and would be of the same origin (DNS rebinding).
func (c *Console) answersTo(host string) bool {
	name := strings.TrimSuffix((&url.URL{Host: host}).Hostname(), ".")
	return name != "" && (lan.Name(name) || slices.ContainsFunc(c.cfg.Hosts, func(h string) bool { return strings.EqualFold(h, name) }))
}

// foreign says whether a request to the API comes from the page of another
// origin, a GET too: pages of other ports of the gateway's name send its cookie.
func foreign(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return strings.HasPrefix(r.URL.Path, "/api/") && site != "" && site != "same-origin" && site != "none"
}

// refusal is the body of an answer that is an error.
type refusal struct {
	Error string `json:"error"` // what happened
	Hint  string `json:"hint"`  // what to do
}

func refuse(w http.ResponseWriter, r *http.Request, code int, what, hint string) {
	w.Header().Set("Cache-Control", "no-store")
	if strings.HasPrefix(r.URL.Path, "/api/") {
		answer(w, code, refusal{what, hint})
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	fmt.Fprintf(w, "%s: %s.\n", what, hint)
}

// answer writes JSON.
func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // who does not listen has gone
}

// toHTTPS sends who came with plain HTTP to the same place.
func toHTTPS(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		refuse(w, r, http.StatusForbidden, "this was sent without encryption", "use https://")
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Connection", "close")
	http.Redirect(w, r, "https://"+r.Host+r.URL.RequestURI(), http.StatusTemporaryRedirect)
}
