package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"

	"tidegate/cmd/tidegate/internal/control"
	"tidegate/cmd/tidegate/internal/tty"
	"tidegate/edge/console"
)

// mays are what a device may do, in a word: the same that the page offers. NAME is
// the device's.
var mays = map[string]control.NewUser{
	"own":    {Publish: []string{"home/NAME/#"}, Subscribe: []string{"home/NAME/#"}},
	"hub":    {Publish: []string{"NAME/#", "+/NAME/#", "homeassistant/#", "tasmota/discovery/#"}, Subscribe: []string{"NAME/#", "+/NAME/#", "homeassistant/status", "cmnd/#"}},
	"listen": {Subscribe: []string{"#"}},
	"all":    {Publish: []string{"#"}, Subscribe: []string{"#"}},
}

const (
	mayUsage = "what it may do, `WORD`: own (home/NAME/#), hub (Zigbee2MQTT, ESPHome, Tasmota, with discovery), listen (hear everything) or all"
	mayWords = "-may is own, hub, listen or all"
)

// filterList is a flag that may be given more than once.
type filterList []string

func (l *filterList) String() string     { return strings.Join(*l, " ") }
func (l *filterList) Set(s string) error { *l = append(*l, s); return nil }

// addDevice lets a device in and tells its password.
func addDevice(env environment, args []string) int {
	f := newDeviceFlags(env, "device add")
	may := f.String("may", "own", mayUsage)
	var publish, subscribe filterList
	f.Var(&publish, "publish", "a topic `FILTER` that it may publish to; again for more, and instead of -may")
	f.Var(&subscribe, "subscribe", "a topic `FILTER` that it may subscribe to; again for more, and instead of -may")
	role := f.String("console", "", "for a person: the `ROLE` in the console, read or admin")
	f.withCode()
	if code, ok := f.parse(args, 1, 1); !ok {
		return code
	}
	ask, known := mays[*may]
	if !known {
		return f.misused(mayWords)
	}
	ask.Name, ask.Console = f.Arg(0), *role
	ask.Publish, ask.Subscribe = named(ask.Publish, ask.Name), named(ask.Subscribe, ask.Name)
	if len(publish)+len(subscribe) > 0 {
		ask.Publish, ask.Subscribe = publish, subscribe
	}
	return f.ask(func(ctx context.Context, c *control.Client) error {
		var made control.Password
		if err := c.Do(ctx, "POST", "/v1/users", ask, &made); err != nil {
			return err
		}
		if f.json {
			return writeJSON(env.out, made)
		}
		s, err := c.Status(ctx)
		if err != nil {
			return err
		}
		return f.tell(made.Name+" may connect now.", made, placesOf(s.Home.Listeners, ask, made.Password))
	})
}

func named(filters []string, name string) (out []string) {
	for _, f := range filters {
		out = append(out, strings.ReplaceAll(f, "NAME", name))
	}
	return out
}

// permitDevice changes what a device or a person may do, and leaves what is not named.
func permitDevice(env environment, args []string) int {
	f := newDeviceFlags(env, "device permit")
	may := f.String("may", "", mayUsage)
	var publish, subscribe filterList
	f.Var(&publish, "publish", "a topic `FILTER` that it may publish to; again for more, '' for nothing; its others end")
	f.Var(&subscribe, "subscribe", "a topic `FILTER` that it may subscribe to; again for more, '' for nothing; its others end")
	role := f.String("console", "", "the `ROLE` of a person in the console: read, admin or none")
	if code, ok := f.parse(args, 1, 1); !ok {
		return code
	}
	var ask control.UserChange
	if *may != "" {
		all, known := mays[*may]
		if !known {
			return f.misused(mayWords)
		}
		ask.Publish, ask.Subscribe = filtersFor(named(all.Publish, f.Arg(0))), filtersFor(named(all.Subscribe, f.Arg(0)))
	}
	if publish != nil {
		ask.Publish = filtersFor(publish)
	}
	if subscribe != nil {
		ask.Subscribe = filtersFor(subscribe)
	}
	if *role != "" {
		word := strings.TrimSuffix(*role, "none")
		ask.Console = &word
	}
	if ask == (control.UserChange{}) {
		return f.misused("say what it may do: -may, -publish, -subscribe or -console")
	}
	return f.ask(func(ctx context.Context, c *control.Client) error {
		var note control.Note
		if err := c.Do(ctx, "PUT", "/v1/users/"+url.PathEscape(f.Arg(0)), ask, &note); err != nil {
			return err
		}
		if f.json {
			return writeJSON(env.out, note)
		}
		_, err := fmt.Fprintln(env.out, f.Arg(0)+" may do this from now on; tidegate device list shows it.")
		return err
	})
}

// filtersFor leaves out empty filters. The list is there when nothing is left, too:
// then nothing may be done.
func filtersFor(filters []string) *[]string {
	list := []string{}
	for _, one := range filters {
		if one != "" {
			list = append(list, one)
		}
	}
	return &list
}

// listDevices lists who may come in.
func listDevices(env environment, args []string) int {
	f := newDeviceFlags(env, "device list")
	if code, ok := f.parse(args, 0, 0); !ok {
		return code
	}
	return f.ask(func(ctx context.Context, c *control.Client) error {
		var raw json.RawMessage
		if err := c.Get(ctx, "/v1/users", &raw); err != nil {
			return err
		}
		if f.json {
			return writeJSON(env.out, raw)
		}
		var all control.Users
		if err := json.Unmarshal(raw, &all); err != nil {
			return err
		}
		return listUsers(env.out, &all)
	})
}

