package line

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// PWMs are the kernel's PWM chips, through sysfs [Linux,
// Documentation/driver-api/pwm.rst].
type PWMs struct {
	Sys string // the folder; "" is /sys/class/pwm
}

// PWM is one opened channel.
type PWM struct {
	dir      string // of the channel
	period   int64  // ns
	inverted bool
}

// CheckPWMName says what is wrong with the name of a channel, "pwmchip0:1".
func CheckPWMName(s string) error {
	_, _, err := parsePWM(s)
	return err
}

func parsePWM(s string) (chip string, channel int, err error) {
	chip, number, _ := strings.Cut(s, ":")
	n, err := strconv.ParseUint(number, 10, 8)
	digits, ok := strings.CutPrefix(chip, "pwmchip")
	if _, bad := strconv.ParseUint(digits, 10, 16); err != nil || !ok || bad != nil {
		return "", 0, fmt.Errorf("PWM channel %q: it is written pwmchip0:1, the chip and the channel", s)
	}
	return chip, int(n), nil
}

// Open takes a channel and gives it a frequency in Hz and a share of the
// period, 0 to 1, for which it is on. inverted turns on and off around, for a
// lamp that is wired to the supply.
func (p PWMs) Open(name string, frequency, duty float64, inverted bool) (*PWM, error) {
	chip, channel, err := parsePWM(name)
	if err != nil {
		return nil, err
	}
	root := cmp.Or(p.Sys, "/sys/class/pwm")
	at := filepath.Join(root, chip)
	if err := p.has(root, at, channel); err != nil {
		return nil, fmt.Errorf("PWM channel %s: %w", name, err)
	}
	w := &PWM{dir: filepath.Join(at, fmt.Sprintf("pwm%d", channel)), period: int64(1e9 / frequency), inverted: inverted}
	if _, err := os.Stat(w.dir); errors.Is(err, fs.ErrNotExist) {
		if err := write(filepath.Join(at, "export"), int64(channel)); err != nil {
			return nil, fmt.Errorf("PWM channel %s: %w", name, mayWrite(err))
		}
	}
	if err := w.begin(duty); err != nil {
		return nil, fmt.Errorf("PWM channel %s: %w", name, mayWrite(err))
	}
	return w, nil
}

// has says what is missing of a channel.
func (p PWMs) has(root, at string, channel int) error {
	count, err := os.ReadFile(filepath.Join(at, "npwm"))
	if errors.Is(err, fs.ErrNotExist) {
		chips, globErr := filepath.Glob(filepath.Join(root, "pwmchip*"))
		if len(chips) == 0 || globErr != nil {
			return fmt.Errorf("the kernel has no PWM: enable it with dtoverlay=pwm or pwm-2chan in config.txt and start the Pi again (%w)", err)
		}
		return fmt.Errorf("there is no such chip, only %s (%w)", strings.Join(bases(chips), ", "), err)
	}
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(count)))
	if err != nil {
		return fmt.Errorf("read the number of channels: %w", err)
	}
	if channel >= n {
		return fmt.Errorf("the chip has the channels 0 to %d", n-1)
	}
	return nil
}

func bases(paths []string) []string {
	for i, path := range paths {
		paths[i] = filepath.Base(path)
	}
	return paths
}

// settle is how long udev may take to give an exported channel to its group.
const settle = 2 * time.Second

// begin sets the channel up without a flash: a channel that has the period
// already goes from its old duty to the new one.
func (w *PWM) begin(duty float64) error {
	for end := time.Now().Add(settle); ; time.Sleep(20 * time.Millisecond) {
		err := w.configure(duty)
		if !errors.Is(err, fs.ErrPermission) || time.Now().After(end) {
			return err
		}
	}
}

func (w *PWM) configure(duty float64) error {
	period := filepath.Join(w.dir, "period")
	have, err := readNumber(period)
	if err != nil {
		return err
	}
	// The kernel takes no duty while the period is 0, and none beyond the period.
	if have != 0 && have != w.period {
		if err := write(filepath.Join(w.dir, "duty_cycle"), 0); err != nil {
			return err
		}
	}
	if have != w.period {
		if err := write(period, w.period); err != nil {
			return err
		}
	}
	if err := w.Set(duty); err != nil {
		return err
	}
	return write(filepath.Join(w.dir, "enable"), 1)
}

// Set changes the share of the period for which the channel is on, 0 to 1.
func (w *PWM) Set(duty float64) error {
	on := int64(min(max(duty, 0), 1) * float64(w.period))
	if w.inverted {
		on = w.period - on
	}
	return write(filepath.Join(w.dir, "duty_cycle"), on)
}

// Check says that the channel is no longer there.
func (w *PWM) Check() error {
	_, err := readNumber(filepath.Join(w.dir, "duty_cycle"))
	return err
}

// Close leaves the channel as it is: the kernel goes on with it.
func (w *PWM) Close() error { return nil }

func readNumber(path string) (int64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
}

func write(path string, v int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(strconv.AppendInt(nil, v, 10))
	return errors.Join(err, f.Close())
}

// mayWrite says what lets the gateway write to sysfs.
func mayWrite(err error) error {
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return fmt.Errorf("%w; add the user that runs tidegate to the group that may write there (gpio on Raspberry Pi OS), or have udev make one", err)
}
