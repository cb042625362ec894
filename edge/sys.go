package edge

import (
	"math"
	"runtime/metrics"
	"strconv"
	"time"
)

// sysTree publishes the broker's numbers below $SYS/broker, under the names that
// Mosquitto gives them, so that dashboards made for it work. What has changed
// since the last round is retained at QoS 0: for nobody it waits in a session,
// and nothing of it goes to disk, to the uplink or into the numbers of messages
// received. A round takes the whole interval, a few topics at a time. It is the
// house keeper's alone.
type sysTree struct {
	began time.Time // of this round; zero: nothing is published
	start time.Time
	view  sysView
	next  int // of sysTopics in this round
	last  [len(sysTopics)]int64
	said  [len(sysTopics)]bool
	heap  [1]metrics.Sample
}

// sysView is what one round tells.
type sysView struct {
	Stats
	uptime      int64 // seconds
	heap        int64 // bytes
	maxHeap     int64 // as seen at the rounds
	maxClients  int64
	load        [len(sysLoads)][len(loadSpans)]float64 // per minute
	loadCounted [len(sysLoads)]int64
}

// loadSpans are the minutes over which a load is averaged: the older the less it
// counts, as the load average of Unix has it.
var loadSpans = [...]float64{1, 5, 15}

// sysLoads are counters whose loads are told.
var sysLoads = [...]func(*Stats) int64{
	func(s *Stats) int64 { return s.PacketsReceived },
	func(s *Stats) int64 { return s.PacketsSent },
	func(s *Stats) int64 { return s.DroppedQueue + s.DroppedSlow },
	func(s *Stats) int64 { return s.PublishReceived },
	func(s *Stats) int64 { return s.Sent },
	func(s *Stats) int64 { return s.BytesReceived },
	func(s *Stats) int64 { return s.BytesSent },
	func(s *Stats) int64 { return s.ConnectionsTotal },
	func(s *Stats) int64 { return s.Connects },
}

// The forms of a value.
const (
	sysNumber  = iota
	sysSeconds // "12 seconds"
	sysLoad    // hundredths: "0.12"
	sysVersion // of the program; the number says nothing
)

type sysTopic struct {
	name  string
	form  int
	value func(*sysView) int64
}

const sysRoot = "$SYS/broker/"

