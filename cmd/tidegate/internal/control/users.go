package control

import (
	"errors"
	"net/http"

	"tidegate/edge"
)

// Household is who may come in and what they may do, as edge.Broker has it.
type Household interface {
	Users() []edge.User
	UsersFault() string
	LetsAnybodyIn() bool
	AddUser(name string, what edge.UserChange) (password string, err error)
	RemoveUser(name string) error
	RenewPassword(name, chosen string) (password string, err error)
	ChangeUser(name string, what edge.UserChange) error
}

// Users is the body of /v1/users.
type Users struct {
	Users []User `json:"users"` // by name
	Fault string `json:"fault"` // of the file of those kept here; "": none
	Open  bool   `json:"open"`  // devices may do something without a password too
}

// User is a device or a person with a name.
type User struct {
	Name        string   `json:"name"`
	Publish     []string `json:"publish"` // topic filters, with those of its groups
	Subscribe   []string `json:"subscribe"`
	Groups      []string `json:"groups"`
	Console     string   `json:"console"` // "read", "admin" or ""
	Kept        string   `json:"kept"`    // "here": can be changed; "file": stands in the users file of the configuration
	Certificate string   `json:"certificate"`
	Connected   int      `json:"connected"` // connections
}

// NewUser asks for a user.
type NewUser struct {
	Name      string   `json:"name"`
	Publish   []string `json:"publish"`
	Subscribe []string `json:"subscribe"`
	Console   string   `json:"console"`
}

// UserChange says what a user may do from now on. What is left out stays.
type UserChange struct {
	Publish   *[]string `json:"publish,omitempty"`
	Subscribe *[]string `json:"subscribe,omitempty"`
	Console   *string   `json:"console,omitempty"`
}

// Password is one that was made, and is told once.
type Password struct {
	Name     string `json:"name"`
	Password string `json:"password"`
	Note     string `json:"note"` // what to know besides; ""
}

// Note is what to know about what was done.
type Note struct {
	Note string `json:"note"` // "": nothing
}

// stillOpen is said when a password is not needed by everybody.
const stillOpen = "Devices without a password still come in, as before. When all have one, set anonymous = false at the listeners in the configuration."

func (a *API) note() string {
	if a.opt.Users.LetsAnybodyIn() {
		return stillOpen
	}
	return ""
}

func (a *API) listUsers(w http.ResponseWriter, _ *http.Request) error {
	out := Users{Users: []User{}, Fault: a.opt.Users.UsersFault(), Open: a.opt.Users.LetsAnybodyIn()}
	for _, u := range a.opt.Users.Users() {
		one := User{Name: u.Name, Publish: full(u.Publish), Subscribe: full(u.Subscribe), Groups: full(u.Groups),
			Console: u.Console, Kept: "file", Certificate: u.Certificate, Connected: u.Connected}
		if u.Kept {
			one.Kept = "here"
		}
		out.Users = append(out.Users, one)
	}
	return answer(w, out)
}

// full is a list that is never null.
func full(list []string) []string { return append([]string{}, list...) }

func (a *API) addUser(w http.ResponseWriter, r *http.Request) error {
	var in NewUser
	if err := body(w, r, &in); err != nil {
		return err
	}
	password, err := a.opt.Users.AddUser(in.Name, edge.UserChange{Publish: &in.Publish, Subscribe: &in.Subscribe, Console: &in.Console})
	if err != nil {
		return refusal(err)
	}
	return answer(w, Password{in.Name, password, a.note()})
}

func (a *API) removeUser(w http.ResponseWriter, r *http.Request) error {
	if err := a.opt.Users.RemoveUser(r.PathValue("name")); err != nil {
		return refusal(err)
	}
	return answer(w, Note{a.note()})
}

func (a *API) renewPassword(w http.ResponseWriter, r *http.Request) error {
	var in struct{ Password string }
	if err := body(w, r, &in); err != nil {
		return err
	}
	password, err := a.opt.Users.RenewPassword(r.PathValue("name"), in.Password)
	if err != nil {
		return refusal(err)
	}
	return answer(w, Password{Name: r.PathValue("name"), Password: password})
}

func (a *API) changeUser(w http.ResponseWriter, r *http.Request) error {
	var in UserChange
	if err := body(w, r, &in); err != nil {
		return err
	}
	if err := a.opt.Users.ChangeUser(r.PathValue("name"), edge.UserChange(in)); err != nil {
		return refusal(err)
	}
	return answer(w, Note{})
}

// userStatus are the statuses for why a change of users was refused.
var userStatus = map[edge.UserRefusal]int{
	edge.UserBad:       http.StatusBadRequest,
	edge.UserUnknown:   http.StatusNotFound,
	edge.UserTaken:     http.StatusConflict,
	edge.UserElsewhere: http.StatusConflict,
	edge.UserLastAdmin: http.StatusConflict,
	edge.UsersDamaged:  http.StatusConflict,
}

func refusal(err error) error {
	var said *edge.UserError
	if errors.As(err, &said) {
		return &Error{userStatus[said.Reason], said.What, said.Hint}
	}
	return err
}
