package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"tidegate/cmd/tidegate/internal/doctor"
	"tidegate/cmd/tidegate/internal/tty"
	"tidegate/internal/conf"
	"tidegate/uplink"
)

// examine says what is wrong with this machine. Exit code 1: there is trouble.
func examine(env environment, args []string) int {
	f := newFlags(env, "doctor")
	file := f.String("config", defaultConfig, "the configuration `FILE`")
	asJSON := f.Bool("json", false, "as one JSON array")
	if code, ok := f.parse(args, 0, 0); !ok {
		return code
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	found := examined(ctx, *file)
	if *asJSON {
		if err := writeJSON(env.out, found); err != nil {
			return failed(env, exitUsage, err)
		}
	} else {
		writeFindings(env.out, found)
	}
	if doctor.Bad(found) {
		return exitBad
	}
	return exitOK
}

// examined looks at the machine. A configuration with mistakes, or none, is a
// finding like others.
func examined(ctx context.Context, file string) []doctor.Finding {
	cfg, problems, err := load(file, func(c Config) []conf.Problem { return c.checkAll() })
	first := doctor.Finding{Level: doctor.OK, About: "configuration", What: file + ": good"}
	switch {
	case err != nil:
		cfg = DefaultConfig()
		first = doctor.Finding{Level: doctor.Trouble, About: "configuration", What: err.Error(), Do: "tidegate init asks for what is needed and writes it"}
		if withSudo(err) != err {
			first.Level, first.Do = doctor.Info, "use sudo"
		}
	case len(problems) > 0:
		first = doctor.Finding{Level: doctor.Trouble, About: "configuration", Do: "tidegate check " + file,
			What: fmt.Sprintf("%s has mistakes: %d; the first: %s", file, len(problems), strings.TrimSpace(report(file, problems[:1])))}
	}
	return append([]doctor.Finding{first}, doctor.Examine(ctx, doctorOptions(cfg, file))...)
}

// doctorOptions say what of the configuration the doctor is to look at.
func doctorOptions(c Config, file string) doctor.Options {
	o := doctor.Here()
	o.DataDir, o.Uplinks, o.Buses = absolute(c.Gateway.DataDir), len(c.Uplink), c.HW.Buses()
	o.Running, o.PID = gatewayRuns(c)
	name := func(f doctor.File) {
		f.Path = absolute(f.Path)
		same := func(g doctor.File) bool { return f.Path == g.Path }
		if f.Path != "" && !slices.ContainsFunc(o.Files, same) {
			o.Files = append(o.Files, f)
		}
	}
	name(doctor.File{Key: "the configuration", Path: file})
	for i, l := range c.Edge.Listeners {
		key := fmt.Sprintf("edge.listener[%d].", i)
		o.Listeners = append(o.Listeners, doctor.Listener{Key: key + "bind", Bind: l.Bind})
		name(doctor.File{Key: key + "cert", Path: l.Cert, Certificate: true})
		name(doctor.File{Key: key + "key", Path: l.Key, Secret: true})
		name(doctor.File{Key: key + "client-ca", Path: l.ClientCA, Certificate: true, Authority: true})
	}
	name(doctor.File{Key: "edge.access.users-file", Path: c.Edge.Access.UsersFile, Secret: true})
	if c.Console.Bind != "" {
		o.Listeners = append(o.Listeners, doctor.Listener{Key: "console.bind", Bind: c.Console.Bind})
		name(doctor.File{Key: "console.cert", Path: c.Console.Cert, Certificate: true})
		name(doctor.File{Key: "console.key", Path: c.Console.Key, Secret: true})
	}
	for i, u := range c.Uplink {
		key := fmt.Sprintf("uplink[%d].", i)
		name(doctor.File{Key: key + "password-file", Path: u.PasswordFile, Secret: true})
		name(doctor.File{Key: key + "proxy-password-file", Path: u.ProxyPasswordFile, Secret: true})
		name(doctor.File{Key: key + "ca-file", Path: u.CAFile, Certificate: true, Authority: true})
		name(doctor.File{Key: key + "cert-file", Path: u.CertFile, Certificate: true})
		name(doctor.File{Key: key + "key-file", Path: u.KeyFile, Secret: true})
		o.Hosts = append(o.Hosts, hosts(u)...)
	}
	name(doctor.File{Key: "update.key", Path: c.Update.Key})
	slices.Sort(o.Hosts)
	o.Hosts = slices.Compact(o.Hosts)
	return o
}

// hosts returns the names of an uplink's endpoints that this machine must find
// by itself: not those behind a proxy, nor those that SRV records stand for.
func hosts(c uplink.Config) (all []string) {
	if c.Proxy != "" && c.Proxy != "none" || c.DNSServer != "" {
		return nil
	}
	for _, text := range c.Endpoints {
		if u, err := url.Parse(text); err == nil && u.Hostname() != "" && !strings.HasSuffix(u.Scheme, "+srv") {
			all = append(all, u.Hostname())
		}
	}
	return all
}

var levelColours = map[string]tty.Colour{
	doctor.OK: tty.Green, doctor.Info: tty.Faint, doctor.Attention: tty.Yellow, doctor.Trouble: tty.Red,
}

func writeFindings(out io.Writer, found []doctor.Finding) {
	paint := tty.NewPaint(out)
	width, _ := tty.Size(out)
	const indent = "                          "
	count := map[string]int{}
	for _, f := range found {
		count[f.Level]++
		fmt.Fprintf(out, "%s %-13s  %s\n", paint.In(levelColours[f.Level], fmt.Sprintf("%-9s", f.Level)), f.About,
			tty.Wrap(tty.Safe(f.What), width-len(indent), indent))
		if f.Do != "" {
			fmt.Fprintf(out, "%s%s\n", indent, paint.In(tty.Bold, tty.Wrap("→ "+f.Do, width-len(indent), indent)))
		}
	}
	switch {
	case count[doctor.Trouble] > 0:
		fmt.Fprintf(out, "\n%s\n", paint.In(tty.Red, fmt.Sprintf("Trouble: %d. For attention: %d.", count[doctor.Trouble], count[doctor.Attention])))
	case count[doctor.Attention] > 0:
		fmt.Fprintf(out, "\n%s\n", paint.In(tty.Yellow, fmt.Sprintf("No trouble. For attention: %d.", count[doctor.Attention])))
	default:
		fmt.Fprintf(out, "\n%s\n", paint.In(tty.Green, "This machine is well."))
	}
}
