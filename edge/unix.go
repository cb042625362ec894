package edge

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	osuser "os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"tidegate/internal/conf"
)

const unixPrefix = "unix:"

// socketPath returns the path of a unix socket to bind, and whether it is one.
func socketPath(bind string) (string, bool) { return strings.CutPrefix(bind, unixPrefix) }

// mostSocketPath is the longest path of a unix socket, in bytes [unix(7)].
const mostSocketPath = 107

func (l ListenerConfig) checkSocket(at string) []conf.Problem {
	var problems []conf.Problem
	path, is := socketPath(l.Bind)
	if is && (!filepath.IsAbs(path) || len(path) > mostSocketPath) {
		problems = append(problems, conf.Problem{Key: at + "bind", Value: strconv.Quote(l.Bind), Rule: fmt.Sprintf("unix: and an absolute path of at most %d bytes", mostSocketPath), Hint: `for example "unix:/run/tidegate/mqtt.sock"`})
	}
	if _, err := l.mode(); err != nil {
		problems = append(problems, conf.Problem{Key: at + "mode", Value: strconv.Quote(l.Mode), Rule: "a file mode as in chmod, without letters", Hint: `for example "0660"`})
	}
	for key, value := range map[string]string{"mode": l.Mode, "owner": l.Owner} {
		if value != "" && !is {
			problems = append(problems, conf.Problem{Key: at + key, Value: strconv.Quote(value), Rule: "used only with a unix socket", Hint: `bind = "unix:/run/tidegate/mqtt.sock" makes one`})
		}
	}
	if strings.Count(l.Owner, ":") > 1 {
		problems = append(problems, conf.Problem{Key: at + "owner", Value: strconv.Quote(l.Owner), Rule: "a user, a user:group or a :group", Hint: `for example ":mqtt"`})
	}
	return problems
}

// mode returns who may connect to the socket: by default owner and group.
func (l ListenerConfig) mode() (fs.FileMode, error) {
	if l.Mode == "" {
		return 0o660, nil
	}
	mode, err := strconv.ParseUint(l.Mode, 8, 32)
	if err == nil && mode > 0o777 {
		err = strconv.ErrRange
	}
	return fs.FileMode(mode), err
}

// listenUnix binds a unix socket with its mode and owner. A socket that a dead
// process has left there is removed; one that somebody listens on, and any other
// file, is not.
func listenUnix(path string, cfg *ListenerConfig) (net.Listener, error) {
	if err := removeStale(path); err != nil {
		return nil, err
	}
	mode, err := cfg.mode()
	if err != nil {
		return nil, err
	}
	uid, gid, err := ids(cfg.Owner)
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("unix", path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("the folder of %s is missing; make it, or use /run/tidegate, which the service has: %w", path, err)
	case err != nil:
		return nil, err
	}
	if uid >= 0 || gid >= 0 {
		err = os.Chown(path, uid, gid)
	}
	if err == nil {
		err = os.Chmod(path, mode) // after the owner: nobody but the right ones gets in meanwhile
	}
	if err != nil {
		ln.Close()
		return nil, err
	}
	return ln, nil
}

func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is there and is no socket; remove it or choose another path", path)
	}
	nc, err := net.Dial("unix", path)
	if err == nil {
		nc.Close()
		return fmt.Errorf("%s: another program listens there; stop it or choose another path", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}

// ids returns those of "user", "user:group" or ":group", by names or
// numbers; -1 for what is not said.
func ids(text string) (uid, gid int, err error) {
	name, group, _ := strings.Cut(text, ":")
	uid, gid = -1, -1
	if name != "" {
		if uid, err = strconv.Atoi(name); err != nil {
			who, err := osuser.Lookup(name)
			if err != nil {
				return 0, 0, fmt.Errorf("owner %s: this machine has no such user: %w", text, err)
			}
			uid, _ = strconv.Atoi(who.Uid)
		}
	}
	if group != "" {
		if gid, err = strconv.Atoi(group); err != nil {
			which, err := osuser.LookupGroup(group)
			if err != nil {
				return 0, 0, fmt.Errorf("owner %s: this machine has no such group: %w", text, err)
			}
			gid, _ = strconv.Atoi(which.Gid)
		}
	}
	return uid, gid, nil
}

// local is the address of a client at a unix socket: the user it runs as.
type local struct{ uid uint32 }

func (local) Network() string  { return "unix" }
func (l local) String() string { return fmt.Sprintf("uid %d", l.uid) }

// remote returns where a client is.
func remote(nc net.Conn) net.Addr {
	at := nc.RemoteAddr()
	s, ok := nc.(*net.UnixConn)
	if !ok {
		return at
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return at
	}
	raw.Control(func(fd uintptr) {
		if who, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			at = local{who.Uid}
		}
	})
	return at
}
