package control

import (
	"context"
	"fmt"
	"net/http"

	"tidegate/uplink"
)

// Walk is the end of a test of an uplink.
type Walk struct {
	Well  bool   `json:"well"`  // every endpoint is of use
	Error string `json:"error"` // why the test itself came to nothing; "" when it did not
}

// testUplink is POST /v1/uplinks/{name}/test: the walk to each endpoint, as
// tidegate uplink test does it. Each step is an event when it ends, and so is the
// end. One walk is under way at a time: they have one client id.
func (a *API) testUplink(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	if _, ok := a.opt.Spools[name]; !ok || a.opt.Probe == nil {
		return nothing(fmt.Sprintf("there is no uplink %q", name), "name one of [[uplink]]")
	}
	if !a.walking.CompareAndSwap(false, true) {
		return &Error{http.StatusConflict, "a test is under way", "wait until it has ended"}
	}
	defer a.walking.Store(false)
	s, ctx, done, err := a.open(w, r)
	if err != nil {
		return err
	}
	defer done()
	ctx, gone := context.WithCancel(ctx)
	defer gone()
	tell := func(event string, body any) {
		if f, err := newFrame(event, body); err != nil || s.send(f) != nil {
			gone()
		}
	}
	well, err := a.opt.Probe(ctx, name, func(step uplink.ProbeStep) { tell("step", step) })
	end := Walk{Well: well}
	if err != nil {
		end.Error = err.Error()
	}
	tell("end", end)
	return nil
}
