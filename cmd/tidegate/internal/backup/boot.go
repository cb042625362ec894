package backup

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// What a person puts on the boot partition to make a fresh card the gateway
// that the backup is of.
const (
	bootPrefix     = "tidegate-backup"
	bootPassphrase = "backup-password.txt"
)

// OnBoot is a backup on the boot partition.
type OnBoot struct {
	File       string
	Passphrase string   // file that has it; "" when there is none
	Files      []string // both: they hold secrets and go when they have been restored
}

// FindOnBoot looks for a file whose name begins with tidegate-backup, in any
// case; nil when there is none. Two are an error: which is meant is not to be
// guessed.
func FindOnBoot(boot string) (*OnBoot, error) {
	list, err := os.ReadDir(boot)
	if err != nil {
		return nil, err
	}
	var b OnBoot
	for _, e := range list {
		lower, file := strings.ToLower(e.Name()), filepath.Join(boot, e.Name())
		switch {
		case !e.Type().IsRegular() || strings.HasPrefix(lower, "._"):
		case lower == bootPassphrase:
			b.Passphrase = file
		case strings.HasPrefix(lower, bootPrefix) && b.File != "":
			return nil, fmt.Errorf("%s and %s are both backups; leave the one that is meant", filepath.Base(b.File), e.Name())
		case strings.HasPrefix(lower, bootPrefix):
			b.File = file
		}
	}
	if b.File == "" {
		return nil, nil
	}
	b.Files = []string{b.File}
	if b.Passphrase != "" {
		b.Files = append(b.Files, b.Passphrase)
	}
	return &b, nil
}

// Digest is that of the backup's file: SHA-256, in hexadecimal digits.
func (b *OnBoot) Digest() (string, error) {
	f, err := os.Open(b.File)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// Restore puts the backup in place on the data partition. Its errors are for
// the person who put the file there.
func (b *OnBoot) Restore(data string, check Check) (Manifest, error) {
	passphrase := ""
	if b.Passphrase != "" {
		text, err := os.ReadFile(b.Passphrase)
		if err != nil {
			return Manifest{}, err
		}
		passphrase = Passphrase(text)
	}
	a, err := OpenFile(b.File, passphrase)
	if errors.Is(err, ErrPassphrase) {
		err = fmt.Errorf("%w; write its passphrase into %s beside it", err, bootPassphrase)
	}
	if err != nil {
		return Manifest{}, err
	}
	return a.Manifest, a.Restore(CardPlaces(data), data, check)
}

// Passphrase takes the first line of a file, without what editors add.
func Passphrase(text []byte) string {
	line, _, _ := strings.Cut(strings.TrimPrefix(string(text), "\ufeff"), "\n")
	return strings.TrimRight(line, "\r")
}

// OpenFile is Open of a file, whose name its errors have.
func OpenFile(name, passphrase string) (*Archive, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	a, err := Open(f, passphrase)
	if err != nil {
		return nil, fmt.Errorf("%s %w", filepath.Base(name), err)
	}
	return a, nil
}
