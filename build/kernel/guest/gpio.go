package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const configfs = "/sys/kernel/config"

// lines makes a chip of gpio-sim. A line's level is its pull as long as nobody
// drives it: FOLDER/sim_gpioN/pull takes "pull-up" and "pull-down", and
// FOLDER/sim_gpioN/value is the level.
func lines(words []string) (string, error) {
	label, names := words[0], words[1:]
	if err := load("gpio-sim"); err != nil {
		return "", err
	}
	if err := unix.Mount("configfs", configfs, "configfs", 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
		return "", fmt.Errorf("mount %s: %w", configfs, err)
	}
	bank := filepath.Join(configfs, "gpio-sim", label, "bank")
	if err := os.MkdirAll(bank, 0o755); err != nil {
		return "", err
	}
	settings := []struct{ file, text string }{
		{filepath.Join(bank, "label"), label}, {filepath.Join(bank, "num_lines"), strconv.Itoa(len(names))},
	}
	for i, name := range names {
		line := filepath.Join(bank, fmt.Sprintf("line%d", i))
		if err := os.Mkdir(line, 0o755); err != nil {
			return "", err
		}
		settings = append(settings, struct{ file, text string }{filepath.Join(line, "name"), name})
	}
	for _, s := range settings {
		if err := write(s.file, s.text); err != nil {
			return "", fmt.Errorf("%s: %w", s.file, err)
		}
	}
	return live([]string{label, "on"})
}

// live puts a chip into the machine or takes it out, whoever uses it.
func live(words []string) (string, error) {
	device := filepath.Join(configfs, "gpio-sim", words[0])
	if words[1] == "off" {
		return "", write(filepath.Join(device, "live"), "0")
	}
	if err := write(filepath.Join(device, "live"), "1"); err != nil {
		return "", fmt.Errorf("put %s in: %w", device, err)
	}
	dev, err1 := os.ReadFile(filepath.Join(device, "dev_name"))
	chip, err2 := os.ReadFile(filepath.Join(device, "bank", "chip_name"))
	return filepath.Join("/sys/devices/platform", strings.TrimSpace(string(dev)), strings.TrimSpace(string(chip))), errors.Join(err1, err2)
}

// pulse pulls a line of gpio-sim up and down again, COUNT times at HZ. Between
// two edges lies at least half a period, whatever the machine does meanwhile.
func pulse(words []string) (string, error) {
	count, err := strconv.Atoi(words[1])
	if err != nil {
		return "", err
	}
	hz, err := strconv.ParseFloat(words[2], 64)
	if err != nil || hz <= 0 {
		return "", fmt.Errorf("not a frequency: %q", words[2])
	}
	pull, err := os.OpenFile(words[0], os.O_WRONLY, 0)
	if err != nil {
		return "", err
	}
	defer pull.Close()
	half := time.Duration(float64(time.Second) / hz / 2)
	begin := time.Now()
	for range count {
		for _, way := range []string{"pull-up", "pull-down"} {
			if _, err := pull.WriteAt([]byte(way), 0); err != nil {
				return "", err
			}
			time.Sleep(half)
		}
	}
	return fmt.Sprintf("%d in %v", count, time.Since(begin).Round(time.Millisecond)), nil
}
