package edge

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"tidegate/internal/whole"
)

const (
	lockWait   = 2 * time.Second  // for a gateway that is just ending
	checkLimit = 60 * time.Second // a check that takes longer has met a loop
	keptAside  = 3                // damaged files kept, so that they never fill the card
)

const (
	errNoSpace  = syscall.ENOSPC
	errReadOnly = syscall.EROFS
)

func isErrno(err error, want syscall.Errno) bool {
	var got syscall.Errno
	return errors.As(err, &got) && got == want
}

// lockDir takes the directory for this process, for as long as the returned
// file is open. bbolt's own lock is not enough: the child process that checks
// the file must be sure that nobody writes to it.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "edge.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, explainFile("data directory", err)
	}
	for deadline := time.Now().Add(lockWait); ; time.Sleep(20 * time.Millisecond) {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !time.Now().Before(deadline) || !errors.Is(err, syscall.EWOULDBLOCK) {
			break
		}
	}
	f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("another gateway runs on this directory: %s; stop it, or set another data directory", dir)
	}
	return nil, fmt.Errorf("lock data directory %s: %w", dir, err)
}

// open opens edge.db and reads its rows, unless that is done. A file that was
// not closed cleanly is checked first, by a child process.
func (s *store) open() error {
	if s.db != nil {
		return nil
	}
	if f, err := os.OpenFile(s.path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return explainFile("open", err)
	} else if err := f.Close(); err != nil {
		return fmt.Errorf("open: %w", err)
	}
	clean := s.closedCleanly()
	if !clean {
		if err := s.check(); err != nil {
			return s.replace(err)
		}
	}
	if err := s.forgetClean(); err != nil {
		return explainFile("open "+s.path, err)
	}
	err := s.openFile()
	s.final = s.final && clean
	var bad *damage
	if errors.As(err, &bad) {
		return s.replace(err)
	}
	return err
}

// openFile opens and reads the file. What bbolt says about its content is a
// *damage; errors of the file system are not.
func (s *store) openFile() error {
	var db *bbolt.DB
	var all []*Message
	err := guardFaults(func() (err error) {
		db, err = bbolt.Open(s.path, 0o600, &bbolt.Options{PageSize: dbPageSize, Timeout: lockWait})
		if err != nil {
			return openError(err)
		}
		db.AllocSize = 1 << 20 // grow in small steps: the file is small
		return db.View(func(tx *bbolt.Tx) error {
			if err := readRows(tx, func(m *Message) { all = append(all, m) }); err != nil {
				return err
			}
			s.saved, s.final, err = readSessions(tx)
			return err
		})
	})
	var bad *damage
	if err != nil {
		if db != nil && !(errors.As(err, &bad) && bad.panicked) {
			err = errors.Join(err, db.Close())
		}
		return explainFile("open "+s.path, err)
	}
	s.db = db
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range all {
		s.adopt(m, m)
	}
	return nil
}

func openError(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) || errors.Is(err, os.ErrPermission) || errors.Is(err, bolterrors.ErrTimeout) {
		return err
	}
	return &damage{what: err}
}

// adopt takes in a row from a file, unless the topic has a value already.
// s.mu is held.
func (s *store) adopt(m, kept *Message) {
	if s.rows[m.Topic] != nil {
		return
	}
	s.rows[m.Topic] = &storeRow{now: m, kept: kept}
	s.stats.Messages++
	s.stats.Bytes += retainedSize(m)
	if kept == nil {
		s.dirty[m.Topic] = struct{}{}
	}
}

// check runs the checking child on the file. An error means damage; a child
// that could not be started or was killed from outside decides nothing.
func (s *store) check() error {
	if info, err := os.Stat(s.path); len(s.checker) == 0 || err != nil || info.Size() == 0 {
		return nil
	}
	ctx, stop := context.WithTimeout(context.Background(), checkLimit)
	defer stop()
	cmd := exec.CommandContext(ctx, s.checker[0], append(slices.Clone(s.checker[1:]), s.path)...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("check took longer than %v", checkLimit)
	case !errors.As(err, &exit) || killed(exit):
		s.log.Warn("edge.db could not be checked, opening it as it is", "path", s.path, "err", err)
		return nil
	}
	return fmt.Errorf("%w: %.200s", err, out)
}

