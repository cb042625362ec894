package image

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"time"
)

// FromSource makes the image of a source tree, for tests: with the package that
// `make deb` makes there. Everything it writes is in dir. keyring may be "".
func FromSource(ctx context.Context, source, dir, keyring string, log io.Writer) (string, error) {
	source, err := filepath.Abs(source)
	if err != nil {
		return "", err
	}
	if _, err := run(ctx, source, []string{"MAKEFLAGS=", "MFLAGS="}, "make", "deb", "DIST="+dir); err != nil {
		return "", err
	}
	deb, err := filepath.Glob(filepath.Join(dir, "tidegate_*_arm64.deb"))
	if err != nil || len(deb) != 1 {
		return "", fmt.Errorf("want one package for arm64, got %q", deb)
	}
	file := filepath.Join(dir, "tidegate.img")
	return file, Build(ctx, file, Options{Log: log, Dir: dir, Date: time.Unix(1767225600, 0), // 2026-01-01
		Gateway: Gateway{Package: deb[0], Units: filepath.Join(source, "systemd"),
			Boot: filepath.Join(source, "cmd/tidegate/internal/provision/boot"), Keyring: keyring}})
}
