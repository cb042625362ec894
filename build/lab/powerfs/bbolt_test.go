package powerfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"tidegate/build/lab/proc"
)

var soak = flag.Bool("soak", false, "twenty times as many rounds")

func rounds(n int) int {
	if *soak {
		return 20 * n
	}
	return n
}

// The database's state is a function of the number of the last commit: commit
// i puts some rows of its own and takes away those of commit i-kept.
const (
	kept   = 40
	bucket = "rows"
)

func rowsOf(i uint64) map[string][]byte {
	rng := rand.New(rand.NewPCG(i, 7))
	rows := map[string][]byte{}
	for n := range 1 + rng.IntN(8) {
		value := make([]byte, rng.IntN(3000))
		for j := range value {
			value[j] = byte(rng.Uint32())
		}
		rows[fmt.Sprintf("%08d/%d", i, n)] = value
	}
	return rows
}

// TestMain makes the test binary the program that uses bbolt: it must be
// another process than the one that serves the mount.
func TestMain(m *testing.M) {
	if path := os.Getenv("POWERFS_TEST_COMMIT"); path != "" {
		die(commit(path))
	}
	if path := os.Getenv("POWERFS_TEST_VERIFY"); path != "" {
		die(verify(path))
	}
	os.Exit(m.Run())
}

func die(err error) {
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// open makes the database, with its first bucket, in the way the package
// promises survives: bbolt does not sync the directory.
func open(path string) (*bbolt.DB, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: 5 * time.Second, PageSize: 4096})
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucketIfNotExists([]byte(bucket)); return err })
	if err != nil {
		return nil, err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return db, dir.Sync()
}

// commit says that it is there, commits for ever and prints the number of each
// commit that is done. After an error it tries the same commit again.
func commit(path string) error {
	fmt.Println("here")
	db, err := open(path)
	if err != nil {
		return err
	}
	last, err := state(db)
	if err != nil {
		return err
	}
	fmt.Println("from", last)
	for i := last + 1; ; {
		err := db.Update(func(tx *bbolt.Tx) error { return put(tx.Bucket([]byte(bucket)), i) })
		if err != nil {
			fmt.Println("failed:", err)
			time.Sleep(time.Millisecond)
			continue
		}
		fmt.Println("done", i)
		i++
	}
}

func put(b *bbolt.Bucket, i uint64) error {
	for k, v := range rowsOf(i) {
		if err := b.Put([]byte(k), v); err != nil {
			return err
		}
	}
	if i > kept {
		for k := range rowsOf(i - kept) {
			if err := b.Delete([]byte(k)); err != nil {
				return err
			}
		}
	}
	return b.SetSequence(i)
}

// state returns the number of the last commit, and an error unless the rows
// are exactly those after it.
func state(db *bbolt.DB) (last uint64, err error) {
	err = db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		last = b.Sequence()
		want := map[string][]byte{}
		for i := max(last, kept) - kept + 1; i <= last; i++ {
			for k, v := range rowsOf(i) {
				want[k] = v
			}
		}
		n := 0
		err := b.ForEach(func(k, v []byte) error {
			n++
			if w, ok := want[string(k)]; !ok || !bytes.Equal(v, w) {
				return fmt.Errorf("after commit %d: row %s is wrong", last, k)
			}
			return nil
		})
		if err == nil && n != len(want) {
			err = fmt.Errorf("after commit %d: %d rows, want %d", last, n, len(want))
		}
		return err
	})
	return last, err
}

func verify(path string) error {
	db, err := open(path)
	if err != nil {
		return err
	}
	last, err := state(db)
	if err != nil {
		return err
	}
	err = db.View(func(tx *bbolt.Tx) error {
		var all []error
		for err := range tx.Check() {
			all = append(all, err)
		}
		return errors.Join(all...)
	})
	if err == nil {
		fmt.Println("state", last)
	}
	return err
}

// promised follows what the child prints and keeps the last commit it called
// done.
type promised struct {
	here chan struct{} // closed with the first line

	mu   sync.Mutex
	rest string
	last uint64
}

