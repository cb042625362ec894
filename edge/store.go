package edge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"tidegate/internal/advice"
	"tidegate/internal/inorder"
	"tidegate/internal/wall"
	"tidegate/internal/wear"
)

// storeStats are the numbers of a store since it was opened.
type storeStats struct {
	Messages     int   // retained now
	Bytes        int64 // topics, payloads and properties of them
	Dropped      int64 // not retained, for lack of room
	Salvaged     int64 // retained messages and sessions saved from a damaged file
	Damaged      int64 // files set aside
	Written      int64 // bytes given to the card: pages and the meta page
	Commits      int64
	Sessions     int   // on disk
	Unsaved      int   // deliveries that there is no room for
	SessionBytes int64 // of deliveries on disk
	Failed       int64 // commits that failed and were tried again
}

// store keeps retained messages in edge.db. The values live in RAM; a commit
// each interval writes those that changed. 100 topics that change every second
// cost 83 MB a day at an interval of 30 s with values of 20 bytes, 142 MB with
// 200, 448 MB with 1000, and half of that at a minute.
type store struct {
	dir, path string
	log       *slog.Logger
	checker   []string // argv before the path of a child process that calls CheckStore; nil: the file is not checked
	messages  int      // most topics with a retained message
	bytes     int64    // most bytes of them: topics, payloads and properties
	clock     wallClock
	committer *wear.Committer
	lock      *os.File
	db        *bbolt.DB       // used by load, then by run's goroutine; nil: to be opened
	keeper    keeper          // of sessions
	pending   []sessionChange // of the commit under way
	saved     []*savedSession // found by open
	final     bool            // a clean stop wrote them last
	anew      bool            // they came out of a damaged file, and are not in this one

	mu      sync.Mutex // guards what follows
	rows    map[string]*storeRow
	dirty   map[string]struct{}
	stats   storeStats
	failing bool // the last commit failed
}

// storeRow is a topic's value, and the one that is on disk.
type storeRow struct {
	now, kept *Message // nil: none
	writing   bool     // a commit is under way, so that kept may be about to change
}

