package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"tidegate/cmd/tidegate/internal/control"
	"tidegate/cmd/tidegate/internal/show"
	"tidegate/cmd/tidegate/internal/tty"
	"tidegate/internal/conf"
)

// socketFlags are what the commands that ask the running gateway have in common.
type socketFlags struct {
	flags
	config string
	socket string
}

func newSocketFlags(env environment, name string) *socketFlags {
	f := &socketFlags{flags: newFlags(env, name)}
	f.StringVar(&f.config, "config", defaultConfig, "the configuration `FILE` of the gateway to ask")
	f.StringVar(&f.socket, "socket", "", "the control `SOCKET` of the gateway to ask")
	return f
}

// dial finds the gateway: at the socket that was named, else where systemd has
// it, else in the data directory of the configuration. Where a configuration was
// named, its own comes first.
func (f *socketFlags) dial() (*control.Client, error) {
	if f.socket != "" {
		return dialed(control.Dial(f.socket))
	}
	paths := []string{filepath.Join(systemRun, control.SocketName)}
	cfg, _, err := load(f.config, func(Config) []conf.Problem { return nil })
	if err == nil {
		paths = append(paths, filepath.Join(cfg.Gateway.DataDir, control.SocketName))
	}
	given := false
	f.Visit(func(g *flag.Flag) { given = given || g.Name == "config" })
	if given {
		if err != nil {
			return nil, withSudo(err)
		}
		slices.Reverse(paths)
	}
	first := error(nil)
	for _, path := range paths {
		c, err := dialed(control.Dial(path))
		if err == nil {
			return c, nil
		}
		if first == nil || errors.Is(first, control.ErrNoGateway) && !errors.Is(err, control.ErrNoGateway) {
			first = err
		}
	}
	return nil, first
}

// dialed says what a person can do about a socket that may not be used.
func dialed(c *control.Client, err error) (*control.Client, error) {
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("the gateway does not answer everybody: use sudo, or join its group (sudo usermod -aG tidegate %s) and log in anew", whoami())
	}
	return c, err
}

func whoami() string {
	if name := os.Getenv("USER"); name != "" && tty.Safe(name) == name && !strings.ContainsAny(name, " '\"$`\\;&|") {
		return name
	}
	return "YOU"
}

// showStatus says how the gateway is. Exit code 1: there is trouble; 2: nobody
// could be asked.
func showStatus(env environment, args []string) int {
	f := newSocketFlags(env, "status")
	asJSON := f.Bool("json", false, "as JSON; with -watch one line each second")
	watch := f.Bool("watch", false, "again each second, until Ctrl-C")
	if code, ok := f.parse(args, 0, 0); !ok {
		return code
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	v := statusView{out: env.out, json: *asJSON, watch: *watch, paint: tty.NewPaint(env.out)}
	c, err := f.dial()
	if err != nil {
		return failed(env, exitUsage, err)
	}
	defer c.Close()
	if *watch {
		return v.follow(ctx, env, f, c)
	}
	var raw json.RawMessage
	if err := c.Get(ctx, "/v1/status", &raw); err != nil {
		return failed(env, exitUsage, err)
	}
	return v.show(env, raw)
}

// statusView writes states of the gateway.
type statusView struct {
	out         io.Writer
	paint       tty.Paint
	json, watch bool
}

func (v *statusView) show(env environment, raw []byte) int {
	var s control.Status
	if err := json.Unmarshal(raw, &s); err != nil {
		return failed(env, exitUsage, fmt.Errorf("the gateway's answer is not understood: is it of another version? %w", err))
	}
	text, err := v.text(raw, &s)
	if err == nil {
		_, err = io.WriteString(v.out, text)
	}
	if err != nil {
		return failed(env, exitUsage, err)
	}
	if s.Verdict == control.Trouble {
		return exitBad
	}
	return exitOK
}

func (v *statusView) text(raw []byte, s *control.Status) (string, error) {
	if v.json {
		var b bytes.Buffer
		var err error
		if v.watch {
			err = json.Compact(&b, raw)
		} else {
			err = json.Indent(&b, raw, "", "  ")
		}
		return b.String() + "\n", err
	}
	width, _ := tty.Size(v.out)
	p := show.Page{Paint: v.paint, Width: width}
	p.Status(s)
	text := strings.Join(p.Lines(), "\n") + "\n"
	if !v.watch {
		return text, nil
	}
	if tty.Is(v.out) {
		return "\x1b[H\x1b[J" + text, nil // from the top of a cleared screen
	}
	return text + "\n", nil
}

// follow shows what comes until ctx ends. A gateway that is started again is
// waited for.
func (v *statusView) follow(ctx context.Context, env environment, f *socketFlags, c *control.Client) int {
	code := exitOK
	for {
		err := c.Stream(ctx, "/v1/live", nil, func(event string, data []byte) error {
			if event == "status" {
				code = v.show(env, data)
			}
			return nil
		})
		c.Close()
		for {
			if ctx.Err() != nil {
				return code
			}
			if err != nil && !v.json {
				fmt.Fprintf(v.out, "%s: %v\n", time.Now().Format(time.TimeOnly), err)
			}
			wait(ctx, statusEvery)
			if c, err = f.dial(); err == nil {
				break
			}
		}
	}
}
