package network

import (
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

const (
	tunName = "lab"
	mtu     = 1500
)

// openTUN makes a TUN device with the address in the namespace, up, and the
// lab's other hosts behind it. What is written to the file arrives there as an
// IP packet; what is sent from there is read from it. The device goes with the
// file.
func openTUN(ns *os.File, addr netip.Prefix) (tun *os.File, err error) {
	err = In(ns, func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return fmt.Errorf("open /dev/net/tun, without which there is no bad network: %w", err)
		}
		request, err := unix.NewIfreq(tunName)
		if err == nil {
			request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
		}
		// Not before: a file that is no device yet would never be woken.
		tun = os.NewFile(uintptr(fd), "/dev/net/tun")
		if err != nil {
			return fmt.Errorf("make a TUN device: %w", err)
		}
		if err := ip("addr", "add", addr.String(), "dev", tunName); err != nil {
			return err
		}
		return ip("link", "set", tunName, "mtu", fmt.Sprint(mtu), "up")
	})
	if err != nil && tun != nil {
		tun.Close()
		return nil, err
	}
	return tun, err
}
