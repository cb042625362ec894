package edge

import "sync/atomic"

// Stats are the numbers of a broker since its start, and of this moment.
type Stats struct {
	// Of this moment.
	Connected     int // clients with a session and a connection
	Connections   int // all connections, also those before CONNECT
	Sessions      int // also of clients that are away
	Subscriptions int
	Shared        int // subscriptions, of them
	Retained      int
	RetainedBytes int64
	Queued        int   // messages waiting in sessions
	QueuedBytes   int64 // and their bytes
	HeldBytes     int64 // what limits.memory bounds

	// Since the start.
	ConnectionsTotal   int64
	ConnectionsRefused int64 // by a limit
	Connects           int64 // CONNECT packets
	AcceptErrors       int64
	LoginsFailed       int64
	Malformed          int64 // connections ended for breaking the protocol
	TimedOut           int64 // by their keep alive
	Cut                int64 // because they took nothing
	Panics             int64
	Received           int64 // messages accepted from clients and from the gateway
	Sent               int64 // messages sent to clients
	SentBytes          int64
	PacketsReceived    int64 // of all kinds, from clients
	PacketsSent        int64
	BytesReceived      int64 // of these packets
	BytesSent          int64
	PublishReceived    int64 // PUBLISH packets
	PayloadReceived    int64 // their payloads' bytes
	PayloadSent        int64
	Pauses             int64 // times a publisher waited for a slow subscriber
	Denied             int64 // by permissions
	Refused            int64 // by the uplink
	Wills              int64
	SessionsExpired    int64
	Overloads          int64 // times something was refused because limits.memory was reached
	Overdue            int64 // commands that a client left unacknowledged for too long; they wait in its session

	// edge.db.
	DiskWritten  int64 // bytes given to the card
	DiskCommits  int64
	DiskFailed   int64 // commits that failed and were tried again
	DiskDamaged  int64 // files set aside
	DiskSalvaged int64 // retained messages and sessions saved from them
	DiskSessions int   // there at the last commit
	DiskQueued   int64 // bytes of queued messages there, at the last commit
	DiskUnsaved  int   // queued messages that had no room there then

	// Messages dropped, by cause.
	DroppedQueue    int64 // a session's queue, or all of them, were full
	DroppedSlow     int64 // QoS 0 for a client that takes nothing
	DroppedExpired  int64
	DroppedTooLarge int64 // larger than the client's Maximum Packet Size
	DroppedRetained int64 // not retained, because of a limit
	DroppedInvalid  int64 // from inside, with a topic that is not valid
	DroppedSessions int64 // sessions ended because they were too many
	DroppedWatched  int64 // from inside, for a part of the gateway that does not keep up
}

// counters are what Stats are made of.
type counters struct {
	connections, refusedConnections, acceptErrors, loginsFailed, malformed, timeouts, cut, panics  atomic.Int64
	received, sent, sentBytes, pauses, denied, refused, wills, expiredSessions, overdue, overloads atomic.Int64

	connects, packetsIn, bytesIn, payloadIn, payloadOut, said, saidBytes, inside atomic.Int64

	droppedQueue, droppedSlow, droppedExpired, droppedTooLarge, droppedRetained, droppedInvalid, droppedSessions, droppedWatched atomic.Int64
}

// add takes over what a batch has counted.
func (n *counters) add(bt *batch) {
	if bt.received > 0 {
		n.received.Add(bt.received)
		n.payloadIn.Add(bt.payloadIn)
	}
	if bt.sent > 0 {
		n.sent.Add(bt.sent)
		n.sentBytes.Add(bt.bytesOut)
		n.payloadOut.Add(bt.payloadOut)
	}
	if bt.packetsIn > 0 {
		n.packetsIn.Add(bt.packetsIn)
		n.bytesIn.Add(bt.bytesIn)
	}
	bt.received, bt.sent, bt.bytesOut, bt.payloadOut, bt.flushed = 0, 0, 0, 0, 0
	bt.packetsIn, bt.bytesIn, bt.payloadIn = 0, 0, 0
}

// Stats returns the numbers of now.
func (b *Broker) Stats() Stats {
	n := &b.stats
	s := Stats{
		QueuedBytes:        b.queuedBytes.Load(),
		HeldBytes:          b.memory.used.Load(),
		ConnectionsTotal:   n.connections.Load(),
		ConnectionsRefused: n.refusedConnections.Load(),
		Connects:           n.connects.Load(),
		AcceptErrors:       n.acceptErrors.Load(),
		LoginsFailed:       n.loginsFailed.Load(),
		Malformed:          n.malformed.Load(),
		TimedOut:           n.timeouts.Load(),
		Cut:                n.cut.Load(),
		Panics:             n.panics.Load(),
		Received:           n.received.Load(),
		Sent:               n.sent.Load(),
		SentBytes:          n.sentBytes.Load(),
		PacketsReceived:    n.packetsIn.Load(),
		BytesReceived:      n.bytesIn.Load(),
		PublishReceived:    n.received.Load() - n.inside.Load(),
		PayloadReceived:    n.payloadIn.Load(),
		PayloadSent:        n.payloadOut.Load(),
		Pauses:             n.pauses.Load(),
		Denied:             n.denied.Load(),
		Refused:            n.refused.Load(),
		Wills:              n.wills.Load(),
		SessionsExpired:    n.expiredSessions.Load(),
		Overdue:            n.overdue.Load(),
		Overloads:          n.overloads.Load(),
		DroppedQueue:       n.droppedQueue.Load(),
		DroppedSlow:        n.droppedSlow.Load(),
		DroppedExpired:     n.droppedExpired.Load(),
		DroppedTooLarge:    n.droppedTooLarge.Load(),
		DroppedRetained:    n.droppedRetained.Load(),
		DroppedInvalid:     n.droppedInvalid.Load(),
		DroppedSessions:    n.droppedSessions.Load(),
		DroppedWatched:     n.droppedWatched.Load(),
	}
	if st := b.store; st != nil {
		disk := st.snapshot()
		s.DiskSessions, s.DiskQueued, s.DiskUnsaved = disk.Sessions, disk.SessionBytes, disk.Unsaved
		s.DiskWritten, s.DiskCommits, s.DiskFailed, s.DiskDamaged, s.DiskSalvaged = disk.Written, disk.Commits, disk.Failed, disk.Damaged, disk.Salvaged
	}
	b.mu.Lock()
	s.Connections = len(b.conns)
	for c := range b.conns {
		c.tellSaid()
	}
	for _, st := range b.seats {
		if st.sess != nil {
			s.Sessions++
			s.Queued += int(st.sess.queued.Load())
		}
	}
	s.Connected = s.Sessions - len(b.absent)
	b.mu.Unlock()
	s.PacketsSent, s.BytesSent = s.Sent+n.said.Load(), s.SentBytes+n.saidBytes.Load()
	b.trie.mu.RLock()
	s.Subscriptions, s.Shared, s.Retained, s.RetainedBytes = b.trie.subscriptions, b.trie.shared, b.trie.retained, b.trie.retainedBytes
	b.trie.mu.RUnlock()
	return s
}
