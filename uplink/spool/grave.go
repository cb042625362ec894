package spool

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"tidegate/internal/whole"
)

// What a person decides about dead letters is done by the holder of the
// directory's lock: the gateway if it runs, which finds it written down in
// deadWish, else the one who decides.
const (
	deadWish  = "dead-letters.request"
	wishEvery = time.Second // how often the gateway looks for one
	againMost = 64          // letters on their way back at a time, so that they push out nothing
	againWait = 5 * time.Second
)

// wish is what is to happen to some dead letters. They are named, so that one
// that is done twice, after a crash, does no more.
type wish struct {
	Again bool `json:"again"` // send them; else remove them
	IDs   []ID `json:"ids"`
}

func (w wish) picks() func(ID) bool {
	ids := make(map[ID]bool)
	for _, id := range w.IDs {
		ids[id] = true
	}
	return func(id ID) bool { return ids[id] }
}

// ErrWaiting says that the gateway has not done yet what it was asked to.
var ErrWaiting = errors.New("the gateway has not answered yet; it will do it, now or after its next start")

// SendAgain puts the dead letters with these ids back into the spool in dir,
// DropDead removes them. They return how many there were. If no gateway holds
// the directory the next one sends them. ErrWaiting: the gateway did not do it
// before ctx ended.
func SendAgain(ctx context.Context, dir string, ids []ID) (int, error) {
	return decide(ctx, dir, wish{true, ids})
}

// DropDead is described with SendAgain.
func DropDead(ctx context.Context, dir string, ids []ID) (int, error) {
	return decide(ctx, dir, wish{false, ids})
}

