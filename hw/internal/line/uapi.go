package line

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The GPIO interface of the kernel, version 2 [Linux, include/uapi/linux/gpio.h].
// The structures have the same layout on 32 and 64 bits; what is padding there
// must be zero.

const (
	nameSize = 32
	maxAttrs = 10
	maxLines = 64
	// maxEvents is the most that the kernel keeps for one request.
	maxEvents = 16 * maxLines
)

type chipInfo struct {
	name  [nameSize]byte
	label [nameSize]byte
	lines uint32
}

type attribute struct {
	id    uint32
	_     uint32
	value uint64 // flags, output values, or the debounce period in µs in its first four bytes
}

type configAttribute struct {
	attribute
	mask uint64 // of the lines of the request
}

type requestConfig struct {
	flags    uint64
	numAttrs uint32
	_        [5]uint32
	attrs    [maxAttrs]configAttribute
}

type lineRequest struct {
	offsets   [maxLines]uint32
	consumer  [nameSize]byte
	config    requestConfig
	numLines  uint32
	maxEvents uint32
	_         [5]uint32
	fd        int32
}

type lineInfo struct {
	name     [nameSize]byte
	consumer [nameSize]byte
	offset   uint32
	_        uint32
	flags    uint64
	_        [maxAttrs]attribute
	_        [4]uint32
}

type lineValues struct {
	bits uint64
	mask uint64
}

// lineEvent is what a line gives to read; see Line.decode.
const (
	eventSize     = 48
	eventTime     = 0  // uint64, ns of the monotonic clock
	eventID       = 8  // uint32
	eventLineSeq  = 20 // uint32, from 1, of this line in this request
	eventRising   = 1
	attrOutputs   = 2
	attrDebounce  = 3
	flagUsed      = 1 << 0
	flagActiveLow = 1 << 1
	flagInput     = 1 << 2
	flagOutput    = 1 << 3
	flagRising    = 1 << 4
	flagFalling   = 1 << 5
	flagPullUp    = 1 << 8
	flagPullDown  = 1 << 9
	flagPullNone  = 1 << 10
)

// The numbers of the calls: direction, size of the structure, 0xb4, number.
var (
	callChipInfo  = ioc(2, unsafe.Sizeof(chipInfo{}), 0x01)
	callLineInfo  = ioc(3, unsafe.Sizeof(lineInfo{}), 0x05)
	callRequest   = ioc(3, unsafe.Sizeof(lineRequest{}), 0x07)
	callGetValues = ioc(3, unsafe.Sizeof(lineValues{}), 0x0e)
	callSetValues = ioc(3, unsafe.Sizeof(lineValues{}), 0x0f)
)

func ioc(direction, size, number uintptr) uintptr {
	return direction<<30 | size<<16 | 0xb4<<8 | number
}

// call makes one ioctl on f with the structure that arg points to. It returns
// a unix.Errno as it is.
func call[T any](f *os.File, request uintptr, arg *T) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var errno unix.Errno
	err = raw.Control(func(fd uintptr) {
		for {
			_, _, errno = unix.Syscall(unix.SYS_IOCTL, fd, request, uintptr(unsafe.Pointer(arg)))
			if errno != unix.EINTR {
				return
			}
		}
	})
	if err == nil && errno != 0 {
		err = errno
	}
	return err
}

func text(b [nameSize]byte) string { return unix.ByteSliceToString(b[:]) }
