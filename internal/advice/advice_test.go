package advice

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestDisk(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{syscall.EROFS, "mount -o remount,rw /data"},
		{syscall.EACCES, "chown -R USER /data"},
		{syscall.ENOSPC, "df -h /data"},
		{syscall.EDQUOT, "df -h /data"},
		{syscall.EIO, "dmesg"},
	} {
		err := &os.PathError{Op: "write", Path: "/data/x", Err: c.err}
		got := Disk(err, "/data")
		if !errors.Is(got, c.err) || !strings.HasPrefix(got.Error(), err.Error()+"; ") || !strings.Contains(got.Error(), c.want) {
			t.Errorf("%v: got %v, want it to say %q", c.err, got, c.want)
		}
	}
	other := errors.New("other")
	if Disk(other, "/data") != other || Disk(nil, "/data") != nil {
		t.Error("an unknown error was changed")
	}
}
