package console

import (
	"context"
	"errors"
	"net/http"
)

// metrics gives the numbers to a program: each request has a name and password
// in it (HTTP Basic), as Prometheus sends them, or comes from a page that has
// logged in.
func (c *Console) metrics(w http.ResponseWriter, r *http.Request) {
	if c.cfg.Metrics == metricsLogin {
		if s, _ := c.who(r); s == nil && !c.knows(w, r) {
			return
		}
	}
	c.opt.Metrics.ServeHTTP(w, r)
}

// knows says whether a request has a name and password of somebody with a role,
// and answers it when it has not.
func (c *Console) knows(w http.ResponseWriter, r *http.Request) bool {
	user, password, given := r.BasicAuth()
	ask := func() { w.Header().Set("WWW-Authenticate", `Basic realm="Tidegate", charset="UTF-8"`) }
	if !given {
		ask()
		refuse(w, r, http.StatusUnauthorized, "the numbers are for who has logged in", `send the name and password of a user with a role in the console (basic_auth in Prometheus), or say metrics = "open" in the section [console]`)
		return false
	}
	from := origin(r)
	if !c.mayTry(w, r, from) {
		return false
	}
	ctx, cancel := context.WithTimeout(r.Context(), loginTime)
	defer cancel()
	role, err := c.opt.Users.Authenticate(ctx, user, password, from)
	switch {
	case errors.Is(err, ErrWrong):
		c.log.Warn("metrics: wrong name or password", "endpoint", from)
		ask()
		refuse(w, r, http.StatusUnauthorized, "wrong name or password", "look at basic_auth in Prometheus")
		return false
	case errors.Is(err, ErrNoRole) || err == nil && role == NoRole:
		refuse(w, r, http.StatusForbidden, "this user is for devices", `give it the role "read" in the console`)
		return false
	case err != nil:
		c.pace.giveBack(from)
		refuse(w, r, http.StatusServiceUnavailable, "the password could not be checked in time", "try again in a minute")
		return false
	}
	c.pace.giveBack(from)
	return true
}