// openStore takes the directory for this process and returns a store without
// content; load reads it. budget (may be nil) is charged for what is written;
// the commits come every syncEvery whatever is left in it, because that is the
// promise. Set checker,
// messages and bytes before load.
func openStore(dir string, syncEvery time.Duration, budget *wear.Budget, log *slog.Logger) (*store, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, explainFile("data directory", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	if budget == nil {
		budget = wear.NewBudget(0, 1<<40)
	}
	s := &store{dir: dir, path: filepath.Join(dir, "edge.db"), log: log, lock: lock, messages: 20_000, bytes: 32 << 20,
		clock: wall.Now, rows: map[string]*storeRow{}, dirty: map[string]struct{}{}}
	s.keeper = keeper{kept: map[*session]*keptSession{}, seed: maphash.MakeSeed(), most: 128 << 20, youth: defaultYouth, steady: defaultSteady}
	s.committer = wear.NewCommitter(budget, syncEvery, syncEvery, s.write)
	return s, nil
}

// load reads edge.db and calls keep with each retained message. A damaged file
// is set aside, its readable rows saved, and a fresh one begun: only what the
// disk or a permission refuses is an error.
func (s *store) load(keep func(*Message)) error {
	if err := s.open(); err != nil {
		return err
	}
	s.mu.Lock()
	all := make([]*Message, 0, len(s.rows))
	for _, row := range s.rows {
		if row.now != nil {
			all = append(all, row.now)
		}
	}
	pending := len(s.dirty) > 0
	s.mu.Unlock()
	if pending {
		s.committer.Wake()
	}
	for _, m := range all {
		keep(m)
	}
	return nil
}

// retain keeps m as its topic's value, or with an empty payload forgets the
// topic. It never blocks; it returns false when m was not kept, for lack of
// room.
func (s *store) retain(m *Message) bool {
	s.mu.Lock()
	row, known := s.rows[m.Topic]
	if !known {
		row = &storeRow{}
	}
	next := m
	if len(m.Payload) == 0 {
		next = nil
	}
	if next == nil && row.now == nil && !known {
		s.mu.Unlock()
		return true
	}
	messages, size := s.stats.Messages+ifAny(next)-ifAny(row.now), s.stats.Bytes+retainedSize(next)-retainedSize(row.now)
	if next != nil && (messages > max(s.messages, s.stats.Messages) || size > max(s.bytes, s.stats.Bytes)) {
		s.stats.Dropped++
		s.mu.Unlock()
		return false
	}
	s.stats.Messages, s.stats.Bytes = messages, size
	s.rows[m.Topic], row.now = row, next
	unchanged := !row.writing && sameRetained(row.now, row.kept)
	if unchanged {
		delete(s.dirty, m.Topic)
		s.tidy(m.Topic, row)
	} else {
		s.dirty[m.Topic] = struct{}{}
	}
	s.mu.Unlock()
	if !unchanged {
		s.committer.Wake()
	}
	return true
}

// tidy forgets a topic that has a value neither in RAM nor on disk. s.mu is held.
func (s *store) tidy(topic string, row *storeRow) {
	if row.now == nil && row.kept == nil && !row.writing {
		delete(s.rows, topic)
		delete(s.dirty, topic)
	}
}

func ifAny(m *Message) int {
	if m == nil {
		return 0
	}
	return 1
}

func retainedSize(m *Message) int64 {
	if m == nil {
		return 0
	}
	return int64(len(m.Topic) + len(m.Payload) + len(m.Properties))
}

// sameRetained says whether writing a over b would change nothing that matters.
func sameRetained(a, b *Message) bool {
	if a == nil || b == nil || a == b {
		return a == b
	}
	return a.QoS == b.QoS && a.Expiry == 0 && b.Expiry == 0 && bytes.Equal(a.Payload, b.Payload) && bytes.Equal(a.Properties, b.Properties)
}

// run commits until ctx ends, then a last time, and closes the store.
func (s *store) run(ctx context.Context) error {
	var waker sync.WaitGroup
	if s.keeper.sessions != nil {
		waker.Go(func() { s.wakeOften(ctx) })
	}
	s.committer.Run(ctx)
	waker.Wait()
	s.ageAll()
	s.keeper.last = true
	n, err := s.write()
	if n > 0 {
		s.committer.Budget.Spend(n)
	}
	return errors.Join(err, s.close())
}

// wakeOften has the sessions looked at each interval.
func (s *store) wakeOften(ctx context.Context) {
	tick := time.NewTicker(s.committer.MaxGap)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.committer.Wake()
		}
	}
}

// ageAll marks the messages with an expiry, so that the time they have spent
// in this run is written down.
func (s *store) ageAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for topic, row := range s.rows {
		if row.now != nil && row.now.Expiry > 0 {
			s.dirty[topic] = struct{}{}
		}
	}
}

func (s *store) snapshot() storeStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// rowChange is one row to write; m is nil for a row to delete.
type rowChange struct {
	topic string
	key   []byte
	m     *Message
}

