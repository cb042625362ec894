package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"tidegate/cmd/tidegate/internal/show"
	"tidegate/internal/conf"
)

// The spool commands look at what lies on the card. They need no gateway, and
// disturb none.

// spoolFlags are what the spool commands have in common: where to look.
type spoolFlags struct {
	flags
	config string
	uplink string
	dir    string // set by the command from its arguments
}

func newSpoolFlags(env environment, name string) *spoolFlags {
	f := &spoolFlags{flags: newFlags(env, name)}
	f.StringVar(&f.config, "config", defaultConfig, "the configuration `FILE` that names the data directory")
	f.StringVar(&f.uplink, "uplink", "", "only the spool of the uplink with this `NAME`")
	return f
}

// spoolPlace is one uplink's spool.
type spoolPlace struct {
	uplink string
	path   string // a directory, or one file of it
}

const uplinkFolder = "uplink-" // and its name, in the data directory

// places returns the spools in f.dir, which may be a data directory, a spool's
// own or a file, or in the data directory of the configuration.
func (f *spoolFlags) places() ([]spoolPlace, error) {
	dir := f.dir
	if dir == "" {
		cfg, _, err := load(f.config, func(Config) []conf.Problem { return nil })
		if err != nil {
			return nil, err
		}
		dir = cfg.Gateway.DataDir
	}
	entries, err := os.ReadDir(dir)
	if info, e := os.Stat(dir); e == nil && !info.IsDir() {
		return []spoolPlace{{filepath.Base(filepath.Dir(dir)), dir}}, nil
	}
	if err != nil {
		return nil, withSudo(err)
	}
	var all []spoolPlace
	own := false // dir is a spool's
	for _, e := range entries {
		if name, ok := strings.CutPrefix(e.Name(), uplinkFolder); ok && e.IsDir() && (f.uplink == "" || f.uplink == name) {
			all = append(all, spoolPlace{name, filepath.Join(dir, e.Name())})
		}
		own = own || strings.HasSuffix(e.Name(), ".spool") || strings.HasPrefix(e.Name(), "dead-letters.")
	}
	name, folder := strings.CutPrefix(filepath.Base(dir), uplinkFolder)
	if len(all) == 0 && (own || folder) {
		return []spoolPlace{{name, dir}}, nil
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no spool in %s; the gateway makes one for each [[uplink]] at its first start: name the data directory, or its configuration with -config FILE", dir)
	}
	return all, nil
}

// plain makes text fit for a terminal.
func plain(text string) string {
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.QuoteToGraphic(text)
	}
	return text
}

const glance = 60 // bytes of a payload that are shown

// begins shows how a payload begins, fit for a terminal.
func begins(payload []byte) string {
	part, more := payload, ""
	if len(part) > glance {
		part, more = part[:glance], " ..."
		for i := 0; i < utf8.UTFMax && !utf8.Valid(part) && utf8.Valid(payload); i++ {
			part = part[:len(part)-1] // not in the middle of a letter
		}
	}
	if utf8.Valid(part) {
		return strconv.QuoteToGraphic(string(part)) + more
	}
	if len(part) > glance/3 {
		part, more = part[:glance/3], " ..."
	}
	return fmt.Sprintf("% x", part) + more
}

// ago tells an age as a person would, "-" for a time that nobody knows.
func ago(then, now time.Time) string {
	if then.IsZero() {
		return "-"
	}
	return show.Lasting(now.Sub(then).Seconds())
}
