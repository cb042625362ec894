package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"tidegate/cmd/tidegate/internal/card"
	"tidegate/edge"
	"tidegate/edge/console"
	"tidegate/hw"
	"tidegate/internal/conf"
	"tidegate/uplink"
)

// Config is the whole configuration file. Each package owns its section.
type Config struct {
	Gateway GatewayConfig   `toml:"gateway"`
	Edge    edge.Config     `toml:"edge"`
	Uplink  []uplink.Config `toml:"uplink"`
	HW      hw.Config       `toml:"hw"`
	Update  UpdateConfig    `toml:"update"`
	Card    card.Config     `toml:"card"`
	Console console.Config  `toml:"console"`
}

// GatewayConfig is the section [gateway]: what concerns the process.
type GatewayConfig struct {
	ID         string    `toml:"id"`           // "": the host name
	DataDir    string    `toml:"data-dir"`     // everything the gateway writes
	LogLevel   string    `toml:"log-level"`    // debug, info, warn, error
	LogFormat  string    `toml:"log-format"`   // text, json
	WearPerDay conf.Size `toml:"wear-per-day"` // bytes a day that may go to the card in haste
	WearBurst  conf.Size `toml:"wear-burst"`   // bytes of that at once
	ResetLine  string    `toml:"reset-line"`   // GPIO line; held at boot of the image: factory reset. "": none
}

// DefaultConfig is what an empty file means.
func DefaultConfig() Config {
	return Config{
		Gateway: GatewayConfig{
			DataDir: "/var/lib/tidegate", LogLevel: "info", LogFormat: "text",
			WearPerDay: 1 << 30, WearBurst: 256 << 20,
		},
		Edge: edge.DefaultConfig(),
		HW:   hw.DefaultConfig(),
		Card: card.DefaultConfig(),

		Console: console.DefaultConfig(),
	}
}

// Check returns everything wrong with c, with keys as in the file.
func (c Config) Check() []conf.Problem {
	all := under("gateway", c.Gateway.check())
	all = append(all, under("edge", c.Edge.Check())...)
	names := map[string]int{}
	for i, u := range c.Uplink {
		section := fmt.Sprintf("uplink[%d]", i)
		all = append(all, under(section, u.Check())...)
		if first, taken := names[u.Name]; taken {
			all = append(all, conf.Problem{Key: section + ".name", Value: strconv.Quote(u.Name), Rule: "unique",
				Hint: fmt.Sprintf("uplink[%d] has this name already", first)})
		} else {
			names[u.Name] = i
		}
		for j, other := range c.Uplink[:i] {
			if rivals(u, other) {
				all = append(all, conf.Problem{Key: section + ".client-id", Value: strconv.Quote(u.ClientID), Rule: fmt.Sprintf("another than that of uplink[%d]", j),
					Hint: "both connect to the same endpoint, which would end one for the other for ever"})
			}
		}
	}
	all = append(all, under("update", c.Update.check())...)
	all = append(all, under("hw", c.HW.Check())...)
	all = append(all, under("card", c.Card.Check())...)
	return append(all, under("console", c.Console.Check())...)
}

// rivals says whether two uplinks would take each other's client ids.
func rivals(a, b uplink.Config) bool {
	return a.ClientID == b.ClientID && a.SingleClient == b.SingleClient && a.Meets(b)
}

// checkAll is Check with all that is wrong inside the files that c names.
func (c Config) checkAll() []conf.Problem {
	all := append(c.Check(), under("update", c.Update.checkFiles())...)
	all = append(all, under("console", c.Console.CheckFiles())...)
	return append(all, under("edge", c.Edge.CheckFiles(true))...)
}

// checkStart is checkAll without what the gateway can start with.
func (c Config) checkStart() []conf.Problem {
	return append(c.Check(), under("edge", c.Edge.CheckFiles(false))...)
}

// under makes keys relative to a section into keys of the file.
func under(section string, problems []conf.Problem) []conf.Problem {
	for i := range problems {
		problems[i].Key = section + "." + problems[i].Key
	}
	return problems
}

// mostID is the longest gateway id. Links are called ID-u0, and a load balancer
// that is sticky by client id compares the first 32 bytes (HAProxy's default).
const mostID = 27

func (c GatewayConfig) check() []conf.Problem {
	var all []conf.Problem
	bad := func(wrong bool, key, value, rule, hint string) {
		if wrong {
			all = append(all, conf.Problem{Key: key, Value: value, Rule: rule, Hint: hint})
		}
	}
	id := c.id()
	bad(strings.Trim(id, idBytes) != "" || id == "" || len(id) > mostID, "id", strconv.Quote(id),
		fmt.Sprintf("1 to %d letters, digits, dots, - or _", mostID), "it begins the client id of every link to the cloud; no two gateways may share it")
	bad(!filepath.IsAbs(c.DataDir), "data-dir", strconv.Quote(c.DataDir), "an absolute path", "")
	var level slog.Level
	bad(level.UnmarshalText([]byte(c.LogLevel)) != nil, "log-level", strconv.Quote(c.LogLevel), `"debug", "info", "warn" or "error"`, "")
	bad(c.LogFormat != "text" && c.LogFormat != "json", "log-format", strconv.Quote(c.LogFormat), `"text" or "json"`, "")
	bad(c.WearPerDay < 1<<20, "wear-per-day", strconv.Quote(c.WearPerDay.String()), "at least 1MiB", "")
	if c.ResetLine != "" {
		err := hw.CheckLine(c.ResetLine)
		bad(err != nil, "reset-line", strconv.Quote(c.ResetLine), "a line such as \"GPIO21\", \"P1_40\" or \"gpiochip0:21\"", "")
	}
	bad(c.WearBurst < 1<<20, "wear-burst", strconv.Quote(c.WearBurst.String()), "at least 1MiB", "")
	return all
}

const idBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"

// id returns the configured id, or the first label of the host name.
func (c GatewayConfig) id() string {
	if c.ID != "" {
		return c.ID
	}
	host, _ := os.Hostname()
	host, _, _ = strings.Cut(host, ".")
	return host
}
