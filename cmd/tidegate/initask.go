package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"tidegate/cmd/tidegate/internal/ask"
	"tidegate/internal/conf"
	"tidegate/internal/topic"
)

// line asks for what the flag did not give. good says what is wrong with an
// answer: a person is asked again, a pipe is not.
func (h *firstHour) line(to *string, flag, question, preset string, good func(string) error) error {
	for given := h.given[flag]; ; given = false {
		text := *to
		if !given {
			var err error
			if text, err = h.ask.Line(question, preset); errors.Is(err, ask.ErrNoAnswer) {
				return fmt.Errorf("%s: nobody answers; say it with -%s", question, flag)
			} else if err != nil {
				return err
			}
		}
		text = strings.TrimSpace(text)
		wrong := good(text)
		if wrong == nil {
			*to = text
			return nil
		}
		if given {
			return fmt.Errorf("-%s %q: %w", flag, text, wrong)
		}
		h.say("%q: %v", text, wrong)
		preset = ""
	}
}

func (h *firstHour) askName() error {
	preset := GatewayConfig{}.id()
	return h.line(&h.id, "id", "Name of this gateway", preset, func(text string) error {
		if len(GatewayConfig{ID: text, DataDir: "/", LogLevel: "info", LogFormat: "text", WearPerDay: 1 << 30, WearBurst: 1 << 30}.check()) > 0 || text == "" {
			return fmt.Errorf("a name has 1 to %d letters, digits, dots, - or _", mostID)
		}
		return nil
	})
}

func (h *firstHour) askCloud() error {
	if h.local {
		return nil
	}
	err := h.line(&h.cloud, "cloud", "Address of your cloud's MQTT broker, such as broker.example.com (empty: none yet)", "", func(text string) error {
		h.cloud = text
		for _, p := range h.problems("endpoints") {
			return fmt.Errorf("it must be %s; %s", p.Rule, p.Hint)
		}
		return nil
	})
	if h.local = err == nil && h.cloud == ""; h.local {
		h.say("No cloud then: the broker at home works without. Run tidegate init again when you have one.")
	}
	return err
}

// problems are those of the uplink with a key.
func (h *firstHour) problems(key string) (found []conf.Problem) {
	if h.cloud == "" {
		return nil
	}
	for _, p := range h.uplinkConfig("").Check() {
		if strings.HasPrefix(p.Key, key) {
			found = append(found, p)
		}
	}
	return found
}

func (h *firstHour) askLogin() error {
	if h.local {
		return nil
	}
	for _, f := range []struct{ flag, path string }{{"ca", h.ca}, {"cert", h.cert}, {"key", h.key}} {
		if f.path != "" && !mayRead(f.path) {
			return fmt.Errorf("-%s %s: there is no such file, or you may not read it", f.flag, f.path)
		}
	}
	if h.cert != "" && !h.given["user"] {
		h.given["user"] = true // the certificate says who it is
	}
	if err := h.line(&h.user, "user", "Name to log in with there (empty: none)", "", func(string) error { return nil }); err != nil || h.user == "" {
		return err
	}
	var err error
	switch h.passwordFile {
	case "":
		h.password, err = h.ask.Secret("Password (it is not shown)")
	case "-":
		h.password, err = h.ask.Secret("Password on standard input")
	default:
		h.password, err = firstLine(h.passwordFile)
	}
	if errors.Is(err, ask.ErrNoAnswer) || err == nil && h.password == "" {
		return fmt.Errorf("user %s has no password: write it into a file and name that with -password-file, or type it", h.user)
	}
	return err
}

func firstLine(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 64<<10))
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimRight(line, "\r"), err
}

func (h *firstHour) askTopics() error {
	if h.local {
		return nil
	}
	return h.line(&h.up, "up", "Which topics go to the cloud, as a filter such as home/# (#: all)", "#", func(text string) error {
		if !topic.ValidFilter(text) {
			return errors.New(`a filter is a topic in which + stands for one level and # at the end for all below, such as home/#`)
		}
		return nil
	})
}

// askDevices asks who may connect at home. Users that are there already stay.
func (h *firstHour) askDevices() error {
	if h.open || mayRead(h.usersFile()) {
		return nil
	}
	return h.line(&h.device, "device", "Name for your devices to log in with; a password is made for it", "home", func(text string) error {
		if strings.Trim(text, idBytes) != "" || text == "" {
			return errors.New("letters, digits, dots, - and _ only")
		}
		return nil
	})
}
