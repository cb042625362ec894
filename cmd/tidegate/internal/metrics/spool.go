package metrics

import (
	"slices"

	"tidegate/uplink/spool"
)

func (w *writer) spool(u Uplink) {
	s, name := u.Spool, []string{"uplink", u.Name}
	flag(w, "spool_loaded", "1 when it is known what earlier runs left on disk.", s.Loaded, name...)
	flag(w, "spool_trouble", "1 while the disk cannot be written.", s.Trouble != "", name...)
	gauge(w, "spool_files", "Files of the spool.", s.Files, name...)
	gauge(w, "spool_size_bytes", "Bytes of these files.", s.DiskBytes, name...)
	gauge(w, "spool_size_limit_bytes", "Bytes that they may have.", u.MaxDisk, name...)
	counter(w, "spool_commits_total", "Commits to the card.", s.Commits, name...)
	counter(w, "spool_written_bytes_total", "Bytes given to the card.", s.Written, name...)
	counter(w, "spool_corrupt_files_total", "Files set aside because they were damaged.", s.Corrupt, name...)
	counter(w, "spool_dead_letters_lost_total", "Refused messages for which the dead letters had no room.", s.DeadLost, name...)

	gauge(w, "spool_backlog_messages", "Messages on disk, and those that wait behind them.", s.Replay.Backlog, name...)
	gauge(w, "spool_replay_messages_per_second", "Messages of the backlog that are sent in a second.", s.Replay.Rate, name...)
	gauge(w, "spool_inflow_messages_per_second", "Messages that come in behind them in a second.", s.Replay.Inflow, name...)
	gauge(w, "spool_replay_limit_messages_per_second", "What the sending of the backlog is held to; 0 for nothing.", s.Replay.Limit, name...)
	gauge(w, "spool_drain_seconds", "Time until the backlog is sent, as it goes now; 0 when there is none or nobody knows.", s.Replay.Left.Seconds(), name...)

	for _, st := range s.Streams {
		link := ""
		if st.Link < len(u.Links) {
			link = u.Links[st.Link].ID
		}
		w.stream(st, "uplink", u.Name, "link", link, "class", st.Class.String())
	}
	for _, st := range former(s.Old) {
		w.stream(st, "uplink", u.Name, "link", "former", "class", st.Class.String())
	}
}

// former adds up what waits of layouts with another number of links, by class.
func former(old []spool.StreamStats) (sums []spool.StreamStats) {
	for _, st := range old {
		i := slices.IndexFunc(sums, func(o spool.StreamStats) bool { return o.Class == st.Class })
		if i < 0 {
			sums = append(sums, st)
			continue
		}
		sum := &sums[i]
		sum.Waiting += st.Waiting
		sum.Bytes += st.Bytes
		sum.InFlight += st.InFlight
		sum.Stored += st.Stored
		sum.Disk += st.Disk
		sum.Oldest = max(sum.Oldest, st.Oldest)
		sum.Accepted += st.Accepted
		sum.Taken += st.Taken
		sum.Unmarked += st.Unmarked
		sum.Uncounted += st.Uncounted
	}
	return sums
}

func (w *writer) stream(s spool.StreamStats, labels ...string) {
	gauge(w, "stream_ram_messages", "Messages that wait in RAM only.", s.Waiting, labels...)
	gauge(w, "stream_ram_bytes", "Bytes of these.", s.Bytes, labels...)
	gauge(w, "stream_in_flight_messages", "Messages given to a link and not acknowledged.", s.InFlight, labels...)
	gauge(w, "stream_disk_messages", "Messages that wait on disk.", s.Stored, labels...)
	gauge(w, "stream_disk_bytes", "Bytes of these.", s.Disk, labels...)
	gauge(w, "stream_oldest_message_age_seconds", "Age of the oldest message that is not acknowledged.", s.Oldest.Seconds(), labels...)
	counter(w, "stream_accepted_messages_total", "Messages taken in.", s.Accepted, labels...)
	counter(w, "stream_taken_messages_total", "Messages given to a link, repetitions too.", s.Taken, labels...)
	counter(w, "stream_unmarked_messages_total", "Messages that a power cut would make the gateway send again though they were acknowledged.", s.Unmarked, labels...)
	counter(w, "stream_uncounted_messages_total", "Messages that came from disk and were not expected there.", s.Uncounted, labels...)
}
