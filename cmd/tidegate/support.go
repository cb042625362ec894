package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"tidegate/cmd/tidegate/internal/bundle"
	"tidegate/cmd/tidegate/internal/redact"
	"tidegate/cmd/tidegate/internal/show"
	"tidegate/internal/conf"
)

// makeSupport writes one file for whoever helps, without secrets.
func makeSupport(env environment, args []string) int {
	f := newFlags(env, "support")
	config := f.String("config", defaultConfig, "the configuration `FILE`")
	if code, ok := f.parse(args, 0, 1); !ok {
		return code
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	s := newSupport(ctx, *config, keepers)
	name := f.Arg(0)
	if name == "" {
		name = fmt.Sprintf("tidegate-support-%s-%s.tar.gz", s.cfg.Gateway.id(), time.Now().UTC().Format("20060102-150405"))
	}
	parts, err := bundle.Write(name, s.scrub, s.parts())
	if err != nil {
		return failed(env, exitBad, withSudo(err))
	}
	fmt.Fprintf(env.out, "%s has:\n\n", name)
	for _, p := range parts {
		fmt.Fprintf(env.out, "  %-16s %8s  %s\n", p.Name, show.Size(int64(p.Size)), p.About)
	}
	fmt.Fprintf(env.out, "\nPasswords, keys and tokens were taken out; names of devices, topics and addresses\nare in it. Look before you send it: tar -xzOf %s | less\n", name)
	if os.Geteuid() != 0 {
		fmt.Fprintln(env.out, "Not all could be looked at: with sudo there is more in it.")
	}
	return exitOK
}

// support gathers what somebody needs who helps from afar.
type support struct {
	ctx   context.Context
	file  string
	text  []byte // of the configuration
	cfg   Config
	scrub *redact.Scrubber
}

func newSupport(ctx context.Context, file string, keepers []string) *support {
	s := &support{ctx: ctx, file: file, cfg: DefaultConfig(), scrub: new(redact.Scrubber)}
	s.text, _ = os.ReadFile(file)
	if s.text != nil {
		s.cfg, _ = parse(s.text, func(Config) []conf.Problem { return nil })
	}
	for _, f := range doctorOptions(s.cfg, file).Files {
		if text, err := os.ReadFile(f.Path); err == nil && f.Secret {
			s.scrub.AddFile(text)
		}
	}
	for _, pattern := range keepers {
		all, _ := filepath.Glob(pattern) // the patterns are good
		for _, name := range all {
			if text, err := os.ReadFile(name); err == nil {
				s.scrub.AddSettings(text)
			}
		}
	}
	s.scrub.AddSettings(s.text)
	return s
}

// keepers are files of the system that hold secrets which programs may write
// into their logs.
var keepers = []string{
	"/etc/NetworkManager/system-connections/*", "/etc/wpa_supplicant/*.conf", "/data/system/wifi/*.conf", "/var/lib/iwd/*.psk",
	"/boot/firmware/wifi.txt", "/boot/wifi.txt", "/boot/firmware/cloud-password", "/boot/firmware/backup-password.txt",
}

// mostPart bounds one part, in bytes; of a log the end is kept.
const mostPart = 2 << 20

func (s *support) parts() []bundle.Part {
	return []bundle.Part{
		{Name: "version.txt", About: "version, machine, system", Make: s.version},
		{Name: "doctor.txt", About: "what tidegate doctor finds", Make: s.doctor},
		{Name: "status.txt", About: "what tidegate status says", Make: s.status},
		{Name: "status.json", About: "the same for programs", Make: s.ask("/v1/status")},
		{Name: "stats.json", About: "every number of the gateway", Make: s.ask("/v1/stats")},
		{Name: "history.json", About: "the links and the flow of the last hours", Make: s.ask("/v1/history")},
		{Name: "config.toml", About: "the configuration, without comments and secrets", Make: s.config},
		{Name: "check.txt", About: "what tidegate check says of it", Make: s.check},
		{Name: "log.txt", About: "the last lines of the gateway's log", Make: s.log},
		{Name: "kernel.txt", About: "the last lines of the kernel's log", Make: s.kernel},
		{Name: "units.txt", About: "the units of the gateway", Make: s.units},
		{Name: "hardware.txt", About: "what tidegate hw scan finds", Make: s.hardware},
		{Name: "spool.txt", About: "what waits for the cloud: counts, no messages", Make: s.spool},
	}
}

// inside runs a command of this program and returns what it prints, errors too.
func inside(run func(environment, []string) int, args ...string) (string, error) {
	var b strings.Builder
	run(environment{in: strings.NewReader(""), out: &b, err: &b}, args)
	return b.String(), nil
}

func (s *support) version() (string, error) {
	text, err := inside(printVersion)
	for _, name := range []string{"/proc/device-tree/model", "/proc/version", "/etc/os-release", "/proc/uptime", "/proc/loadavg", "/proc/meminfo", "/proc/mounts"} {
		if b, e := os.ReadFile(name); e == nil {
			text += "\n" + name + ":\n" + strings.Trim(string(b), "\x00\n") + "\n"
		}
	}
	return text, err
}

func (s *support) doctor() (string, error) {
	var b strings.Builder
	writeFindings(&b, examined(s.ctx, s.file))
	return b.String(), nil
}

func (s *support) status() (string, error) { return inside(showStatus, "-config", s.file) }

// ask returns what the running gateway says to a path.
func (s *support) ask(path string) func() (string, error) {
	return func() (string, error) {
		f := newSocketFlags(environment{}, "support")
		if err := f.Parse([]string{"-config", s.file}); err != nil {
			return "", err
		}
		c, err := f.dial()
		if err != nil {
			return "", err
		}
		defer c.Close()
		ctx, cancel := context.WithTimeout(s.ctx, 10*time.Second)
		defer cancel()
		return raw(ctx, c, path)
	}
}

// config writes the keys of the configuration and nothing else: who comments
// out a password, or writes one where none belongs, did not mean to send it.
func (s *support) config() (string, error) {
	if s.text == nil {
		_, err := os.ReadFile(s.file)
		return "", err
	}
	doc, broken := index(s.text)
	var b strings.Builder
	for i := range doc.entries {
		e := &doc.entries[i]
		switch text := strings.TrimSpace(string(s.text[e.start:e.end])); {
		case e.inner:
		case e.header():
			fmt.Fprintf(&b, "\n%s\n", text)
		default:
			key, _, _ := strings.Cut(text, "=")
			fmt.Fprintf(&b, "%s= %s\n", key, s.value(e.path, doc.value(e)))
		}
	}
	if broken != nil {
		fmt.Fprintf(&b, "\n# what follows is no TOML (%s) and was left out\n", broken.what)
	}
	return b.String(), nil
}

// value hides that of a key that is called like a secret and is no file's name.
func (s *support) value(key, value string) string {
	if strings.HasSuffix(key, "-file") || strings.HasPrefix(value, `"/`) {
		return redact.URLs(value)
	}
	if shown(key, value) != value {
		return `"` + redact.Mark + `"`
	}
	return redact.URLs(value)
}

func (s *support) check() (string, error) { return inside(check, s.file) }

// log is that of the unit, or what the running gateway keeps of its own.
func (s *support) log() (string, error) {
	text, err := s.output("journalctl", "--unit=tidegate*", "--lines=3000", "--no-pager", "--output=short-iso", "--quiet")
	if err == nil && text != "" {
		return text, nil
	}
	kept, kerr := s.ask("/v1/log")()
	if kerr != nil {
		return text, errors.Join(err, kerr)
	}
	return kept, nil
}

func (s *support) kernel() (string, error) {
	text, err := s.output("dmesg")
	if err != nil {
		return s.output("journalctl", "--dmesg", "--lines=1000", "--no-pager", "--quiet")
	}
	return text, nil
}

func (s *support) units() (string, error) {
	list, err := s.output("systemctl", "list-units", "--all", "--no-pager", "--plain", "tidegate*")
	if err != nil {
		return "", err
	}
	failing, _ := s.output("systemctl", "list-units", "--failed", "--no-pager", "--plain")
	properties, _ := s.output("systemctl", "show", "tidegate.service", "--property=LoadState,ActiveState,SubState,Result,NRestarts,ExecMainStatus,ExecMainStartTimestamp,MemoryCurrent,UnitFileState,DropInPaths,FragmentPath")
	return list + "\nfailed units:\n" + failing + "\ntidegate.service:\n" + properties, nil
}

func (s *support) hardware() (string, error) { return inside(scanHardware) }

func (s *support) spool() (string, error) { return inside(statSpool, "-config", s.file) }