func killed(e *exec.ExitError) bool {
	status, ok := e.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && (status.Signal() == syscall.SIGKILL || status.Signal() == syscall.SIGTERM || status.Signal() == syscall.SIGINT)
}

// replace sets a damaged file aside, saves its readable rows and begins a
// fresh file.
func (s *store) replace(cause error) error {
	aside, err := s.setAside()
	if err != nil {
		return errors.Join(cause, explainFile("set aside "+s.path, err))
	}
	var saved []*Message
	sessions, err := salvage(aside, func(m *Message) { saved = append(saved, m) })
	s.mu.Lock()
	for _, m := range saved {
		s.adopt(m, nil)
	}
	s.stats.Damaged++
	s.stats.Salvaged += int64(len(saved) + len(sessions))
	s.mu.Unlock()
	s.log.Error("edge.db is damaged: set aside, begun afresh", "path", aside, "saved", len(saved), "sessions", len(sessions), "err", errors.Join(cause, err))
	err = s.openFile()
	s.saved, s.final, s.anew = sessions, false, true
	return err
}

// abandon gives up an open file whose damage showed in a commit. Its rows are
// all in RAM; the next commit writes them to a fresh file.
func (s *store) abandon(cause error) {
	s.db = nil // not closed: bbolt may hold its locks for ever after a panic
	aside, err := s.setAside()
	s.log.Error("edge.db is damaged: set aside, begun afresh", "path", aside, "err", errors.Join(cause, err))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Damaged++
	clear(s.keeper.kept)
	s.keeper.bytes = 0
	for topic, row := range s.rows {
		if row.kept = nil; row.now != nil {
			s.dirty[topic] = struct{}{}
		}
	}
}

// setAside renames edge.db to edge.db.corrupt-<unix time> and removes the
// oldest of such files.
func (s *store) setAside() (string, error) {
	base := fmt.Sprintf("%s.corrupt-%d", s.path, time.Now().Unix())
	aside := base
	for i := 1; ; i++ { // without a clock the same second comes again
		if _, err := os.Lstat(aside); err != nil {
			break
		}
		aside = fmt.Sprintf("%s-%d", base, i)
	}
	if err := os.Rename(s.path, aside); err != nil {
		return s.path, err
	}
	old, err := filepath.Glob(s.path + ".corrupt-*")
	if err != nil {
		return aside, err
	}
	modified := func(path string) int64 {
		info, err := os.Stat(path)
		if err != nil {
			return 0
		}
		return info.ModTime().UnixNano()
	}
	slices.SortFunc(old, func(a, b string) int { return int(min(max(modified(b)-modified(a), -1), 1)) })
	for _, path := range old[min(keptAside, len(old)):] {
		if path != aside {
			err = errors.Join(err, os.Remove(path))
		}
	}
	return aside, errors.Join(err, whole.SyncDir(s.dir))
}

// close ends the store after run, or in place of it.
func (s *store) close() (err error) {
	if s.db != nil {
		if err = guardFaults(s.db.Close); err == nil {
			err = s.noteClean()
		}
		s.db = nil
	}
	return errors.Join(err, s.lock.Close())
}

// A file beside edge.db holds its size and time after a clean stop, so that
// the next start need not check it.
func (s *store) cleanPath() string { return s.path + ".clean" }

func (s *store) cleanMark() string {
	info, err := os.Stat(s.path)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("1 %d %d\n", info.Size(), info.ModTime().UnixNano())
}

func (s *store) closedCleanly() bool {
	text, err := os.ReadFile(s.cleanPath())
	return err == nil && len(text) > 0 && string(text) == s.cleanMark()
}

func (s *store) noteClean() error { return os.WriteFile(s.cleanPath(), []byte(s.cleanMark()), 0o600) }

func (s *store) forgetClean() error {
	err := os.Remove(s.cleanPath())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return errors.Join(err, whole.SyncDir(s.dir))
}
