package promises

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"tidegate/build/bench/load"
	"tidegate/build/lab/powerfs"
)

// reject makes devices hear of a full spool, instead of dropping what is old:
// then nothing acknowledged may be missing whatever happens.
const reject = `
[uplink.spool.normal]
overflow = "reject"
`

// house is a world whose data directory lies on a disk that can lose power.
type house struct {
	*world
	disk *powerfs.Disk
	dir  string
	fs   *powerfs.FS
}

func newHouse(t *testing.T, seed uint64) *house {
	h := &house{disk: powerfs.New(seed), dir: t.TempDir()}
	h.disk.SetSyncDelay(2 * time.Millisecond)
	mount := func() {
		fs, err := powerfs.Mount(h.disk, h.dir)
		if err != nil {
			t.Fatal(err)
		}
		h.fs = fs
	}
	mount()
	t.Cleanup(func() {
		if err := h.fs.Unmount(); err != nil {
			t.Error(err)
		}
	})
	h.world = newWorld(t, options{dataDir: h.dir, uplink: reject})
	return h
}

// powerCut ends the gateway and leaves of the unsynced what the mode says.
func (h *house) powerCut(m powerfs.Mode) {
	h.t.Helper()
	h.disk.Off()
	h.gateway.Kill()
	h.must(h.fs.Unmount())
	h.disk.Cut(m)
	fs, err := powerfs.Mount(h.disk, h.dir)
	h.must(err)
	h.fs = fs
	h.start()
}

// TestPowerCut cuts the power at random moments under load. The disk drops,
// tears or reorders what was not synced.
func TestPowerCut(t *testing.T) {
	for _, mode := range powerfs.Modes() {
		t.Run(mode.String(), func(t *testing.T) {
			h := newHouse(t, uint64(mode))
			tr := h.publish(load.FleetConfig{Clients: 5, Topics: 4, Rate: 600, Size: 200})
			for round := range rounds(7) {
				if round%3 == 2 {
					h.online()
				} else {
					h.offline()
				}
				time.Sleep(h.between(20*time.Millisecond, 900*time.Millisecond))
				h.powerCut(mode)
			}
			h.online()
			tr.finish()
			h.settle()
			t.Logf("disk: %+v", h.disk.Stats())
		})
	}
}

// TestDiskErrors makes writes and syncs fail while the cloud is away, heals the
// disk, and cuts the power every other time.
func TestDiskErrors(t *testing.T) {
	h := newHouse(t, 99)
	tr := h.publish(load.FleetConfig{Clients: 5, Topics: 4, Rate: 400, Size: 200})
	faults := []powerfs.Fault{
		{Ops: powerfs.Write, Err: syscall.ENOSPC},
		{Ops: powerfs.Sync, Err: syscall.EIO, Times: 1},
		{Ops: powerfs.Write, Err: syscall.EIO, Times: 2},
		{Ops: powerfs.Names | powerfs.Truncate, Err: syscall.ENOSPC},
		{Ops: powerfs.Sync | powerfs.Write, Err: syscall.EIO},
	}
	for round := range rounds(2 * len(faults)) {
		h.offline()
		fault := faults[round%len(faults)]
		fault.After = h.rng.Int64N(200_000)
		h.disk.Inject(fault)
		time.Sleep(h.between(200*time.Millisecond, 700*time.Millisecond))
		h.disk.Heal()
		if round%2 == 0 {
			h.powerCut(powerfs.Modes()[h.rng.IntN(3)])
		}
		h.start() // it may have ended itself; a service manager starts it again
		if round%3 == 2 {
			h.online()
			time.Sleep(h.between(100*time.Millisecond, 500*time.Millisecond))
		}
	}
	h.online()
	tr.finish()
	h.settle()
	t.Logf("gateway started %d times; disk: %+v", h.gateway.Starts(), h.disk.Stats())
	if h.disk.Stats().Failed == 0 {
		t.Error("no fault struck")
	}
}

// smallDisk makes a real ext4 file system of the given size on a loop device.
func smallDisk(t *testing.T, megabytes string) string {
	t.Helper()
	image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
	}
	run("truncate", "-s", megabytes+"M", image)
	run("/sbin/mkfs.ext4", "-q", "-m", "0", image)
	run("mount", "-o", "loop", image, dir)
	t.Cleanup(func() { run("umount", dir) })
	return dir
}

// TestDiskFull fills a small real file system while the cloud is away. Devices
// are told, or wait; what they were promised arrives when the cloud is back,
// also after a kill on the full disk.
func TestDiskFull(t *testing.T) {
	dir := smallDisk(t, "12")
	w := newWorld(t, options{dataDir: dir, uplink: reject})
	w.offline()
	tr := w.publish(load.FleetConfig{Clients: 5, Topics: 4, Rate: 2000, Size: 2000})
	w.eventually("the disk is full", time.Minute, func() bool {
		var fs syscall.Statfs_t
		w.must(syscall.Statfs(dir, &fs))
		return fs.Bfree*uint64(fs.Bsize) < 1<<20
	})
	time.Sleep(time.Second)
	if err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 2<<20), 0o600); err == nil {
		t.Error("the disk is not full")
	}
	w.must(os.Remove(filepath.Join(dir, "filler")))
	w.gateway.Kill()
	w.start()
	time.Sleep(time.Second)
	w.online()
	time.Sleep(time.Second)
	tr.finish()
	w.settle()
	t.Logf("%+v", tr.Stats())
}
