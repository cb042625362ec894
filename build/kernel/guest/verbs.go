package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

func (g *guest) allVerbs() map[string]verb {
	return map[string]verb{
		"load":      {1, each(load)},
		"unload":    {1, each(unload)},
		"write":     {2, func(w []string) (string, error) { return "", write(w[0], w[1]) }},
		"read":      {1, read},
		"make":      {2, func(w []string) (string, error) { return "", create(w[0], w[1]) }},
		"mkdir":     {1, each(func(d string) error { return os.MkdirAll(d, 0o755) })},
		"rmdir":     {1, each(os.Remove)},
		"remove":    {1, each(os.Remove)},
		"list":      {1, list},
		"adapter":   {1, g.adapterVerb},
		"plug":      {2, g.plug},
		"unplug":    {1, g.unplug},
		"hold":      {2, g.hold},
		"lines":     {2, lines},
		"live":      {2, live},
		"pulse":     {3, pulse},
		"start":     {2, g.start},
		"stop":      {1, g.stop},
		"subscribe": {2, g.subscribe},
		"publish":   {3, publish},
		"address":   {2, setAddress},
		"mount":     {4, mount},
		"umount":    {1, each(func(d string) error { return unix.Unmount(d, 0) })},
		"direct":    {4, direct},
		"fill":      {2, fill},
		"free":      {1, free},
		"poweroff": {0, func([]string) (string, error) {
			g.poweroff()
			return "", errors.New("still on")
		}},
	}
}

// each does the same with every word.
func each(do func(string) error) func([]string) (string, error) {
	return func(words []string) (string, error) {
		for _, w := range words {
			if err := do(w); err != nil {
				return "", err
			}
		}
		return "", nil
	}
}

// load loads a module, "NAME" or "NAME PARAMETER=VALUE...", after those that it
// needs.
func load(what string) error {
	name, parameters, _ := strings.Cut(what, " ")
	name = strings.ReplaceAll(name, "-", "_")
	if _, err := os.Stat("/sys/module/" + name); err == nil {
		return nil
	}
	needs, err := os.ReadFile("/modules/" + name + ".needs")
	if err != nil {
		return err
	}
	for n := range strings.FieldsSeq(string(needs)) {
		if err := load(n); err != nil {
			return err
		}
	}
	f, err := os.Open("/modules/" + name + ".ko")
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), parameters, 0); err != nil {
		return fmt.Errorf("load %s: %w", name, err)
	}
	return nil
}

func unload(name string) error {
	if err := unix.DeleteModule(strings.ReplaceAll(name, "-", "_"), 0); err != nil {
		return fmt.Errorf("unload %s: %w", name, err)
	}
	return nil
}

func write(file, text string) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

func read(words []string) (string, error) {
	data, err := os.ReadFile(words[0])
	return strings.TrimSpace(string(data)), err
}

func create(file, text string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(text), 0o600)
}

func list(words []string) (string, error) {
	names, err := filepath.Glob(words[0])
	return strings.Join(names, " "), err
}
