package update

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"tidegate/internal/formats"
)

// Bundle is what the signed manifest of a RAUC bundle says.
type Bundle struct {
	Compatible string
	Version    string
	Formats    formats.Set // nil when the bundle does not say
}

// formatsWord begins RAUC's field "build" in bundles of this project; what
// follows is a formats.Set. RAUC passes the field through, old and new versions
// alike.
const formatsWord = "formats "

// inspect has RAUC check the signature of a bundle and returns what it says.
func (s System) inspect(ctx context.Context, path string) (Bundle, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.RAUC[0], append(s.RAUC[1:len(s.RAUC):len(s.RAUC)], "info", "--output-format=json", path)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return Bundle{}, fmt.Errorf("the bundle is refused: %w", words(err, stderr.String()))
	}
	var manifest struct{ Compatible, Version, Build string }
	if err := json.Unmarshal(stdout.Bytes(), &manifest); err != nil {
		return Bundle{}, fmt.Errorf("rauc info: %w", err)
	}
	b := Bundle{Compatible: manifest.Compatible, Version: manifest.Version}
	if text, ok := strings.CutPrefix(manifest.Build, formatsWord); ok {
		set, err := formats.ParseSet(text)
		if err != nil {
			return b, err
		}
		b.Formats = set
	}
	return b, nil
}

// words is an error of RAUC as one line: what it printed last that is no note
// of its progress.
func words(err error, output string) error {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	said := strings.TrimSpace(lines[len(lines)-1])
	for i := len(lines) - 1; i >= 0; i-- {
		if line := strings.TrimSpace(lines[i]); line != "" && !strings.HasPrefix(line, "rauc-Message:") {
			said = line
			break
		}
	}
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("%w; the image has rauc, this system has not", err)
	case strings.Contains(said, "signature verification failed"):
		return fmt.Errorf("its signature is not by a key that this gateway trusts (%s)", said)
	case strings.Contains(said, "Invalid bundle") || strings.Contains(said, "exceeds bundle size"):
		return fmt.Errorf("it is no whole bundle; was it cut short? (%s)", said)
	case said == "":
		return err
	}
	return errors.New(said)
}

// percentage is a line that `rauc install` prints: " 40% Checking slot rootfs.1".
var percentage = regexp.MustCompile(`^\s*(\d{1,3})% (.+?)\.?$`)

// install has RAUC write the bundle to the slot that does not run and make it
// the one that is tried next. say hears of the progress.
func (s System) install(ctx context.Context, path string, say func(percent int, what string)) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Hour)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.RAUC[0], append(s.RAUC[1:len(s.RAUC):len(s.RAUC)], "install", path)...)
	cmd.WaitDelay = 5 * time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return words(err, "")
	}
	var said strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if m := percentage.FindStringSubmatch(lines.Text()); m != nil {
			percent, _ := strconv.Atoi(m[1])
			say(percent, m[2])
		} else if said.Len() < 1<<16 {
			said.WriteString(lines.Text() + "\n")
		}
	}
	if err := cmd.Wait(); err != nil {
		return words(err, said.String()+stderr.String())
	}
	return nil
}
