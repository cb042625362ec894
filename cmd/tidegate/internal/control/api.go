package control

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tidegate/edge"
	"tidegate/hw"
	"tidegate/uplink"
	"tidegate/uplink/spool"
)

// Options are what the API stands on. What is nil is answered with 404 and a
// word that this gateway has none.
type Options struct {
	Gateway string
	Version string
	Log     *Log         // the last lines
	Errors  *slog.Logger // of the API itself

	// Read takes the numbers of all parts, in a millisecond or so. It is called
	// every ten seconds, and once a second while somebody looks.
	Read func() Readings

	// Raw is the body of /v1/stats.
	Raw func() any

	// Of the broker, as edge.Broker has them; Publish takes a message like that of a
	// device.
	Overhear func(ctx context.Context, filters []string, f func(m *edge.Message, missed int64))
	Retained func(filter string, f func(*edge.Message) bool)
	Publish  func(*edge.Message)

	Clients    func() []edge.Client
	Client     func(id string) (edge.ClientDetail, bool)
	Disconnect func(id string) bool

	Users Household

	Events func(uplink string) []uplink.Event
	Places func() []hw.Place // where sensors, inputs and actuators are heard

	// Probe walks to each endpoint of an uplink, and reports each step.
	Probe func(ctx context.Context, uplink string, report func(uplink.ProbeStep)) (well bool, err error)

	Spools map[string]string // the directory of each uplink's spool, by its name

	// Config returns the name and the text of the file that is in force; Check finds
	// what is wrong with another text.
	Config func() (file, text string)
	Check  func([]byte) []Problem
}

// API answers for the gateway. Make one with New, call Run once; ServeHTTP may be
// called by many at any time.
type API struct {
	opt  Options
	mux  *http.ServeMux
	live *live
	ends context.Context // done when the API ends; streams end with it
	end  context.CancelFunc

	topics  topics
	senses  senses
	streams atomic.Int64 // that are open
	walking atomic.Bool  // to an uplink

	mu      sync.Mutex // guards what follows
	past    past
	dead    graves
	minutes minutes
	last    *Status
	at      time.Time // of last
}

// New builds the API. Nothing runs before Run.
func New(opt Options) *API {
	if opt.Log == nil {
		opt.Log = NewLog()
	}
	if opt.Errors == nil {
		opt.Errors = slog.New(slog.DiscardHandler)
	}
	a := &API{opt: opt}
	a.ends, a.end = context.WithCancel(context.Background())
	a.live = newLive(a.frame)
	a.topics = topics{hear: opt.Overhear, retained: opt.Retained}
	a.senses = senses{places: opt.Places, hear: opt.Overhear, retained: opt.Retained}
	a.mux = a.routes()
	return a
}

// sampleEvery is the time between two samples while nobody looks.
const sampleEvery = 10 * time.Second

// Run takes the samples that rates and histories are made of, until ctx ends;
// then all streams end.
func (a *API) Run(ctx context.Context) error {
	defer a.topics.rest(true)
	defer a.senses.rest()
	defer a.end()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { a.live.run(ctx) })
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		a.sample()
		a.senses.follow(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			a.topics.rest(false)
		}
	}
}

// fresh is how long a status is true enough for the next who asks.
const fresh = 250 * time.Millisecond

// Status is how the gateway is. It and all it points to are shared: nobody
// changes it.
func (a *API) Status() *Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last != nil && time.Since(a.at) < fresh {
		return a.last
	}
	a.look()
	return a.last
}

// sample looks, and adds to the histories.
func (a *API) sample() {
	a.mu.Lock()
	r := a.look()
	ended := a.minutes.add(&r, countsOf(&r))
	a.mu.Unlock()
	a.senses.roll(ended, &r.HW)
}

// look reads the numbers and puts them into words. The caller holds mu.
func (a *API) look() Readings {
	r := a.opt.Read()
	for i := range r.Uplinks {
		r.Uplinks[i].Dead = a.dead.count(a.opt.Spools[r.Uplinks[i].Name])
	}
	s := statusOf(&r, &a.past)
	s.Gateway, s.Version = a.opt.Gateway, a.opt.Version
	a.senses.show(&s, &r.HW)
	judge(&s, &r, &a.past)
	a.past.add(countsOf(&r))
	a.last, a.at = &s, time.Now()
	return r
}

func (a *API) routes() *http.ServeMux {
	mux := http.NewServeMux()
	get := func(path string, h func(w http.ResponseWriter, r *http.Request) error) {
		a.handle(mux, "GET "+path, Read, h)
	}
	get("/v1/status", a.status)
	get("/v1/stats", a.stats)
	get("/v1/live", a.listen)
	get("/v1/log", a.log)
	get("/v1/devices", a.listDevices)
	get("/v1/devices/{id}", a.device)
	get("/v1/topics", a.listTopics)
	get("/v1/tail", a.tail)
	get("/v1/dead", a.listDead)
	get("/v1/history", a.history)
	get("/v1/sensors/history", a.sensorHistory)
	get("/v1/config", a.config)
	post := func(path string, h func(w http.ResponseWriter, r *http.Request) error) {
		a.handle(mux, "POST "+path, Admin, h)
	}
	post("/v1/devices/{id}/disconnect", a.disconnect)
	post("/v1/publish", a.publish)
	post("/v1/actuators/{name}", a.command)
	post("/v1/dead/retry", a.decideDead(spool.SendAgain))
	post("/v1/dead/drop", a.decideDead(spool.DropDead))
	post("/v1/config/check", a.check)
	post("/v1/uplinks/{name}/test", a.testUplink)
	if a.opt.Users != nil {
		get("/v1/users", a.listUsers)
		post("/v1/users", a.addUser)
		post("/v1/users/{name}/password", a.renewPassword)
		a.handle(mux, "PUT /v1/users/{name}", Admin, a.changeUser)
		a.handle(mux, "DELETE /v1/users/{name}", Admin, a.removeUser)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if allow := methods(mux, r); len(allow) > 0 {
			w.Header().Set("Allow", strings.Join(allow, ", "))
			Refuse(w, http.StatusMethodNotAllowed, r.URL.Path+" does not take "+r.Method, "it takes "+strings.Join(allow, " and "))
			return
		}
		Refuse(w, http.StatusNotFound, "there is nothing at "+r.URL.Path, "the paths begin with /v1/")
	})
	return mux
}

// methods returns those that the path of a request takes.
func methods(mux *http.ServeMux, r *http.Request) (all []string) {
	for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		other := *r
		other.Method = m
		if _, pattern := mux.Handler(&other); pattern != "/" {
			all = append(all, m)
		}
	}
	return all
}

// handle puts a handler at a pattern, for those who have a role at least.
func (a *API) handle(mux *http.ServeMux, pattern string, least Role, h func(http.ResponseWriter, *http.Request) error) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		switch role := RoleOf(r.Context()); {
		case role == NoRole:
			Refuse(w, http.StatusUnauthorized, "you are not logged in", "log in")
			return
		case least == Admin && role != Admin:
			Refuse(w, http.StatusForbidden, "you may look at everything and change nothing", "log in as a user with the role admin")
			return
		}
		if err := h(w, r); err != nil {
			a.fail(w, r, err)
		}
	})
}

// ServeHTTP answers a request whose context has a role.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	a.mux.ServeHTTP(w, r)
}

func (a *API) status(w http.ResponseWriter, _ *http.Request) error { return answer(w, a.Status()) }

func (a *API) stats(w http.ResponseWriter, _ *http.Request) error {
	if a.opt.Raw == nil {
		return missing("raw numbers")
	}
	return answer(w, a.opt.Raw())
}
