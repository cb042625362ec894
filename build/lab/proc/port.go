package proc

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports returns n different free TCP ports of the loopback address. They lie
// below the range from which Linux takes the ports of outgoing connections,
// so that a killed server finds its port free when it comes back.
func Ports(n int) ([]int, error) {
	const first, last = 15000, 30000
	var ports []int
	seen := map[int]bool{}
	for tries := 0; len(ports) < n; tries++ {
		if tries == 1000 {
			return nil, fmt.Errorf("no %d free ports between %d and %d", n, first, last)
		}
		port := first + rand.IntN(last-first)
		if seen[port] {
			continue
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		l.Close()
		seen[port] = true
		ports = append(ports, port)
	}
	return ports, nil
}
