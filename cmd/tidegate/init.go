package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"tidegate/cmd/tidegate/internal/ask"
	"tidegate/edge"
	"tidegate/internal/conf"
	"tidegate/uplink"
)

// firstHour asks for what a gateway needs to know, tries it, and writes the
// configuration. What a flag says is not asked.
type firstHour struct {
	env environment
	ask *ask.Asker

	config, boot, owner        string
	cloud, user, passwordFile  string
	ca, cert, key              string
	id, up, device             string
	local, open, yes, untested bool

	password       string
	devicePassword string
	given          map[string]bool // flags
}

func initCommand(env environment, args []string) int {
	h := &firstHour{env: env, ask: ask.New(env.in, env.out), given: map[string]bool{}}
	f := newFlags(env, "init")
	f.StringVar(&h.config, "config", defaultConfig, "the configuration `file` to write; passwords lie beside it")
	f.StringVar(&h.cloud, "cloud", "", "the `address` of the cloud's broker, such as mqtts://broker.example.com:8883; several with commas")
	f.StringVar(&h.user, "user", "", "the `name` to log in with there")
	f.StringVar(&h.passwordFile, "password-file", "", "a `file` with the password in its first line; -: standard input")
	f.StringVar(&h.ca, "ca", "", "a PEM `file` with the cloud's own authority")
	f.StringVar(&h.cert, "cert", "", "a PEM `file` with the certificate to log in with")
	f.StringVar(&h.key, "key", "", "a PEM `file` with its key")
	f.StringVar(&h.id, "id", "", "the `name` of the gateway in the cloud (the host name)")
	f.StringVar(&h.up, "up", "", "which topics go to the cloud, as a `filter` (#: all)")
	f.StringVar(&h.device, "device", "", "a `name` for devices to log in with (home)")
	f.StringVar(&h.boot, "boot", "", "read address, name and password from tidegate.toml and cloud-password in this `folder`")
	f.StringVar(&h.owner, "owner", "tidegate", "the `user` that runs the gateway, who must read the passwords")
	f.BoolVar(&h.local, "local", false, "no cloud, only the broker at home")
	f.BoolVar(&h.open, "open", false, "let devices in without a password")
	f.BoolVar(&h.yes, "yes", false, "write over a configuration that is there; the old one is kept as .before-init")
	f.BoolVar(&h.untested, "no-test", false, "do not try the connection to the cloud")
	if code, ok := f.parse(args, 0, 0); !ok {
		return code
	}
	f.Visit(func(f *flag.Flag) { h.given[f.Name] = true })
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	switch err := h.run(ctx); {
	case errors.Is(err, errLeft):
		fmt.Fprintln(env.out, "Nothing was changed.")
		return exitBad
	case err != nil:
		return failed(env, exitBad, withSudo(err))
	}
	return exitOK
}

var errLeft = errors.New("left as it was")

func (h *firstHour) run(ctx context.Context) error {
	if err := h.mayWrite(); err != nil {
		return err
	}
	if h.boot != "" {
		if err := h.fromBoot(); err != nil {
			return err
		}
	}
	for _, step := range []func() error{h.askName, h.askCloud, h.askLogin, h.askTopics} {
		if err := step(); err != nil {
			return err
		}
	}
	if err := h.tryCloud(ctx); err != nil {
		return err
	}
	if err := h.askDevices(); err != nil {
		return err
	}
	if err := h.write(); err != nil {
		return err
	}
	h.next()
	return nil
}

func (h *firstHour) say(format string, args ...any) { fmt.Fprintf(h.env.out, format+"\n", args...) }

// mayWrite asks before anything else is asked.
func (h *firstHour) mayWrite() error {
	old, err := os.ReadFile(h.config)
	if errors.Is(err, os.ErrNotExist) || h.yes && err == nil {
		return nil
	} else if err != nil {
		return err
	}
	question := fmt.Sprintf("%s is there already. Replace it? It is kept as %s", h.config, filepath.Base(h.kept()))
	untouched := string(old) == sample
	if untouched {
		question = fmt.Sprintf("%s is as it was installed. Replace it?", h.config)
	}
	if yes, err := h.ask.Yes(question, untouched); err != nil || !yes {
		return errors.Join(err, errLeft)
	}
	return nil
}

