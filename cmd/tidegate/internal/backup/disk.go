package backup

import (
	"errors"
	"os"
	"os/user"
	"strconv"
)

// give sets the mode and, for root, the owner. A name that this machine does
// not have leaves the file root's: better closed than open.
func give(f *os.File, r record) error {
	if os.Geteuid() == 0 {
		if err := f.Chown(userID(r.Owner), groupID(r.Group)); err != nil {
			return err
		}
	}
	return f.Chmod(r.Perm)
}

func userID(name string) int {
	u, err := user.Lookup(name)
	if err != nil {
		return 0
	}
	return number(u.Uid)
}

func groupID(name string) int {
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0
	}
	return number(g.Gid)
}

func number(id string) int {
	n, err := strconv.Atoi(id)
	if err != nil {
		return 0
	}
	return n
}

// writeFile writes a file that nobody has read yet, to the disk.
func writeFile(name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}