// write commits all that changed since the last time and returns the bytes the
// card was given. What could not be written stays due.
func (s *store) write() (int64, error) {
	changes := s.due()
	var unsaved int
	if s.pending = nil; s.keeper.sessions != nil {
		s.pending, unsaved = s.keeper.changes(time.Now())
		if s.keeper.last {
			s.pending = s.keeper.age(s.pending)
		}
	}
	s.mu.Lock()
	s.stats.Unsaved = unsaved
	s.mu.Unlock()
	if len(changes)+len(s.pending) == 0 {
		return 0, nil
	}
	n, err := s.commit(changes)
	s.settle(changes, err)
	if err != nil {
		return 0, explainFile("write "+s.path, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Written += n
	s.stats.Commits++
	s.stats.Sessions, s.stats.SessionBytes = len(s.keeper.kept), s.keeper.bytes
	return n, nil
}

// settle notes what is on disk after a commit, or what is due again, and
// reports the first failure and the end of failures.
func (s *store) settle(changes []rowChange, err error) {
	s.mu.Lock()
	for _, c := range changes {
		row := s.rows[c.topic]
		row.writing = false
		if err != nil {
			s.dirty[c.topic] = struct{}{}
			continue
		}
		if row.kept = c.m; sameRetained(row.now, row.kept) {
			delete(s.dirty, c.topic)
		}
		s.tidy(c.topic, row)
	}
	if err != nil {
		s.stats.Failed++
	}
	turned := s.failing != (err != nil)
	s.failing = err != nil
	s.mu.Unlock()
	switch {
	case turned && err != nil:
		s.log.Error("retained messages cannot be written, trying again", "path", s.path, "err", advice.Disk(err, filepath.Dir(s.path)))
	case turned:
		s.log.Info("retained messages are written again", "path", s.path)
	}
}

// due takes the changed rows, by key: bbolt makes room for a key in all that came
// before it in the same page of a transaction, which may be everything. A message
// that is over leaves here.
func (s *store) due() []rowChange {
	now, _ := s.clock()
	s.mu.Lock()
	defer s.mu.Unlock()
	changes := make([]rowChange, 0, len(s.dirty))
	for topic := range s.dirty {
		row := s.rows[topic]
		if m := row.now; m != nil && m.Expiry > 0 && expiryLeft(m, now) == 0 {
			s.stats.Messages--
			s.stats.Bytes -= retainedSize(m)
			row.now = nil
		}
		s.tidy(topic, row)
		if row.now != nil && row.now.Expiry > 0 || !sameRetained(row.now, row.kept) {
			row.writing = true
			changes = append(changes, rowChange{topic, rowKey(topic), row.now})
		}
	}
	clear(s.dirty)
	inorder.Sort(changes, func(a, b rowChange) int { return bytes.Compare(a.key, b.key) })
	return changes
}

func (s *store) commit(changes []rowChange) (written int64, err error) {
	if s.db == nil {
		if err := s.open(); err != nil {
			return 0, err
		}
	}
	now, synchronised := s.clock()
	var grown int64
	err = guardFaults(func() error {
		tx, err := s.db.Begin(true)
		if err != nil {
			return err
		}
		if err := put(tx, changes, now, synchronised); err != nil {
			return errors.Join(err, tx.Rollback())
		}
		if len(s.pending) > 0 {
			if grown, err = s.keeper.put(tx, s.pending, now, synchronised); err != nil {
				return errors.Join(err, tx.Rollback())
			}
		}
		err = tx.Commit()
		stats := tx.Stats()
		written = stats.GetPageAlloc() + dbPageSize // and the meta page
		return err
	})
	if err == nil {
		s.keeper.settled(s.pending, grown)
	}
	var bad *damage
	if errors.As(err, &bad) {
		s.abandon(err)
	}
	return written, err
}

func put(tx *bbolt.Tx, changes []rowChange, now time.Time, synchronised bool) error {
	bucket, err := tx.CreateBucketIfNotExists(retainedBucket)
	if err != nil {
		return err
	}
	bucket.FillPercent = 0.9 // values are replaced by ones of about the same size
	for _, c := range changes {
		if err != nil {
			return err
		}
		if c.m == nil {
			err = bucket.Delete(c.key)
		} else {
			err = bucket.Put(c.key, encodeRow(c.key, c.m, uint64(tx.ID()), now, synchronised))
		}
	}
	return err
}

// explainFile adds to an error of the file system what to do about it.
func explainFile(what string, err error) error {
	hint := ""
	switch {
	case errors.Is(err, fs.ErrPermission):
		hint = "; give it to the gateway's user"
	case isErrno(err, errNoSpace):
		hint = "; the disk is full, make room"
	case isErrno(err, errReadOnly):
		hint = "; the disk is read-only, remount it or set another data directory"
	}
	return fmt.Errorf("%s: %w%s", what, err, hint)
}
