package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
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

const mostBody = 1 << 20 // bytes of a request

// body reads JSON into v. An unknown member is an error.
func body(w http.ResponseWriter, r *http.Request, v any) error {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, mostBody))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); errors.Is(err, io.EOF) {
		return bad("the request has no body", "send JSON")
	} else if err != nil {
		return bad("the request cannot be read: "+err.Error(), "send JSON as the API's description has it")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return bad("something follows the JSON of the request", "send one JSON value, and nothing behind it")
	}
	return nil
}

// page is the part of a list that is asked for.
type page struct{ offset, limit int }

const (
	usualLimit = 100
	mostLimit  = 1000
)

func pageOf(r *http.Request) (page, error) {
	p := page{limit: usualLimit}
	for name, to := range map[string]*int{"offset": &p.offset, "limit": &p.limit} {
		text := r.URL.Query().Get(name)
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return page{}, bad(name+" is no number from 0 up", "")
		}
		*to = n
	}
	p.limit = min(p.limit, mostLimit)
	return p, nil
}

// cut takes the page out of a list. It is never nil.
func cut[T any](list []T, p page) []T {
	from := min(p.offset, len(list))
	return append([]T{}, list[from:min(from+p.limit, len(list))]...)
}
