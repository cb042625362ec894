package spool

import "time"

// Stats is a snapshot of a Spool.
type Stats struct {
	Loaded    bool // what earlier processes left is known
	Streams   []StreamStats
	Old       []StreamStats // of layouts with another number of links, not yet drained
	Files     int
	DiskBytes int64
	Commits   int64
	Written   int64 // bytes given to the card since the start
	Corrupt   int64 // files set aside since the start
	Drops     []DropStats
	Replay    Replay
	DeadLost  int64  // refused messages for which the dead letters had no room, or have none any more
	Trouble   string // with the disk; empty when all is well
}

// StreamStats is what one link holds of one class.
type StreamStats struct {
	Link     int
	Class    Class
	Waiting  int           // in RAM only, not taken
	Bytes    int           // theirs
	InFlight int           // taken, not acknowledged
	Stored   int           // on disk, not taken; may be wrong after damage until all was read
	Disk     int64         // their bytes
	Oldest   time.Duration // age of the oldest un-acked message; an estimate for what is on disk
	Accepted int64         // since the start
	Taken    int64
	Dropped  Drops

	Unmarked  int64 // acknowledged, and sent again after a power cut: the last commit had no room to name them
	Uncounted int64 // messages that came from disk though Stored did not count them
}

// Drops counts messages that will not reach the cloud, by cause.
type Drops struct {
	Oldest   int64 // RAM full, drop-oldest
	Newest   int64 // RAM full, drop-newest
	Rejected int64 // RAM full, refused to the device with 0x97
	Disk     int64 // max-disk, drop-oldest
	Expired  int64 // Message Expiry Interval
	Aged     int64 // max-age
	Refused  int64 // by the cloud, for good; in the dead letters
	Damaged  int64 // rows that a damaged file lost
}

// Stats returns a snapshot.
func (s *Spool) Stats() Stats {
	out := Stats{Loaded: s.loaded.Load(), Files: len(s.disk.all()), DiskBytes: s.disk.used.Load(), Commits: s.commits.Load(),
		Written: s.bytes.Load(), Corrupt: s.disk.corrupt.Load(), DeadLost: s.refused.lost.Load(), Drops: s.losses.stats()}
	if t := s.trouble.Load(); t != nil {
		out.Trouble = t.err.Error()
	}
	now := time.Now()
	backlog := 0
	for _, st := range s.every() {
		st.mu.Lock()
		backlog += max(st.unsent, 0) + st.behind.n
		st.mu.Unlock()
	}
	out.Replay = s.replay.state(backlog)
	for _, st := range s.streams {
		out.Streams = append(out.Streams, st.stats(now))
	}
	for _, st := range s.old.all() {
		if x := st.stats(now); x.Stored+x.InFlight > 0 {
			out.Old = append(out.Old, x)
		}
	}
	return out
}

func (st *stream) stats(now time.Time) StreamStats {
	st.mu.Lock()
	defer st.mu.Unlock()
	oldest := now
	older := func(e *Entry) {
		if e != nil && e.Msg.Accepted.Before(oldest) {
			oldest = e.Msg.Accepted
		}
	}
	older(st.live.front())
	older(st.behind.front())
	older(st.ahead.front())
	for _, l := range []*list{&st.flying, &st.kept} {
		for e := l.first; e != nil; e = e.next {
			older(e)
		}
	}
	if st.unsent > 0 && st.ahead.n == 0 && st.oldest.Before(oldest) {
		oldest = st.oldest
	}
	return StreamStats{Link: st.link, Class: st.key.Class, Waiting: st.waiting(), Bytes: st.bytes, InFlight: st.flying.n + st.kept.n,
		Stored: max(st.unsent, 0), Disk: max(st.stock, 0), Oldest: now.Sub(oldest), Accepted: st.pushed, Taken: st.taken, Dropped: st.drops,
		Unmarked: st.unmarked, Uncounted: st.found}
}
