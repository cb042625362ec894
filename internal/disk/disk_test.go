package disk

import (
	"os"
	"path/filepath"
	"testing"
)

func TestOf(t *testing.T) {
	for name, c := range map[string]struct {
		files  map[string]string
		folder string
		want   string
	}{
		"nothing": {nil, "/data", ""},
		"a partition": {map[string]string{
			"proc/self/mountinfo":          "25 1 179:2 / / ro - ext4 /dev/root ro\n41 25 179:4 / /data rw - ext4 /dev/mmcblk0p4 rw\n42 25 179:4 /tidegate /var/lib/tidegate rw - ext4 /dev/mmcblk0p4 rw\n",
			"sys/block/mmcblk0/dev":        "179:0\n",
			"sys/block/mmcblk0/p4/dev":     "179:4\n",
			"sys/block/sda/sda1/dev":       "8:1\n",
			"sys/block/mmcblk0/queue/size": "",
		}, "/var/lib/tidegate", "mmcblk0"},
		"an overlay on a card": {map[string]string{"proc/self/mountinfo": "25 1 0:23 / / rw - overlay overlay rw\n", "sys/block/mmcblk1/dev": "179:0\n", "sys/block/sda/dev": "8:0\n"}, "/data", "mmcblk1"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for file, content := range c.files {
				file = filepath.Join(root, file)
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if got := Of(root, c.folder); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestWhatTheKernelWrites(t *testing.T) {
	for text, want := range map[string]int64{
		"    9021     2217   627362    61623    13712     6187   204800    82391\n": 204800 * 512,
		"1 2 3\n": -1, "": -1, "1 2 3 4 5 6 x": -1, "1 2 3 4 5 6 -7": -1,
	} {
		if got, ok := Written([]byte(text)); ok != (want >= 0) || ok && got != want {
			t.Errorf("Written(%q): got %d, %v, want %d", text, got, ok, want)
		}
	}
	for text, want := range map[string]int{"0x02 0x03\n": 30, "0x0b 0x01": 110, "0x00 0x00\n": 0, "": 0, "0x01": 0, "x 0x1": 0} {
		if got, ok := Wear([]byte(text)); ok != (want > 0) || ok && got != want {
			t.Errorf("Wear(%q): got %d, %v, want %d", text, got, ok, want)
		}
	}
	for text, want := range map[string][2]bool{"0x01\n": {false, true}, "0x02\n": {true, true}, "0x00\n": {false, false}, "": {false, false}} {
		if low, ok := SparesLow([]byte(text)); low && ok != want[0] || ok != want[1] {
			t.Errorf("SparesLow(%q): got %v, %v, want %v", text, low, ok, want)
		}
	}
}

func TestMountTable(t *testing.T) {
	const table = "1 0 179:2 / / rw - ext4 a rw\n" +
		"2 1 0:30 / /var rw - tmpfs b rw\n" +
		"3 2 179:3 / /var/lib rw - ext4 c rw\n" +
		"4 2 8:1 / /var/lib rw - ext4 d rw\nshort\n"
	for folder, want := range map[string]string{
		"/": "179:2", "/variety": "179:2", "/var": "0:30", "/var/log": "0:30", "/var/lib": "8:1", "/var/lib/tidegate": "8:1",
	} {
		if got := mountedFrom([]byte(table), folder); got != want {
			t.Errorf("%s: got %s, want %s", folder, got, want)
		}
	}
	if got := mountedFrom(nil, "/"); got != "" {
		t.Errorf("no table: got %s", got)
	}
}
