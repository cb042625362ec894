package update

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// The gateway has no privilege. It hands a signed manifest to root through a
// file in its own run directory, which a systemd path unit watches for. Root
// believes nothing but the signature.

const requestName = "update-request"

// Ask leaves a signed manifest for root, in the gateway's run directory. One
// that is there already is not replaced.
func Ask(runDir string, signed []byte) error {
	name := filepath.Join(runDir, requestName)
	f, err := os.CreateTemp(runDir, ".update-*")
	if err != nil {
		return err
	}
	_, err = f.Write(signed)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Link(f.Name(), name)
	}
	if errors.Is(err, fs.ErrExist) {
		err = errors.New("another request waits")
	}
	return errors.Join(err, os.Remove(f.Name()))
}

// Take takes the request out of the gateway's run directory: before all else, or
// systemd would start the service for it again and again.
func Take(runDir string) (signed []byte, err error) {
	if signed, err = take(filepath.Join(runDir, requestName)); err != nil {
		return nil, fmt.Errorf("take the request: %w", err)
	}
	return signed, nil
}

// Serve checks a request again and does it. installed says whether the machine is
// to be started anew.
func (s System) Serve(ctx context.Context, signed []byte, key ed25519.PublicKey, say func(int, string)) (installed bool, err error) {
	m, err := s.Accept(signed, key)
	if err != nil {
		return false, err
	}
	err = s.Install(ctx, Order{Source: m.URL, Sum: m.SHA256, Serial: m.Serial, Permit: Permit{Downgrade: m.Downgrade}, Version: m.Version}, say)
	return err == nil, err
}

// take reads and removes a file that another user made: no link, no pipe, no
// more than a manifest.
func take(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errRemove := os.Remove(name); errRemove != nil && !errors.Is(errRemove, fs.ErrNotExist) {
		err = errors.Join(err, errRemove) // else systemd would start this again and again
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(errors.New("not a regular file"), err)
	}
	return io.ReadAll(io.LimitReader(f, mostManifest+1))
}
