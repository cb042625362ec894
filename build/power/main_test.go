package power

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"testing"
	"time"

	"tidegate/build/kernel"
)

var (
	rounds = flag.Int("rounds", 10, "power cuts")
	seed   = flag.Uint64("seed", uint64(time.Now().UnixNano()), "decides when the power goes and what is left")
)

// expected is how long a boot takes on two busy cores; time-outs are five times
// as long.
const expected = 30 * time.Second

// TestMain fails when a goroutine outlives the tests.
func TestMain(m *testing.M) {
	flag.Parse()
	fmt.Println("seed", *seed)
	before := runtime.NumGoroutine()
	code := m.Run()
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before && code == 0; {
		if time.Now().After(end) {
			pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
			fmt.Fprintln(os.Stderr, "goroutines outlived the tests")
			code = 1
		}
		time.Sleep(time.Millisecond)
	}
	os.Exit(code)
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*expected)
	t.Cleanup(cancel)
	return ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for ctx := within(t); !is(); time.Sleep(20 * time.Millisecond) {
		if ctx.Err() != nil {
			t.Fatal("not so in time: " + what)
		}
	}
}

// bench is a machine that can be switched on and off, and its disk.
type bench struct {
	t       *testing.T
	disk    *Disk
	dir     string // short, for sockets
	files   kernel.Initrd
	kernel  *kernel.Kernel
	qemu    []string // further arguments
	machine *kernel.Machine
	qmp     *kernel.QMP
}

// newBench puts the disk into a machine that is not switched on yet. cache is
// QEMU's word for how it treats the disk.
func newBench(t *testing.T, d *Disk, cache string) *bench {
	t.Helper()
	k, err := kernel.Fetch(t.Context(), t.Output())
	must(t, err)
	dir, err := os.MkdirTemp("", "power-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	b := &bench{t: t, disk: d, dir: dir, kernel: k, files: kernel.Initrd{}}
	b.qemu = []string{"-action", "reboot=reset", "-qmp", "unix:" + dir + "/qmp,server=on,wait=off",
		"-drive", "file=nbd:unix:" + dir + "/nbd,format=raw,if=none,id=card,cache=" + cache, "-device", "virtio-blk-pci,drive=card"}
	must(t, b.files.AddProgram(t.Context(), "/init", "tidegate/build/kernel/guest", dir))
	must(t, k.AddModules(b.files))
	s, err := Listen(dir+"/nbd", d)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		b.kill()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return b
}

// boot switches the machine on.
func (b *bench) boot() {
	b.t.Helper()
	var err error
	b.machine, err = kernel.Boot(within(b.t), kernel.Options{Kernel: b.kernel, Files: b.files, Dir: b.dir, QEMU: b.qemu})
	must(b.t, err)
	b.qmp, err = kernel.DialQMP(within(b.t), b.dir+"/qmp")
	must(b.t, err)
}

// do has the guest carry out a verb.
func (b *bench) do(verb string, words ...string) string {
	b.t.Helper()
	text, err := b.machine.Do(within(b.t), verb, words...)
	if err != nil {
		b.t.Fatalf("%v\nconsole:\n%s", err, b.machine.Console())
	}
	return text
}

// kill ends the machine as it stands.
func (b *bench) kill() {
	if b.machine == nil {
		return
	}
	if err := b.machine.Kill(); err != nil {
		b.t.Error(err)
	}
	b.qmp.Close()
	b.machine = nil
}
