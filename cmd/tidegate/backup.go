package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2/unstable"

	"tidegate/cmd/tidegate/internal/backup"
	"tidegate/internal/whole"
)

// backupFlags are what both directions take.
type backupFlags struct {
	config, data, passwordFile string
	file                       string
}

func (b *backupFlags) parse(env environment, name string, args []string) (code int, ok bool) {
	f := newFlags(env, name)
	f.StringVar(&b.config, "config", defaultConfig, "the configuration `file`")
	f.StringVar(&b.data, "data", "/data", "the data partition of an image, where there is one")
	f.StringVar(&b.passwordFile, "password-file", "", "a `file` whose first line encrypts the backup")
	code, ok = f.parse(args, 1, 1)
	b.file = f.Arg(0)
	return code, ok
}

// passphrase returns "" without a password file.
func (b *backupFlags) passphrase() (string, error) {
	if b.passwordFile == "" {
		return "", nil
	}
	text, err := os.ReadFile(b.passwordFile)
	if err != nil {
		return "", err
	}
	p := backup.Passphrase(text)
	if p == "" {
		return "", fmt.Errorf("%s: the first line is empty; write the passphrase there", b.passwordFile)
	}
	return p, nil
}

// makeBackup writes the configuration and identity of this machine into one
// file, readable by its owner alone.
func makeBackup(env environment, args []string) int {
	var b backupFlags
	if code, ok := b.parse(env, "backup", args); !ok {
		return code
	}
	passphrase, err := b.passphrase()
	if err != nil {
		return failed(env, exitUsage, err)
	}
	text, err := os.ReadFile(b.config)
	if err != nil {
		return failed(env, exitUsage, withSudo(err))
	}
	cfg, problems := parse(text, Config.Check)
	if len(problems) > 0 {
		fmt.Fprintf(env.err, "tidegate: %s has errors and is kept as it is; tidegate check lists them\n", b.config)
	}
	m := backup.Manifest{Gateway: cfg.Gateway.id(), Created: time.Now().UTC(), Tidegate: version, Epoch: lastEpoch(cfg.Gateway.DataDir)}
	places := backup.Places(b.data, filepath.Dir(b.config), cfg.Gateway.DataDir)
	if err := writeBackup(b.file, m, places, passphrase); err != nil {
		return failed(env, exitBad, withSudo(err))
	}
	for _, file := range outside(text, places) {
		fmt.Fprintf(env.err, "tidegate: %s is named by the configuration, but lies elsewhere and is not in the backup\n", file)
	}
	fmt.Fprintf(env.out, "%s: configuration and identity of %s\n", b.file, m.Gateway)
	if passphrase == "" {
		fmt.Fprintln(env.err, "tidegate: it has passwords and keys in plain: keep it as safe as those, or encrypt it with -password-file")
	}
	return exitOK
}

// writeBackup makes the file whole or not at all.
func writeBackup(file string, m backup.Manifest, places []backup.Place, passphrase string) error {
	return whole.Write(file, func(f *os.File) error { return backup.Write(f, m, places, passphrase) })
}

// restoreBackup makes this machine the gateway that a backup is of.
func restoreBackup(env environment, args []string) int {
	var b backupFlags
	if code, ok := b.parse(env, "restore", args); !ok {
		return code
	}
	passphrase, err := b.passphrase()
	if err != nil {
		return failed(env, exitUsage, err)
	}
	a, err := backup.OpenFile(b.file, passphrase)
	if errors.Is(err, backup.ErrPassphrase) {
		err = fmt.Errorf("%w; -password-file names a file that has it", err)
	}
	if err != nil {
		return failed(env, exitUsage, withSudo(err))
	}
	cfg, _ := parse(a.Config(), Config.Check)
	places, work := backup.Places(b.data, filepath.Dir(b.config), cfg.Gateway.DataDir), filepath.Dir(filepath.Dir(b.config))
	if backup.IsCard(b.data) {
		work = b.data
	}
	if err := a.Restore(places, work, goodConfig); err != nil {
		return failed(env, exitBad, withSudo(err))
	}
	fmt.Fprintf(env.out, "restored: configuration and identity of %s, as of %s\nnow: systemctl restart tidegate, or on the image restart the machine\n",
		a.Gateway, a.Created.Format(time.DateTime))
	if missed := a.Missed(places); len(missed) > 0 {
		fmt.Fprintf(env.err, "tidegate: %s in the backup belongs to the image and has no place here\n", strings.Join(missed, " and "))
	}
	return exitOK
}

// goodConfig is `tidegate check` as an error.
func goodConfig(file string) error {
	_, problems, err := load(file, Config.checkAll)
	if err == nil && len(problems) > 0 {
		err = errors.New(strings.TrimSuffix(report(file, problems), "\n"))
	}
	return err
}

func withSudo(err error) error {
	if errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
		return fmt.Errorf("%w; only root and the user that runs the gateway may look: use sudo", err)
	}
	return err
}

// outside returns the files that a configuration names and that are in none of
// the places.
func outside(toml []byte, places []backup.Place) []string {
	doc, _ := index(toml)
	var all []string
	for i := range doc.entries {
		e := &doc.entries[i]
		if e.kind != unstable.String {
			continue
		}
		file, err := strconv.Unquote(doc.value(e))
		kept := slices.ContainsFunc(places, func(p backup.Place) bool { return p.As != "" && strings.HasPrefix(file, p.As+"/") })
		if err != nil || !filepath.IsAbs(file) || kept || slices.Contains(all, file) {
			continue
		}
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			all = append(all, file)
		}
	}
	return all
}
