package gateway

import (
	"bufio"
	"encoding/json"
	"net"
	"path/filepath"
	"time"

	"tidegate/uplink"
)

// Status is one line of a gateway's status socket.
type Status struct {
	Goroutines int
	Uplinks    map[string]uplink.Stats
}

// Cloud returns the numbers of the one uplink that a lab's gateway has.
func (s Status) Cloud() uplink.Stats { return s.Uplinks["cloud"] }

// ReadStatus asks the gateway that holds the data directory. It is an error
// when none runs, does not answer in 5 s, or too many ask.
func ReadStatus(dataDir string) (s Status, err error) {
	c, err := net.DialTimeout("unix", filepath.Join(dataDir, "status.sock"), time.Second)
	if err != nil {
		return s, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return s, err
	}
	line, err := bufio.NewReader(c).ReadBytes('\n')
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(line, &s)
}
