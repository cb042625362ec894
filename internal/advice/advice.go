// Package advice says what a person can do about an error of the data directory.
package advice

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Disk adds to an error of a file or directory under the data directory what to
// do about it; an error it knows nothing about, and nil, come back as they are.
func Disk(err error, path string) error {
	var do string
	switch {
	case errors.Is(err, syscall.EROFS):
		do = fmt.Sprintf("its file system is read-only: mount -o remount,rw %s, or set gateway.data-dir to a place that can be written; a card that became read-only by itself is failing (see dmesg)", path)
	case errors.Is(err, fs.ErrPermission):
		do = fmt.Sprintf("user %d may not write there: chown -R USER %s, with the user that runs tidegate", os.Geteuid(), path)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		do = fmt.Sprintf("no room is left: free some (df -h %s), or set gateway.data-dir to a larger disk", filepath.Clean(path))
	case errors.Is(err, syscall.EIO):
		do = "the card or disk is failing (see dmesg): replace it"
	default:
		return err
	}
	return fmt.Errorf("%w; %s", err, do)
}