func (p *promised) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rest += string(b)
	for {
		line, rest, ok := strings.Cut(p.rest, "\n")
		if !ok {
			return len(b), nil
		}
		p.rest = rest
		if line == "here" {
			close(p.here)
		} else if n, ok := strings.CutPrefix(line, "done "); ok {
			p.last, _ = strconv.ParseUint(n, 10, 64)
		}
	}
}

func (p *promised) get() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

func child(t *testing.T, what, path string, out *promised) *proc.Process {
	t.Helper()
	c := proc.Command{Name: what, Args: []string{os.Args[0]}, Env: []string{"POWERFS_TEST_" + what + "=" + path}}
	if out != nil {
		c.Output = out
	}
	p, err := proc.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// check opens the database in a child and returns the last commit in it.
func (l *lab) check() uint64 {
	l.t.Helper()
	p := child(l.t, "VERIFY", l.path("db"), nil)
	select {
	case <-p.Ended():
	case <-time.After(time.Minute):
		p.Kill()
		l.t.Fatalf("the check does not end:\n%s", p.Output())
	}
	if p.Err() != nil {
		l.t.Fatalf("after the cut: %v\n%s", p.Err(), p.Output())
	}
	last, err := strconv.ParseUint(strings.TrimSpace(strings.TrimPrefix(p.Output(), "state ")), 10, 64)
	if err != nil {
		l.t.Fatalf("the check said %q", p.Output())
	}
	return last
}

// run lets a child commit for a random while and cuts the power. It fails
// unless every commit that was called done is there.
func (l *lab) run(mode Mode, rng *rand.Rand) {
	l.t.Helper()
	out := promised{here: make(chan struct{})}
	p := child(l.t, "COMMIT", l.path("db"), &out)
	defer p.Kill()
	select {
	case <-out.here: // on a busy machine that alone can take longer than the pause
	case <-time.After(time.Minute):
		l.t.Fatalf("the child does not start:\n%s", p.Output())
	}
	pause := time.Duration(rng.IntN(120)) * time.Millisecond
	select {
	case <-time.After(pause):
	case <-p.Ended():
		l.t.Fatalf("the child ended: %v\n%s", p.Err(), p.Output())
	}
	l.disk.Off()
	p.Kill()
	l.cut(mode)
	if got, want := l.check(), out.get(); got < want {
		l.t.Fatalf("commit %d was done, the disk has only %d", want, got)
	}
}

func seedOf(name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	return binary.BigEndian.Uint64(h.Sum(nil))
}

func TestBboltPowerCuts(t *testing.T) {
	for _, mode := range Modes() {
		t.Run(mode.String(), func(t *testing.T) {
			seed := seedOf(mode.String())
			if *soak {
				seed = rand.Uint64()
			}
			t.Logf("seed %d", seed)
			l := newLab(t, seed)
			l.disk.SetSyncDelay(500 * time.Microsecond)
			rng := rand.New(rand.NewPCG(seed, 1))
			for range rounds(12) {
				l.run(mode, rng)
			}
			last := l.check()
			t.Logf("%d commits, %+v", last, l.disk.Stats())
			if last == 0 {
				t.Error("nothing was committed")
			}
		})
	}
}

// TestBboltFaults makes single writes and syncs fail under the commits, and
// cuts the power some time after.
func TestBboltFaults(t *testing.T) {
	seed := seedOf("faults")
	if *soak {
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	l := newLab(t, seed)
	for range rounds(12) {
		l.disk.Inject(Fault{Ops: Write, Err: syscall.ENOSPC, After: 1 + rng.Int64N(500_000), Times: 1 + rng.IntN(3)})
		l.disk.Inject(Fault{Ops: Write, Err: syscall.EIO, After: 1 + rng.Int64N(500_000), Times: 1})
		l.run(Modes()[rng.IntN(3)], rng)
	}
	t.Logf("%d commits, %+v", l.check(), l.disk.Stats())
	if l.disk.Stats().Failed == 0 {
		t.Error("no fault struck")
	}
}
