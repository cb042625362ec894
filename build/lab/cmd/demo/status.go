package main

import "tidegate/build/lab/gateway"

// sample is what the table shows of one second.
func (s *stage) sample() sample {
	now := sample{at: s.ledger.Now(), published: s.ledger.Published(), acked: s.ledger.Acked(), received: s.consumer.Received()}
	said, err := gateway.ReadStatus(s.data) // shown, and no more: the account does not rest on it
	if err != nil {
		return now
	}
	up := said.Cloud()
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
