package metrics

import "tidegate/edge"

func (w *writer) edge(s edge.Stats) {
	gauge(w, "edge_clients_connected", "Devices that are connected.", s.Connected)
	gauge(w, "edge_connections", "Open connections, also those before CONNECT.", s.Connections)
	gauge(w, "edge_sessions", "Sessions, also of devices that are away.", s.Sessions)
	gauge(w, "edge_subscriptions", "Subscriptions of all sessions.", s.Subscriptions)
	gauge(w, "edge_shared_subscriptions", "Shared ones among them.", s.Shared)
	gauge(w, "edge_retained_messages", "Retained messages.", s.Retained)
	gauge(w, "edge_retained_bytes", "Bytes of retained messages.", s.RetainedBytes)
	gauge(w, "edge_queued_messages", "Messages that wait in sessions.", s.Queued)
	gauge(w, "edge_queued_bytes", "Bytes of messages that wait in sessions.", s.QueuedBytes)
	gauge(w, "edge_held_bytes", "Bytes that clients make the broker hold, which edge.limits.memory bounds.", s.HeldBytes)

	counter(w, "edge_connections_opened_total", "Connections that were opened.", s.ConnectionsTotal)
	counter(w, "edge_connections_refused_total", "Connections refused because of a limit.", s.ConnectionsRefused)
	counter(w, "edge_accept_errors_total", "Connections that the system could not give to the broker.", s.AcceptErrors)
	counter(w, "edge_connect_packets_total", "CONNECT packets.", s.Connects)
	counter(w, "edge_login_failures_total", "Log-ins that failed.", s.LoginsFailed)
	w.ended(s)
	counter(w, "edge_panics_total", "Connections that ended by an error of the program.", s.Panics)
	w.messages(s)
	w.dropped(s)
	w.disk(s)
}

func (w *writer) ended(s edge.Stats) {
	for cause, n := range map[string]int64{"malformed": s.Malformed, "keep-alive": s.TimedOut, "stalled": s.Cut} {
		counter(w, "edge_connections_ended_total", "Connections that the broker ended: for breaking the protocol, for their keep alive, because they took nothing.", n, "cause", cause)
	}
	counter(w, "edge_sessions_expired_total", "Sessions that ended because their device stayed away.", s.SessionsExpired)
	counter(w, "edge_sessions_dropped_total", "Sessions that ended because there were too many.", s.DroppedSessions)
}

func (w *writer) messages(s edge.Stats) {
	counter(w, "edge_messages_received_total", "Messages accepted from devices and from the gateway's own parts.", s.Received)
	counter(w, "edge_messages_sent_total", "Messages sent to devices.", s.Sent)
	counter(w, "edge_messages_sent_bytes_total", "Bytes of these, as packets.", s.SentBytes)
	counter(w, "edge_publish_packets_received_total", "PUBLISH packets from devices.", s.PublishReceived)
	counter(w, "edge_payload_received_bytes_total", "Bytes of the payloads from devices.", s.PayloadReceived)
	counter(w, "edge_payload_sent_bytes_total", "Bytes of the payloads to devices.", s.PayloadSent)
	counter(w, "edge_packets_received_total", "MQTT packets of all kinds from devices.", s.PacketsReceived)
	counter(w, "edge_packets_sent_total", "MQTT packets of all kinds to devices.", s.PacketsSent)
	counter(w, "edge_received_bytes_total", "Bytes of the packets from devices.", s.BytesReceived)
	counter(w, "edge_sent_bytes_total", "Bytes of the packets to devices.", s.BytesSent)
	counter(w, "edge_wills_total", "Wills that were published.", s.Wills)
	counter(w, "edge_publisher_pauses_total", "Times that a publisher waited for a slow subscriber.", s.Pauses)
	counter(w, "edge_denied_total", "Messages and subscriptions that permissions forbid.", s.Denied)
	counter(w, "edge_messages_refused_total", "Messages refused to devices because the uplink had no room.", s.Refused)
	counter(w, "edge_memory_limit_hits_total", "Times that something was refused because edge.limits.memory was reached.", s.Overloads)
	counter(w, "edge_commands_overdue_total", "Commands that a device left unacknowledged for too long; they wait in its session.", s.Overdue)
}

func (w *writer) dropped(s edge.Stats) {
	for cause, n := range map[string]int64{
		"queue": s.DroppedQueue, "slow": s.DroppedSlow, "expired": s.DroppedExpired, "too-large": s.DroppedTooLarge,
		"retained": s.DroppedRetained, "invalid": s.DroppedInvalid, "watched": s.DroppedWatched,
	} {
		counter(w, "edge_messages_dropped_total", "Messages not delivered in the home: a full queue, QoS 0 for a slow device, expired, larger than the device takes, no room among the retained, not valid, a part of the gateway that does not keep up.", n, "cause", cause)
	}
}

func (w *writer) disk(s edge.Stats) {
	counter(w, "edge_disk_written_bytes_total", "Bytes that edge.db gave to the card.", s.DiskWritten)
	counter(w, "edge_disk_commits_total", "Commits of edge.db.", s.DiskCommits)
	counter(w, "edge_disk_commit_failures_total", "Commits of edge.db that failed and were tried again.", s.DiskFailed)
	counter(w, "edge_disk_damaged_files_total", "Files of edge.db that were set aside because they were damaged.", s.DiskDamaged)
	counter(w, "edge_disk_salvaged_total", "Retained messages and sessions saved from these.", s.DiskSalvaged)
	gauge(w, "edge_disk_sessions", "Sessions in edge.db at its last commit.", s.DiskSessions)
	gauge(w, "edge_disk_queued_bytes", "Bytes of queued messages in edge.db at its last commit.", s.DiskQueued)
	gauge(w, "edge_disk_unsaved_messages", "Queued messages that had no room in edge.db at its last commit.", s.DiskUnsaved)
}
