package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tidegate/cmd/tidegate/internal/tty"
	"tidegate/internal/conf"
	"tidegate/uplink"
)

// testUplink walks to each endpoint of the configuration. It needs no gateway
// and disturbs none. Exit code 1: some endpoint is of no use.
func testUplink(env environment, args []string) int {
	var file string
	var asJSON bool
	var opt uplink.ProbeOptions
	f := newFlags(env, "uplink test")
	f.StringVar(&file, "config", defaultConfig, "the configuration `FILE`")
	f.BoolVar(&asJSON, "json", false, "as one JSON array, at the end")
	f.BoolVar(&opt.NoPublish, "no-publish", false, "send nothing to the topics of the up routes")
	f.BoolVar(&opt.TakeOver, "take-over", false, "with single-client: take the gateway's place for a moment")
	if code, ok := f.parse(args, 0, 1); !ok {
		return code
	}
	cfg, all, code := uplinksToTest(env, file, f.Arg(0))
	if code != exitOK {
		return code
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	opt.Gateway = cfg.Gateway.id()
	runs, _ := gatewayRuns(cfg)
	opt.TakeOver = opt.TakeOver || !runs
	walks := make([]walk, 0, len(all))
	for _, c := range all {
		w := walk{Uplink: c.Name, ClientID: c.ProbeID(opt.Gateway), Steps: []uplink.ProbeStep{}}
		show := newWalkWriter(env.out, c, w.ClientID, asJSON)
		var err error
		w.Well, err = uplink.Probe(ctx, c, opt, func(s uplink.ProbeStep) {
			w.Steps = append(w.Steps, s)
			show.step(s)
		})
		if err != nil {
			return failed(env, exitBad, err)
		}
		show.end(w)
		walks = append(walks, w)
	}
	if asJSON {
		if err := writeJSON(env.out, walks); err != nil {
			return failed(env, exitUsage, err)
		}
	}
	if slices.ContainsFunc(walks, func(w walk) bool { return !w.Well }) {
		return exitBad
	}
	return exitOK
}

// walk is what a test of one uplink said.
type walk struct {
	Uplink   string             `json:"uplink"`
	ClientID string             `json:"client_id"`
	Well     bool               `json:"well"`
	Steps    []uplink.ProbeStep `json:"steps"`
}

// uplinksToTest reads the configuration. Problems of other sections do not
// matter.
func uplinksToTest(env environment, file, name string) (Config, []uplink.Config, int) {
	cfg, problems, err := load(file, func(c Config) (all []conf.Problem) {
		for i, u := range c.Uplink {
			all = append(all, under(fmt.Sprintf("uplink[%d]", i), u.Check())...)
		}
		return all
	})
	if err != nil {
		return cfg, nil, failed(env, exitUsage, withSudo(err))
	}
	if len(problems) > 0 {
		fmt.Fprint(env.err, report(file, problems))
		return cfg, nil, exitBad
	}
	if len(cfg.Uplink) == 0 {
		return cfg, nil, failed(env, exitBad, fmt.Errorf("%s has no [[uplink]]: everything stays at home, and there is nothing to test", file))
	}
	if name == "" {
		return cfg, cfg.Uplink, exitOK
	}
	var names []string
	for _, u := range cfg.Uplink {
		if u.Name == name {
			return cfg, []uplink.Config{u}, exitOK
		}
		names = append(names, u.Name)
	}
	return cfg, nil, failed(env, exitUsage, fmt.Errorf("%s has no uplink %q; it has %s", file, name, strings.Join(names, ", ")))
}

// gatewayRuns says whether the gateway of a configuration runs, as far as its
// sockets tell, and which process it is: 0 where this user may not ask.
func gatewayRuns(c Config) (runs bool, pid int) {
	for _, path := range []string{filepath.Join(systemRun, statusName), filepath.Join(c.Gateway.DataDir, statusName)} {
		conn, err := net.DialTimeout("unix", path, time.Second)
		if os.IsPermission(err) {
			return true, 0
		}
		if err == nil {
			pid = listenerOf(conn.(*net.UnixConn))
			conn.Close()
			return true, pid
		}
	}
	return false, 0
}

// listenerOf returns the process that listened where conn was answered
// [unix(7): SO_PEERCRED].
func listenerOf(conn *net.UnixConn) (pid int) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(cred.Pid)
		}
	})
	return pid
}

// walkWriter shows steps as they end.
type walkWriter struct {
	out   io.Writer
	paint tty.Paint
	width int
	at    string // the endpoint whose steps are shown
}

func newWalkWriter(out io.Writer, c uplink.Config, id string, quiet bool) *walkWriter {
	w := &walkWriter{out: out, paint: tty.NewPaint(out)}
	if quiet {
		w.out = io.Discard
	}
	w.width, _ = tty.Size(out)
	beside := "the gateway's own links stay as they are"
	if c.SingleClient {
		beside = "the only client id there, which is the gateway's"
	}
	fmt.Fprintln(w.out, w.paint.In(tty.Bold, "uplink "+c.Name), "as client", id+":", beside)
	return w
}

var outcomeColours = map[string]tty.Colour{
	uplink.StepOK: tty.Green, uplink.StepWarning: tty.Yellow, uplink.StepFailed: tty.Red, uplink.StepSkipped: tty.Faint,
}

func (w *walkWriter) step(s uplink.ProbeStep) {
	if s.Endpoint != w.at {
		w.at = s.Endpoint
		fmt.Fprintln(w.out, "\n"+w.paint.In(tty.Bold, s.Endpoint))
	}
	const indent = "                     "
	text := tty.Safe(s.Words)
	if s.Seconds >= 0.001 && s.Outcome == uplink.StepOK {
		text += fmt.Sprintf(" (%s)", time.Duration(s.Seconds*float64(time.Second)).Round(time.Millisecond))
	}
	outcome := w.paint.In(outcomeColours[s.Outcome], fmt.Sprintf("%-8s", s.Outcome))
	fmt.Fprintf(w.out, "  %s %-9s %s\n", outcome, s.Name, tty.Wrap(text, w.width-len(indent), indent))
	if s.Do != "" {
		fmt.Fprintf(w.out, "%s%s\n", indent, w.paint.In(tty.Bold, tty.Wrap("→ "+s.Do, w.width-len(indent), indent)))
	}
}

func (w *walkWriter) end(result walk) {
	text := w.paint.In(tty.Green, "All endpoints are well.")
	if !result.Well {
		text = w.paint.In(tty.Red, "There is trouble: see what failed above.")
	}
	fmt.Fprintf(w.out, "\n%s\n", text)
}

func writeJSON(out io.Writer, v any) error {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
