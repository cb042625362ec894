package console

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"tidegate/edge/internal/certs"
)

// Role is what somebody may do who has logged in.
type Role string

// The roles of users. Without one there is no log-in.
const (
	NoRole Role = ""
	Read   Role = "read"  // sees everything but secrets, changes nothing
	Admin  Role = "admin" // changes everything
)

// The errors of Users.
var (
	ErrWrong   = errors.New("wrong name or password")
	ErrNoRole  = errors.New("the user has no role in the console")
	ErrClaimed = errors.New("somebody has a role already")
	ErrDamaged = fmt.Errorf("%w, or a good one in a damaged file of users", ErrWrong)
)

// Users are those who may log in. Its methods are called from many goroutines.
type Users interface {
	// Authenticate returns the role of a user who knows the password; ErrWrong,
	// ErrNoRole, or another error when it could not be found out before ctx ended.
	// from is where the user comes from: an address, of IPv6 its /64.
	Authenticate(ctx context.Context, user, password, from string) (Role, error)

	// Standing returns the user's role as it is now, and a mark that is another one
	// when the password is. It is asked at every request.
	Standing(user string) (role Role, mark string)

	// Unclaimed says whether nobody has a role, so that the first visitor may set the
	// administrator's password.
	Unclaimed() bool

	// Claim makes the administrator, unless somebody has a role: ErrClaimed.
	Claim(password string) (user string, err error)
}

// Options are what a console needs from the rest of the gateway.
type Options struct {
	// API answers below /api/, with that taken off: /v1/status. Those who come have
	// logged in; RoleOf says as what.
	API http.Handler

	// Metrics answers /metrics, to whom Config.Metrics says. May be nil.
	Metrics http.Handler

	// Open answers whole paths without log-in, such as "/healthz".
	Open map[string]http.Handler

	Users   Users
	Log     *slog.Logger
	Gateway string // its name
	Version string // of the software
}

// Console is the server of the page. Make one with New, then call Run once.
type Console struct {
	cfg      Config
	opt      Options
	log      *slog.Logger
	tls      *tls.Config // nil: HTTP
	networks *networks
	sessions *sessions
	pace     pace
	assets   *assets
	bound    chan net.Addr // has the address once it is bound
}

// New checks the configuration, and reads the certificate and the page.
func New(cfg Config, opt Options) (*Console, error) {
	var errs []error
	for _, p := range cfg.Check() {
		p.Key = "console." + p.Key
		errs = append(errs, errors.New(p.String()))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	c := &Console{
		cfg: cfg, opt: opt, log: opt.Log.With("component", "console"),
		networks: newNetworks(cfg.Allow), sessions: newSessions(cfg.Session.Std(), cfg.Idle.Std()),
		bound: make(chan net.Addr, 1),
	}
	var err error
	if c.assets, err = readAssets(); err != nil {
		return nil, err
	}
	if cfg.Cert == "" {
		return c, nil
	}
	files, err := certs.New(cfg.Cert, cfg.Key, "", c.log)
	if err != nil {
		return nil, err
	}
	c.tls = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		now, err := files.GetConfigForClient(hello)
		if err != nil {
			return nil, err
		}
		return &now.Certificates[0], nil
	}}
	return c, nil
}

// Addr returns the address that the console is bound to, once it is, or nil when
// ctx ends before.
func (c *Console) Addr(ctx context.Context) net.Addr {
	select {
	case a := <-c.bound:
		c.bound <- a
		return a
	case <-ctx.Done():
		return nil
	}
}

// bindPause is the time between two attempts to have the port.
const bindPause = 10 * time.Second

// Run serves until ctx ends. It waits for a port that another program has, and
// takes nothing else down for it. It returns when the last goroutine has stopped.
func (c *Console) Run(ctx context.Context) error {
	if c.cfg.Bind == "" {
		<-ctx.Done()
		return nil
	}
	for tries := 0; ; tries++ {
		ln, err := net.Listen("tcp", c.cfg.Bind)
		if err == nil {
			c.bound <- ln.Addr()
			c.log.Info("console", "endpoint", ln.Addr().String(), "https", c.tls != nil)
			c.serve(ctx, ln)
			return nil
		}
		if tries == 0 {
			c.log.Warn("no console for now; if another program has the port, stop it or choose another bind", "endpoint", c.cfg.Bind, "err", err)
		}
		pause := time.NewTimer(bindPause)
		select {
		case <-ctx.Done():
			pause.Stop()
			return nil
		case <-pause.C:
		}
	}
}