func decide(ctx context.Context, dir string, w wish) (int, error) {
	before, err := among(dir, w.picks())
	if err != nil || before == 0 {
		return 0, err
	}
	for asked := false; ; {
		lock, err := lockDir(dir)
		if err == nil {
			n, err := takeOut(dir, w.Again, w.picks())
			if asked {
				err = errors.Join(err, os.Remove(filepath.Join(dir, deadWish)))
			}
			return n, errors.Join(err, lock.Close())
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return 0, err
		}
		if !asked {
			asked, err = ask(dir, w)
		} else if _, err = os.Lstat(filepath.Join(dir, deadWish)); errors.Is(err, fs.ErrNotExist) {
			left, err := among(dir, w.picks())
			return before - left, err
		}
		if err != nil {
			return 0, err
		}
		select {
		case <-ctx.Done():
			return 0, ErrWaiting
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// among counts the dead letters that pick wants.
func among(dir string, pick func(ID) bool) (n int, err error) {
	dead, _, err := Letters(dir)
	for _, l := range dead {
		if pick(l.ID()) {
			n++
		}
	}
	return n, err
}

// ask leaves a wish for the gateway, unless another one lies there.
func ask(dir string, w wish) (bool, error) {
	b, err := json.Marshal(w)
	if err != nil {
		return false, err
	}
	f, err := os.CreateTemp(dir, deadWish+"-*.tmp")
	if err != nil {
		return false, err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err := errors.Join(err, handOver(dir, f), f.Sync(), f.Close()); err != nil {
		return false, err
	}
	err = os.Link(f.Name(), filepath.Join(dir, deadWish))
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	return err == nil, errors.Join(err, whole.SyncDir(dir))
}

func ownerOf(dir string) (uid, gid int, err error) {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return 0, 0, &fs.PathError{Op: "stat", Path: dir, Err: err}
	}
	return int(st.Uid), int(st.Gid), nil
}

// graves are the dead letters of a running spool. Only the committer's
// goroutine touches the files.
type graves struct {
	mu     sync.Mutex // guards what follows
	asked  bool       // there is a wish
	looked time.Time  // for a wish
	later  time.Time  // no letters go back before it
	empty  bool       // no letters wait to go back
	batch  *sentAgain // under way, nil if none
}

// sentAgain are letters that were pushed and stay in their file until each is
// safe. It owns their tickets, by their place in ids.
type sentAgain struct {
	wake func()
	ids  []ID

	mu   sync.Mutex // guards left and safe
	left int
	safe map[ID]bool
}

// Settle implements the owner of the letters' tickets.
func (a *sentAgain) Settle(i uint64, reason byte) {
	a.mu.Lock()
	a.left--
	if reason < 0x80 {
		a.safe[a.ids[i]] = true
	}
	done := a.left == 0
	a.mu.Unlock()
	if done {
		a.wake()
	}
}

func (a *sentAgain) done() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.left == 0
}

// due says whether tendGraves has something to do. It looks for a wish only
// now and then.
func (g *graves) due(dir string, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now.Sub(g.looked) >= wishEvery {
		g.looked = now
		_, err := os.Lstat(filepath.Join(dir, deadWish))
		g.asked = err == nil
	}
	if g.batch != nil {
		return g.asked || g.batch.done()
	}
	return g.asked || !g.empty && now.After(g.later)
}

// tendGraves does what was asked for, and pushes letters that go back.
func (s *Spool) tendGraves(now time.Time) error {
	if !s.loaded.Load() || s.closing.Load() {
		return nil
	}
	if err := s.grant(); err != nil {
		return fmt.Errorf("dead letters: %w", err)
	}
	if err := s.settleRetried(); err != nil {
		return err
	}
	g := &s.graves
	g.mu.Lock()
	idle := g.batch != nil || g.empty || now.Before(g.later)
	g.mu.Unlock()
	if idle {
		return nil
	}
	return s.sendAgain(now)
}

// grant does what the wish says, if there is one.
func (s *Spool) grant() error {
	s.graves.mu.Lock()
	asked := s.graves.asked
	s.graves.asked = false
	s.graves.mu.Unlock()
	if !asked {
		return nil
	}
	path := filepath.Join(s.opt.Dir, deadWish)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var w wish
	if err == nil {
		err = json.Unmarshal(b, &w)
	}
	n := 0
	if err == nil {
		n, err = takeOut(s.opt.Dir, w.Again, w.picks())
	}
	if err != nil {
		s.log.Error("cannot do what was asked about dead letters", "err", err)
	} else {
		s.log.Info("dead letters", "sent-again", w.Again, "letters", n)
	}
	s.graves.mu.Lock()
	s.graves.empty = s.graves.empty && !w.Again
	s.graves.mu.Unlock()
	return os.Remove(path)
}

// sendAgain pushes the oldest of the letters that go back, under their old ids.
func (s *Spool) sendAgain(now time.Time) error {
	lines, err := readLetters(filepath.Join(s.opt.Dir, deadAgain))
	if err != nil {
		return fmt.Errorf("read dead letters: %w", err)
	}
	a := &sentAgain{wake: s.work.Wake, safe: make(map[ID]bool)}
	var letters []Letter
	for _, l := range lines {
		if l.ok && len(letters) < againMost {
			letters, a.ids = append(letters, l.letter), append(a.ids, l.letter.ID())
		}
	}
	a.left = len(letters)
	s.graves.mu.Lock()
	if s.graves.empty = a.left == 0; a.left > 0 {
		s.graves.batch = a
	}
	s.graves.mu.Unlock()
	wall := s.clock.wall()
	for i, l := range letters {
		link := 0
		if s.opt.Link != nil {
			link = s.opt.Link(l.Topic)
		}
		s.push(link, l.Class, l.message(now, wall), Ticket{a, uint64(i)}, a.ids[i])
	}
	return nil
}

// settleRetried takes the letters that are safe out of the file of those that
// go back. One that found no room is pushed again later.
func (s *Spool) settleRetried() error {
	g := &s.graves
	g.mu.Lock()
	a := g.batch
	g.mu.Unlock()
	if a == nil || !a.done() && !s.closing.Load() {
		return nil
	}
	a.mu.Lock()
	safe := maps.Clone(a.safe)
	a.mu.Unlock()
	lines, err := readLetters(filepath.Join(s.opt.Dir, deadAgain))
	if err != nil {
		return fmt.Errorf("read dead letters: %w", err)
	}
	var stay bytes.Buffer
	for _, l := range lines {
		if !safe[l.letter.ID()] {
			stay.Write(l.raw)
		}
	}
	if err := replaceFile(s.opt.Dir, deadAgain, stay.Bytes()); err != nil {
		return fmt.Errorf("write dead letters: %w", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.batch = nil
	if slices.ContainsFunc(a.ids, func(id ID) bool { return !safe[id] }) {
		g.later = time.Now().Add(againWait)
	}
	return nil
}
