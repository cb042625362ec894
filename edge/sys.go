package edge

import (
	"syscall"
	"unsafe"
)

// read and write are syscall.Read and syscall.Write for a descriptor that
// never blocks. They do not tell Go's scheduler of the call: for a few bytes
// that costs more than the call itself (28 to 34 % of the broker's CPU time at
// low rates, measured in turns with and without). The price is
// that the goroutine keeps its processor during the call, which the kernel's
// socket buffers bound to well under a millisecond. p is not empty.

func read(fd uintptr, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	return int(n), errno
}

func write(fd uintptr, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	return int(n), errno
}
