package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// Role is what somebody may do.
type Role string

// The roles.
const (
	NoRole Role = ""
	Read   Role = "read"  // sees everything but secrets
	Admin  Role = "admin" // changes everything
)

type roleKey struct{}

// WithRole says who sends a request.
func WithRole(ctx context.Context, r Role) context.Context {
	return context.WithValue(ctx, roleKey{}, r)
}

// RoleOf returns what WithRole said.
func RoleOf(ctx context.Context) Role {
	r, _ := ctx.Value(roleKey{}).(Role)
	return r
}

// Error is what went wrong, in words, and what to do about it. It is the body of
// every answer of 400 and above.
type Error struct {
	Status int    `json:"-"`
	What   string `json:"error"`
	Hint   string `json:"hint"`
}

func (e *Error) Error() string {
	if e.Hint == "" {
		return e.What
	}
	return e.What + "; " + e.Hint
}

func bad(what, hint string) error        { return &Error{http.StatusBadRequest, what, hint} }
func nothing(what, hint string) error    { return &Error{http.StatusNotFound, what, hint} }
func missing(what string) error          { return nothing("this gateway has no "+what, "") }
func tooMany(what, hint string) error    { return &Error{http.StatusTooManyRequests, what, hint} }
func broken(doing string, e error) error { return fmt.Errorf("%s: %w", doing, e) }

// Refuse writes an error.
func Refuse(w http.ResponseWriter, status int, what, hint string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(Error{What: what, Hint: hint}) // who has gone does not want it
}

// fail answers with an error: as it says itself, else 500.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	var said *Error
	switch {
	case errors.As(err, &said):
		Refuse(w, said.Status, said.What, said.Hint)
	case errors.Is(err, errGone), r.Context().Err() != nil:
	default:
		a.opt.Errors.Warn("request failed", "path", r.URL.Path, "err", err)
		Refuse(w, http.StatusInternalServerError, err.Error(), "the log may tell more")
	}
}

var errGone = errors.New("the listener has gone")

// answer writes a body as JSON.
func answer(w http.ResponseWriter, body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return broken("write the answer", err)
	}
	w.Header().Set("Content-Type", "application/json")
	if _, err := w.Write(append(data, '\n')); err != nil {
		return errGone
	}
	return nil
}
