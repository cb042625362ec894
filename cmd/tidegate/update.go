package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"tidegate/cmd/tidegate/internal/update"
)

var errNotRoot = errors.New("only root may do that: use sudo")

// updating is what the verbs of `tidegate update` share.
func updating(env environment, privileged bool, do func(context.Context, update.System) error) int {
	sys := update.OnImage(version)
	if _, err := sys.Booted(); err != nil {
		return failed(env, exitBad, err)
	}
	if privileged && os.Geteuid() != 0 {
		return failed(env, exitUsage, errNotRoot)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := do(ctx, sys); err != nil {
		return failed(env, exitBad, err)
	}
	return exitOK
}

func installUpdate(env environment, args []string) int {
	f := newFlags(env, "update")
	downgrade := f.Bool("downgrade", false, "permit a version that is not newer than the one that runs")
	restart := f.Bool("reboot", false, "start the new version at once")
	sum := f.String("sha256", "", "of the bundle, in hexadecimal; for a URL")
	if code, ok := f.parse(args, 1, 1); !ok {
		return code
	}
	return updating(env, true, func(ctx context.Context, sys update.System) error {
		say := sayProgress(env, sys)
		order := update.Order{Source: f.Arg(0), Sum: *sum, Permit: update.Permit{Downgrade: *downgrade}}
		if err := sys.Install(ctx, order, say); err != nil {
			return err
		}
		if *restart {
			fmt.Fprintln(env.out, "installed; restarting into it")
			return sys.Restart(ctx)
		}
		fmt.Fprintln(env.out, "installed; the next start tries it, and it is kept once it is healthy: reboot")
		return nil
	})
}

// sayProgress prints progress and tells it to who watches from outside.
func sayProgress(env environment, sys update.System) func(int, string) {
	last := ""
	return func(percent int, what string) {
		sys.Tell(percent, what)
		text := what
		if percent >= 0 {
			text = fmt.Sprintf("%3d%% %s", percent/5*5, what)
		}
		if text != last {
			fmt.Fprintln(env.out, text)
		}
		last = text
	}
}

func statusUpdate(env environment, args []string) int {
	f := newFlags(env, "update status")
	asJSON := f.Bool("json", false, "as one JSON object")
	if code, ok := f.parse(args, 0, 0); !ok {
		return code
	}
	return updating(env, true, func(_ context.Context, sys update.System) error {
		r, err := sys.Report()
		if err != nil {
			return err
		}
		if *asJSON {
			return json.NewEncoder(env.out).Encode(r)
		}
		return r.Print(env.out)
	})
}

func confirmUpdate(env environment, args []string) int {
	f := newFlags(env, "update confirm")
	p := update.DefaultPatience()
	wait := f.Bool("wait", false, "only after the gateway was healthy for a time; restart the machine if it does not get there")
	f.DurationVar(&p.Healthy, "healthy", p.Healthy, "how long, without interruption")
	f.DurationVar(&p.Deadline, "deadline", p.Deadline, "how long to wait for that")
	if code, ok := f.parse(args, 0, 0); !ok {
		return code
	}
	return updating(env, true, func(ctx context.Context, sys update.System) error {
		if *wait {
			return sys.Watch(ctx, p, slog.New(slog.NewTextHandler(env.err, nil)))
		}
		return sys.Confirm()
	})
}

func rollbackUpdate(env environment, args []string) int {
	f := newFlags(env, "update rollback")
	restart := f.Bool("reboot", false, "start the other version at once")
	if code, ok := f.parse(args, 0, 0); !ok {
		return code
	}
	return updating(env, true, func(ctx context.Context, sys update.System) error {
		software, err := sys.Rollback()
		if err != nil {
			return err
		}
		fmt.Fprintf(env.out, "the next start goes back to version %s\n", software.Version)
		if *restart {
			return sys.Restart(ctx)
		}
		return nil
	})
}

// bootBackend is what RAUC runs.
func bootBackend(env environment, args []string) int {
	f := newFlags(env, "update boot")
	if code, ok := f.parse(args, 1, anyNumber); !ok {
		return code
	}
	return updating(env, false, func(_ context.Context, sys update.System) error {
		return sys.Backend(env.out, f.Args())
	})
}

// serveUpdate does what the gateway has asked for. The unit runs it.
func serveUpdate(env environment, args []string) int {
	f := newFlags(env, "update serve")
	if code, ok := f.parse(args, 0, 1); !ok {
		return code
	}
	return updating(env, true, func(ctx context.Context, sys update.System) error {
		signed, err := update.Take(runDir)
		if err != nil {
			return err
		}
		cfg, problems, err := load(cmp.Or(f.Arg(0), defaultConfig), Config.Check)
		if err != nil {
			return err
		}
		if len(problems) > 0 {
			return errors.New("the configuration has errors: tidegate check")
		}
		if cfg.Update.Topic == "" {
			return errors.New("the configuration allows no update from outside: update.topic is not set")
		}
		key, err := update.ReadKey(cfg.Update.Key)
		if err != nil {
			return err
		}
		installed, err := sys.Serve(ctx, signed, key, sayProgress(env, sys))
		if err != nil || !installed {
			return err
		}
		return sys.Restart(ctx)
	})
}

// runDir is where systemd lets the gateway leave a request.
const runDir = "/run/tidegate"
