//go:build race

package rawio

import "syscall"

// The race detector takes what one end of a connection did before it wrote to
// have happened before what the other end does after it has read. It learns of
// that from the syscall package only.

// Read reads into p, which is not empty.
func Read(fd uintptr, p []byte) (int, syscall.Errno) { return told(syscall.Read(int(fd), p)) }

// Write writes p, which is not empty.
func Write(fd uintptr, p []byte) (int, syscall.Errno) { return told(syscall.Write(int(fd), p)) }

func told(n int, err error) (int, syscall.Errno) {
	errno, _ := err.(syscall.Errno)
	return max(n, 0), errno
}
