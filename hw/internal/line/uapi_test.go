package line

import (
	"encoding/binary"
	"testing"
	"time"
	"unsafe"
)

// The sizes and numbers of [Linux, include/uapi/linux/gpio.h], the same on 32
// and 64 bits: a structure of another size gets another number.
func TestCallsAreTheKernels(t *testing.T) {
	for _, c := range []struct {
		name      string
		got, want uintptr
	}{
		{"GPIO_GET_CHIPINFO_IOCTL", callChipInfo, 0x8044b401},
		{"GPIO_V2_GET_LINEINFO_IOCTL", callLineInfo, 0xc100b405},
		{"GPIO_V2_GET_LINE_IOCTL", callRequest, 0xc250b407},
		{"GPIO_V2_LINE_GET_VALUES_IOCTL", callGetValues, 0xc010b40e},
		{"GPIO_V2_LINE_SET_VALUES_IOCTL", callSetValues, 0xc010b40f},
		{"size of struct gpio_v2_line_config", unsafe.Sizeof(requestConfig{}), 272},
		{"offset of config", unsafe.Offsetof(lineRequest{}.config), 288},
		{"offset of num_lines", unsafe.Offsetof(lineRequest{}.numLines), 560},
		{"offset of fd", unsafe.Offsetof(lineRequest{}.fd), 588},
		{"offset of flags in the info", unsafe.Offsetof(lineInfo{}.flags), 72},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %#x, want %#x", c.name, c.got, c.want)
		}
	}
}

func TestRequestSaysWhatTheSetupSays(t *testing.T) {
	for _, c := range []struct {
		name  string
		setup Setup
		flags uint64
		attrs []attribute
	}{
		{"input", Setup{}, flagInput, nil},
		{"contact to ground", Setup{ActiveLow: true, Pull: PullUp, Edges: BothEdges, Debounce: 20 * time.Millisecond},
			flagInput | flagActiveLow | flagPullUp | flagRising | flagFalling, []attribute{{id: attrDebounce, value: debounceValue(20000)}}},
		{"pulses", Setup{Pull: PullDown, Edges: Falling}, flagInput | flagPullDown | flagFalling, nil},
		{"resistor outside", Setup{Pull: PullNone, Edges: Rising}, flagInput | flagPullNone | flagRising, nil},
		// The output's level is in the request: nothing clicks meanwhile.
		{"relay that is on", Setup{Output: true, On: true, ActiveLow: true, Debounce: time.Second, Pull: PullUp},
			flagOutput | flagActiveLow, []attribute{{id: attrOutputs, value: 1}}},
		{"relay that is off", Setup{Output: true}, flagOutput, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := c.setup.request(17)
			if got.numLines != 1 || got.offsets[0] != 17 || got.maxEvents != 1024 || text(got.consumer) != "tidegate" {
				t.Errorf("got lines %d, first %d, room %d, consumer %q", got.numLines, got.offsets[0], got.maxEvents, text(got.consumer))
			}
			if got.config.flags != c.flags || int(got.config.numAttrs) != len(c.attrs) {
				t.Fatalf("got flags %#x and %d attributes, want %#x and %d", got.config.flags, got.config.numAttrs, c.flags, len(c.attrs))
			}
			for i, want := range c.attrs {
				if got := got.config.attrs[i]; got.attribute != want || got.mask != 1 {
					t.Errorf("attribute %d: got %+v, want %+v for the first line", i, got, want)
				}
			}
		})
	}
}

func debounceValue(us uint32) uint64 {
	var b [8]byte
	binary.NativeEndian.PutUint32(b[:], us)
	return binary.NativeEndian.Uint64(b[:])
}

// event is one as the kernel writes it.
func event(at time.Duration, id, lineSeq uint32) []byte {
	b := make([]byte, eventSize)
	binary.NativeEndian.PutUint64(b[eventTime:], uint64(at))
	binary.NativeEndian.PutUint32(b[eventID:], id)
	binary.NativeEndian.PutUint32(b[16:], 99) // of the request
	binary.NativeEndian.PutUint32(b[eventLineSeq:], lineSeq)
	return b
}

func TestGapsInTheNumbersOfEdgesAreCounted(t *testing.T) {
	var b []byte
	for _, e := range [][]byte{event(5, 1, 1), event(7, 2, 2), event(9, 1, 6), event(11, 2, 0xffffffff), event(12, 1, 0)} {
		b = append(b, e...)
	}
	want := []Edge{{5, true, 0}, {7, false, 0}, {9, true, 3}, {11, false, 0xffffffff - 7}, {12, true, 0}}
	var l Line
	got := make([]Edge, 64)
	if n := l.decode(b, got); n != len(want) {
		t.Fatalf("got %d edges, want %d", n, len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("edge %d: got %+v, want %+v", i, got[i], want[i])
		}
	}
}
