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
	device := filepath.Join(configfs, "gpio-sim", label)
	bank := filepath.Join(device, "bank")
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
	settings = append(settings, struct{ file, text string }{filepath.Join(device, "live"), "1"})
	for _, s := range settings {
		if err := write(s.file, s.text); err != nil {
			return "", fmt.Errorf("%s: %w", s.file, err)
		}
	}
	return place(device, bank)
}

func place(device, bank string) (string, error) {
	dev, err1 := os.ReadFile(filepath.Join(device, "dev_name"))
	chip, err2 := os.ReadFile(filepath.Join(bank, "chip_name"))
	if err := errors.Join(err1, err2); err != nil {
		return "", err
	}
	name := strings.TrimSpace(string(chip))
	return "/dev/" + name + " " + filepath.Join("/sys/devices/platform", strings.TrimSpace(string(dev)), name), nil
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
