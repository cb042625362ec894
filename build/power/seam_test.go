package power

import (
	"fmt"
	"strings"
	"testing"
)

// What the test of the gateway rests on: which of the guest's writes a cut
// leaves, and that it fails when they are lost.
func TestSeam(t *testing.T) {
	const size = 4096
	for _, tt := range []struct {
		cache, seen      string
		unsynced, synced string // what is left of them
	}{
		{"none", "write back", "\x00", "b"},
		{"directsync", "write through", "a", "b"},
	} {
		t.Run(tt.cache, func(t *testing.T) {
			d := New(1<<20, *seed)
			b := newBench(t, d, tt.cache)
			b.boot()
			b.do("load", "virtio_pci", "virtio_blk")
			if got := b.do("read", "/sys/block/vda/queue/write_cache"); got != tt.seen {
				t.Errorf("the guest sees a cache that is %q, want %q", got, tt.seen)
			}
			b.do("direct", "/dev/vda", "8192", fmt.Sprint(size), "b", "sync")
			b.do("direct", "/dev/vda", "0", fmt.Sprint(size), "a")
			d.Off()
			b.kill()
			d.Cut(Drop)
			got := make([]byte, size)
			for _, place := range []struct {
				name string
				at   int64
				want string
			}{{"unsynced", 0, tt.unsynced}, {"synced", 8192, tt.synced}} {
				must(t, d.read(place.at, got))
				if want := strings.Repeat(place.want, size); string(got) != want {
					t.Errorf("%s: got %q..., want %q...", place.name, got[:8], want[:8])
				}
			}
			t.Logf("%+v", d.Stats())
		})
	}
}