func listUsers(out io.Writer, all *control.Users) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if len(all.Users) > 0 {
		fmt.Fprintln(w, "name\tconnections\tpublishes to\tsubscribes to\tconsole\tkept")
	}
	for _, u := range all.Users {
		list := func(filters []string) string { return cmp.Or(tty.Safe(strings.Join(filters, " ")), "-") }
		kept := map[string]string{"here": "here", "file": "users file"}[u.Kept]
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", tty.Safe(u.Name), u.Connected, list(u.Publish), list(u.Subscribe), cmp.Or(u.Console, "-"), kept)
	}
	err := w.Flush()
	if all.Fault != "" {
		fmt.Fprintln(out, "Users who were added here cannot log in, because their file is damaged: "+all.Fault)
		fmt.Fprintln(out, "Put it right or restore a backup, then: sudo systemctl reload tidegate")
	} else if len(all.Users) == 0 {
		fmt.Fprintln(out, "There are no users. Add one: tidegate device add NAME")
	}
	if all.Open {
		fmt.Fprintln(out, "Devices without a password may come in as well: a listener says anonymous = true.")
	}
	return err
}

// removeDevice sends a device away for good.
func removeDevice(env environment, args []string) int {
	f := newDeviceFlags(env, "device remove")
	if code, ok := f.parse(args, 1, 1); !ok {
		return code
	}
	return f.ask(func(ctx context.Context, c *control.Client) error {
		var note control.Note
		if err := c.Do(ctx, "DELETE", "/v1/users/"+url.PathEscape(f.Arg(0)), nil, &note); err != nil {
			return err
		}
		if f.json {
			return writeJSON(env.out, note)
		}
		_, err := fmt.Fprintln(env.out, strings.TrimSpace(f.Arg(0)+" was removed. "+note.Note))
		return err
	})
}

// renewDevice gives a device or a person another password.
func renewDevice(env environment, args []string) int {
	f := newDeviceFlags(env, "device passwd")
	read := f.Bool("read", false, "take the password from standard input, one line; otherwise one is made")
	f.withCode()
	if code, ok := f.parse(args, 1, 1); !ok {
		return code
	}
	chosen := struct {
		Password string `json:"password"`
	}{}
	if *read {
		line, err := bufio.NewReader(io.LimitReader(env.in, 4096)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return failed(env, exitUsage, err)
		}
		if chosen.Password = strings.TrimRight(line, "\r\n"); chosen.Password == "" {
			return f.misused("-read wants the password on standard input, as one line that is not empty")
		}
	}
	return f.ask(func(ctx context.Context, c *control.Client) error {
		var made control.Password
		if err := c.Do(ctx, "POST", "/v1/users/"+url.PathEscape(f.Arg(0))+"/password", chosen, &made); err != nil {
			return err
		}
		if f.json {
			return writeJSON(env.out, made)
		}
		if *read {
			_, err := fmt.Fprintln(env.out, made.Name+" has the new password.")
			return err
		}
		return f.tell(made.Name+" has a new password; the old one has ended.", made, nil)
	})
}

// deviceFlags are what the commands about devices have in common.
type deviceFlags struct {
	*socketFlags
	json, qr bool
}

func newDeviceFlags(env environment, name string) *deviceFlags {
	f := &deviceFlags{socketFlags: newSocketFlags(env, name)}
	f.BoolVar(&f.json, "json", false, "as JSON")
	return f
}

func (f *deviceFlags) withCode() {
	f.BoolVar(&f.qr, "qr", false, "draw the password as a QR code, for a telephone")
}

// ask calls do with the running gateway.
func (f *deviceFlags) ask(do func(ctx context.Context, c *control.Client) error) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	c, err := f.dial()
	if err != nil {
		return failed(f.env, exitUsage, err)
	}
	defer c.Close()
	if err := do(ctx, c); err != nil {
		return failed(f.env, exitBad, err)
	}
	return exitOK
}

// tell shows a password, with more lines of what to write into the device.
func (f *deviceFlags) tell(what string, made control.Password, more []string) error {
	out := f.env.out
	fmt.Fprintf(out, "%s This password is shown once:\n\n  user      %s\n  password  %s\n", what, made.Name, made.Password)
	for _, line := range more {
		fmt.Fprintln(out, line)
	}
	if f.qr {
		code, err := console.TextQR(made.Password)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "\n%s", code)
	}
	if made.Note != "" {
		fmt.Fprintf(out, "\n%s\n", made.Note)
	}
	return nil
}

// placesOf are lines that say where a device connects, and how to try it.
func placesOf(listeners []control.Listener, u control.NewUser, password string) (lines []string) {
	try := ""
	for _, l := range listeners {
		host, port, err := net.SplitHostPort(l.Address)
		if err != nil || l.Protocol != "tcp" && l.Protocol != "tls" {
			continue
		}
		if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
			host = ownAddress()
		}
		name := map[string]string{"tcp": "host      %s, port %s", "tls": "host      %s, port %s with TLS"}[l.Protocol]
		lines = append(lines, fmt.Sprintf("  "+name, host, port))
		if try == "" && l.Protocol == "tcp" && len(u.Publish) > 0 {
			topic := strings.NewReplacer("#", "test", "+", "test").Replace(u.Publish[0])
			try = fmt.Sprintf("\nTry it:\n  mosquitto_pub -h %s -p %s -u %s -P %s -q 1 -t '%s' -m hello", host, port, u.Name, password, topic)
		}
	}
	if try != "" {
		lines = append(lines, try)
	}
	return lines
}

// ownAddress is one by which the home reaches this machine.
func ownAddress() string {
	all, err := net.InterfaceAddrs()
	if err == nil {
		for _, a := range all {
			if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
				return n.IP.String()
			}
		}
	}
	return "localhost"
}