// sysTopics are those of Mosquitto 2.
var sysTopics = [...]sysTopic{
	{sysRoot + "version", sysVersion, func(*sysView) int64 { return 0 }},
	{sysRoot + "uptime", sysSeconds, func(v *sysView) int64 { return v.uptime }},
	{sysRoot + "clients/total", sysNumber, func(v *sysView) int64 { return int64(v.Sessions) }},
	{sysRoot + "clients/inactive", sysNumber, func(v *sysView) int64 { return int64(v.Sessions - v.Connected) }},
	{sysRoot + "clients/disconnected", sysNumber, func(v *sysView) int64 { return int64(v.Sessions - v.Connected) }},
	{sysRoot + "clients/active", sysNumber, func(v *sysView) int64 { return int64(v.Connected) }},
	{sysRoot + "clients/connected", sysNumber, func(v *sysView) int64 { return int64(v.Connected) }},
	{sysRoot + "clients/expired", sysNumber, func(v *sysView) int64 { return v.SessionsExpired }},
	{sysRoot + "clients/maximum", sysNumber, func(v *sysView) int64 { return v.maxClients }},
	{sysRoot + "messages/stored", sysNumber, func(v *sysView) int64 { return int64(v.Retained + v.Queued) }},
	{sysRoot + "store/messages/count", sysNumber, func(v *sysView) int64 { return int64(v.Retained + v.Queued) }},
	{sysRoot + "store/messages/bytes", sysNumber, func(v *sysView) int64 { return v.RetainedBytes + v.QueuedBytes }},
	{sysRoot + "subscriptions/count", sysNumber, func(v *sysView) int64 { return int64(v.Subscriptions - v.Shared) }},
	{sysRoot + "shared_subscriptions/count", sysNumber, func(v *sysView) int64 { return int64(v.Shared) }},
	{sysRoot + "retained messages/count", sysNumber, func(v *sysView) int64 { return int64(v.Retained) }},
	{sysRoot + "heap/current", sysNumber, func(v *sysView) int64 { return v.heap }},
	{sysRoot + "heap/maximum", sysNumber, func(v *sysView) int64 { return v.maxHeap }},
	{sysRoot + "messages/received", sysNumber, func(v *sysView) int64 { return v.PacketsReceived }},
	{sysRoot + "messages/sent", sysNumber, func(v *sysView) int64 { return v.PacketsSent }},
	{sysRoot + "publish/messages/dropped", sysNumber, func(v *sysView) int64 { return v.DroppedQueue + v.DroppedSlow }},
	{sysRoot + "publish/messages/received", sysNumber, func(v *sysView) int64 { return v.PublishReceived }},
	{sysRoot + "publish/messages/sent", sysNumber, func(v *sysView) int64 { return v.Sent }},
	{sysRoot + "publish/bytes/received", sysNumber, func(v *sysView) int64 { return v.PayloadReceived }},
	{sysRoot + "publish/bytes/sent", sysNumber, func(v *sysView) int64 { return v.PayloadSent }},
	{sysRoot + "bytes/received", sysNumber, func(v *sysView) int64 { return v.BytesReceived }},
	{sysRoot + "bytes/sent", sysNumber, func(v *sysView) int64 { return v.BytesSent }},
	{sysRoot + "load/messages/received/1min", sysLoad, func(v *sysView) int64 { return v.hundredths(0, 0) }},
	{sysRoot + "load/messages/received/5min", sysLoad, func(v *sysView) int64 { return v.hundredths(0, 1) }},
	{sysRoot + "load/messages/received/15min", sysLoad, func(v *sysView) int64 { return v.hundredths(0, 2) }},
	{sysRoot + "load/messages/sent/1min", sysLoad, func(v *sysView) int64 { return v.hundredths(1, 0) }},
	{sysRoot + "load/messages/sent/5min", sysLoad, func(v *sysView) int64 { return v.hundredths(1, 1) }},
	{sysRoot + "load/messages/sent/15min", sysLoad, func(v *sysView) int64 { return v.hundredths(1, 2) }},
	{sysRoot + "load/publish/dropped/1min", sysLoad, func(v *sysView) int64 { return v.hundredths(2, 0) }},
	{sysRoot + "load/publish/dropped/5min", sysLoad, func(v *sysView) int64 { return v.hundredths(2, 1) }},
	{sysRoot + "load/publish/dropped/15min", sysLoad, func(v *sysView) int64 { return v.hundredths(2, 2) }},
	{sysRoot + "load/publish/received/1min", sysLoad, func(v *sysView) int64 { return v.hundredths(3, 0) }},
	{sysRoot + "load/publish/received/5min", sysLoad, func(v *sysView) int64 { return v.hundredths(3, 1) }},
	{sysRoot + "load/publish/received/15min", sysLoad, func(v *sysView) int64 { return v.hundredths(3, 2) }},
	{sysRoot + "load/publish/sent/1min", sysLoad, func(v *sysView) int64 { return v.hundredths(4, 0) }},
	{sysRoot + "load/publish/sent/5min", sysLoad, func(v *sysView) int64 { return v.hundredths(4, 1) }},
	{sysRoot + "load/publish/sent/15min", sysLoad, func(v *sysView) int64 { return v.hundredths(4, 2) }},
	{sysRoot + "load/bytes/received/1min", sysLoad, func(v *sysView) int64 { return v.hundredths(5, 0) }},
	{sysRoot + "load/bytes/received/5min", sysLoad, func(v *sysView) int64 { return v.hundredths(5, 1) }},
	{sysRoot + "load/bytes/received/15min", sysLoad, func(v *sysView) int64 { return v.hundredths(5, 2) }},
	{sysRoot + "load/bytes/sent/1min", sysLoad, func(v *sysView) int64 { return v.hundredths(6, 0) }},
	{sysRoot + "load/bytes/sent/5min", sysLoad, func(v *sysView) int64 { return v.hundredths(6, 1) }},
	{sysRoot + "load/bytes/sent/15min", sysLoad, func(v *sysView) int64 { return v.hundredths(6, 2) }},
	{sysRoot + "load/sockets/1min", sysLoad, func(v *sysView) int64 { return v.hundredths(7, 0) }},
	{sysRoot + "load/sockets/5min", sysLoad, func(v *sysView) int64 { return v.hundredths(7, 1) }},
	{sysRoot + "load/sockets/15min", sysLoad, func(v *sysView) int64 { return v.hundredths(7, 2) }},
	{sysRoot + "load/connections/1min", sysLoad, func(v *sysView) int64 { return v.hundredths(8, 0) }},
	{sysRoot + "load/connections/5min", sysLoad, func(v *sysView) int64 { return v.hundredths(8, 1) }},
	{sysRoot + "load/connections/15min", sysLoad, func(v *sysView) int64 { return v.hundredths(8, 2) }},
}

