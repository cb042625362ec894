package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// replaced are the files of the image that a user's may stand in for. All else
// in the FAT partition is what the machine starts from.
var replaced = []string{"tidegate.toml", "wifi.txt", "hostname.txt", "authorized_keys", "config.txt"}

// userFiles returns the files of a folder that go to the FAT partition. Its
// configuration must be good: command is `tidegate check` without its argument.
func userFiles(ctx context.Context, folder string, command []string) ([]string, error) {
	list, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, e := range list {
		file := filepath.Join(folder, e.Name())
		info, err := os.Stat(file)
		switch {
		case err != nil:
			return nil, err
		case strings.HasPrefix(e.Name(), "."):
			continue // of editors and file managers
		case !info.Mode().IsRegular():
			return nil, fmt.Errorf("%s is no file; FILES is a folder of files alone", file)
		}
		all = append(all, file)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s has no files", folder)
	}
	toml := filepath.Join(folder, "tidegate.toml")
	if slices.Contains(all, toml) {
		return all, checkConfig(ctx, toml, command)
	}
	return all, nil
}

// checkConfig checks the configuration as it will stand on the gateway, where
// the files beside it are in /etc/tidegate.
func checkConfig(ctx context.Context, toml string, command []string) error {
	text, err := os.ReadFile(toml)
	if err != nil {
		return err
	}
	folder, err := filepath.Abs(filepath.Dir(toml))
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "tidegate-flash-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	there := filepath.Join(dir, "tidegate.toml")
	if err := os.WriteFile(there, []byte(strings.ReplaceAll(string(text), "/etc/tidegate/", folder+"/")), 0o600); err != nil {
		return err
	}
	said, err := exec.CommandContext(ctx, command[0], append(command[1:len(command):len(command)], there)...).CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		text := strings.NewReplacer(there, toml, folder+"/", "/etc/tidegate/").Replace(string(said))
		return fmt.Errorf("the configuration has errors, and nothing was written:\n%s", strings.TrimSpace(text))
	}
	return err
}

// putFiles copies files into the FAT file system in an image.
func putFiles(ctx context.Context, fat string, files []string) error {
	for _, f := range files {
		name := "::/" + filepath.Base(f)
		known := slices.ContainsFunc(replaced, func(r string) bool { return strings.EqualFold(r, filepath.Base(f)) })
		if there := mtools(ctx, "mdir", "-b", "-i", fat, name) == nil; there && !known {
			return fmt.Errorf("%s would replace a file that the gateway starts from; give it another name", f)
		}
		if err := mtools(ctx, "mcopy", "-o", "-m", "-i", fat, f, name); err != nil {
			return fmt.Errorf("put %s into the FAT partition: %w", f, err)
		}
	}
	return nil
}

func mtools(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "MTOOLS_SKIP_CHECK=1")
	said, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(said)))
	}
	if err != nil {
		return fmt.Errorf("%w; install mtools (make setup)", err)
	}
	return nil
}