func (h *firstHour) kept() string { return h.config + ".before-init" }

// fromBoot takes what the files of an image's boot partition say.
func (h *firstHour) fromBoot() error {
	name := filepath.Join(h.boot, "tidegate.toml")
	text, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("%w; -boot names the folder that has tidegate.toml", err)
	}
	c, _ := parse(text, func(Config) []conf.Problem { return nil })
	if len(c.Uplink) == 0 || len(c.Uplink[0].Endpoints) == 0 {
		return fmt.Errorf("%s names no cloud: take the \"#\" off the lines of [[uplink]] and write your own", name)
	}
	u := c.Uplink[0]
	fill := func(to *string, flag, value string) {
		if !h.given[flag] && value != "" {
			*to, h.given[flag] = value, true
		}
	}
	fill(&h.cloud, "cloud", strings.Join(u.Endpoints, ","))
	fill(&h.user, "user", u.User)
	fill(&h.id, "id", c.Gateway.ID)
	here := func(path string) string {
		if beside := filepath.Join(h.boot, filepath.Base(path)); path != "" && mayRead(beside) {
			return beside
		}
		return path
	}
	fill(&h.passwordFile, "password-file", here(u.PasswordFile))
	fill(&h.ca, "ca", here(u.CAFile))
	fill(&h.cert, "cert", here(u.CertFile))
	fill(&h.key, "key", here(u.KeyFile))
	if len(u.Up) > 0 {
		fill(&h.up, "up", u.Up[0].Filter)
	}
	return nil
}

func mayRead(path string) bool {
	f, err := os.Open(path)
	if err == nil {
		f.Close()
	}
	return err == nil
}

// next says what to do now.
func (h *firstHour) next() {
	host, _ := os.Hostname()
	h.say("\nNow:  sudo systemctl restart tidegate")
	h.say("Then connect a device: host %s.local (or this machine's address), port 1883,", host)
	switch {
	case h.open:
		h.say("without a user and password.")
	case h.devicePassword != "":
		h.say("user %s, password %s (it is not shown again).", h.device, h.devicePassword)
	default:
		h.say("with a user of %s.", h.usersFile())
	}
	h.say("journalctl -u tidegate -f shows who connects, and who is turned away and why.")
}

// hashOf makes a password that nobody can guess.
func (h *firstHour) hashOf() string {
	var hash string
	h.devicePassword, hash = edge.GeneratePassword()
	return hash
}

// endpoints are the addresses of the cloud as URLs.
func (h *firstHour) endpoints() (all []string) {
	for text := range strings.SplitSeq(h.cloud, ",") {
		if text = strings.TrimSpace(text); text != "" {
			all = append(all, withScheme(text))
		}
	}
	return all
}

// withScheme makes a URL of what people write: a host has TLS, unless its port
// says that it has not.
func withScheme(text string) string {
	switch {
	case strings.Contains(text, "://"):
		return text
	case strings.HasSuffix(text, ":1883"):
		return "mqtt://" + text
	case strings.HasSuffix(text, ":443"):
		return "wss://" + text
	}
	return "mqtts://" + text
}

// uplinkConfig is the uplink that will be written, with the password in a file.
func (h *firstHour) uplinkConfig(password string) uplink.Config {
	c := uplink.DefaultConfig()
	c.Endpoints, c.User, c.PasswordFile, c.CAFile, c.CertFile, c.KeyFile = h.endpoints(), h.user, password, h.ca, h.cert, h.key
	c.Up = []uplink.Up{{Filter: h.up, Add: h.id + "/"}}
	c.Canary = false // the gateway works where none may fly
	c.Down = []uplink.Down{{Filter: h.id + "/commands/#", Strip: h.id + "/"}}
	return c
}