// tellSys goes on with the round as far as the time asks for; every is the length
// of one, 0 for none. The first round is told at once.
func (b *Broker) tellSys(t *sysTree, now time.Time, every time.Duration) {
	if every == 0 {
		b.withdrawSys(t)
		return
	}
	upto := len(sysTopics)
	switch since := now.Sub(t.began); {
	case t.began.IsZero():
		t.view, t.start = sysView{}, now
		b.lookAt(t, now)
	case since < every:
		upto = int(since * time.Duration(upto) / every)
	default:
		b.tellUpto(t, upto)
		b.lookAt(t, now)
		upto = 0
	}
	b.tellUpto(t, upto)
}

func (b *Broker) tellUpto(t *sysTree, upto int) {
	for ; t.next < upto; t.next++ {
		i := t.next
		v := sysTopics[i].value(&t.view)
		if t.said[i] && v == t.last[i] {
			continue
		}
		t.last[i], t.said[i] = v, true
		b.inside(&Message{Topic: sysTopics[i].name, Payload: b.appendSys(nil, sysTopics[i].form, v), Accepted: t.began, Retain: true}, nil, nil)
	}
}

func (b *Broker) appendSys(to []byte, form int, v int64) []byte {
	switch form {
	case sysVersion:
		return append(append(to, "tidegate "...), b.opt.Version...)
	case sysSeconds:
		return append(strconv.AppendInt(to, v, 10), " seconds"...)
	case sysLoad:
		return strconv.AppendFloat(to, float64(v)/100, 'f', 2, 64)
	}
	return strconv.AppendInt(to, v, 10)
}

// withdrawSys takes everything back.
func (b *Broker) withdrawSys(t *sysTree) {
	if t.began.IsZero() {
		return
	}
	for i := range sysTopics {
		if t.said[i] {
			b.inside(&Message{Topic: sysTopics[i].name, Accepted: time.Now(), Retain: true}, nil, nil)
		}
	}
	*t = sysTree{}
}

// lookAt begins a round.
func (b *Broker) lookAt(t *sysTree, now time.Time) {
	v := &t.view
	v.Stats = b.Stats()
	v.uptime = int64(now.Sub(t.start) / time.Second)
	v.maxClients = max(v.maxClients, int64(v.Connected))
	t.heap[0].Name = "/memory/classes/heap/objects:bytes"
	metrics.Read(t.heap[:])
	v.heap = int64(t.heap[0].Value.Uint64())
	v.maxHeap = max(v.maxHeap, v.heap)
	if !t.began.IsZero() {
		v.age(now.Sub(t.began).Minutes())
	}
	t.began, t.next = now, 0
}

// age takes the minutes since the last round into the loads.
func (v *sysView) age(minutes float64) {
	for i, count := range sysLoads {
		n := count(&v.Stats)
		rate := float64(n-v.loadCounted[i]) / minutes
		v.loadCounted[i] = n
		for j, span := range loadSpans {
			old := math.Exp(-minutes / span)
			v.load[i][j] = rate*(1-old) + v.load[i][j]*old
		}
	}
}

func (v *sysView) hundredths(load, span int) int64 {
	return int64(math.Round(v.load[load][span] * 100))
}
