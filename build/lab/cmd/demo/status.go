package main

import (
	"bufio"
	"encoding/json"
	"net"
	"path/filepath"
	"time"

	"tidegate/uplink"
)

// status reads one line of the gateway's status socket. What it says is shown,
// and no more: the account does not rest on it.
func status(dataDir string) (uplink.Stats, error) {
	var all struct {
		Uplinks map[string]uplink.Stats `json:"uplinks"`
	}
	c, err := net.DialTimeout("unix", filepath.Join(dataDir, "status.sock"), time.Second)
	if err != nil {
		return uplink.Stats{}, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Second))
	line, err := bufio.NewReader(c).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &all)
	}
	return all.Uplinks["cloud"], err
}

// sample is what the table shows of one second.
func (s *stage) sample() sample {
	now := sample{at: s.ledger.Now(), published: s.ledger.Published(), acked: s.ledger.Acked(), received: s.consumer.Received()}
	up, err := status(s.data)
	if err != nil {
		return now
	}
	now.up = true
	for _, l := range up.Links {
		if !l.Down {
			now.links = append(now.links, linkState{l.ID, s.nodeName(l.Endpoint), l.State, l.InFlight})
		}
	}
	for _, st := range up.Spool.Streams {
		now.ram += int64(st.Waiting)
		now.disk += int64(st.Stored)
	}
	return now
}

// nodeName is the name of the node at a URL.
func (s *stage) nodeName(url string) string {
	for _, n := range s.cloud.Nodes {
		if url == "mqtt://"+n.Addr {
			return n.Name
		}
	}
	return "-"
}
