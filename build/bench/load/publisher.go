package load

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// burst is how many messages without a window go into one write.
const burst = 64

// publisher is one client of a Fleet. Two goroutines share it while it is
// connected: the reader takes acknowledgements and, when messages are due,
// fills the window again; the writer sends what the schedule says.
type publisher struct {
	fleet    *Fleet
	cfg      *FleetConfig
	number   int
	ledger   *Ledger
	topics   []*Topic
	props    []byte
	schedule schedule

	mu       sync.Mutex // guards what follows; held while writing
	conn     *conn      // nil while not connected
	slots    []slot     // by packet identifier; slots[0] is not used
	free     []uint16   // identifiers not in use
	used     int
	window   int // the smaller of ours and the broker's
	sent     int // messages published, skipped ones included
	order    uint64
	start    time.Duration // of the schedule, by the ledger's clock
	ended    bool          // nothing more is published
	finished chan struct{} // closed when ended and nothing is in flight
}

// slot is a message in flight.
type slot struct {
	order    uint64 // in which messages were sent; 0 for a free slot
	topic    *Topic
	seq      uint64
	sent     time.Duration
	released bool // PUBREC came, PUBCOMP is awaited
}

func newPublisher(f *Fleet, number int, ledger *Ledger) *publisher {
	cfg := &f.cfg
	p := &publisher{
		fleet: f, cfg: cfg, number: number, ledger: ledger, schedule: cfg.schedule(number),
		slots: make([]slot, cfg.Window+1), finished: make(chan struct{}),
	}
	for i := range cfg.Topics {
		p.topics = append(p.topics, ledger.Topic(uint32(number), cfg.Topic(number, i)))
	}
	for id := cfg.Window; id > 0; id-- {
		p.free = append(p.free, uint16(id))
	}
	for i := 0; i+1 < len(cfg.Properties); i += 2 {
		p.props = append(p.props, propUser)
		p.props = appendString(p.props, cfg.Properties[i])
		p.props = appendString(p.props, cfg.Properties[i+1])
	}
	return p
}

// run keeps a connection until all is done. connected is called once after the
// first; nothing is published before start is closed.
func (p *publisher) run(ctx context.Context, connected func(), start <-chan struct{}) error {
	d := dialer{Client: p.cfg.Client, id: fmt.Sprintf("%s%d", p.cfg.ID, p.number)}
	for first := true; ; first = false {
		c, err := d.connect(ctx)
		if err != nil {
			if first {
				connected()
			}
			return p.left(err)
		}
		p.fleet.counters.connects.Add(1)
		if first {
			connected()
			select {
			case <-start:
			case <-ctx.Done():
				c.nc.Close()
				return p.left(ctx.Err())
			}
			p.start = p.ledger.Now()
		}
		err = p.serve(ctx, c)
		select {
		case <-p.finished:
			return nil
		default:
		}
		if ctx.Err() != nil {
			return p.left(err)
		}
		d.at++
	}
}

// left is the error of a run that did not finish.
func (p *publisher) left(err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Errorf("publisher %d: %d sent, %d of them not acknowledged: %w", p.number, p.sent, p.used, err)
}

// serve works with one connection until it is lost, ctx ends or all is done.
func (p *publisher) serve(ctx context.Context, c *conn) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { c.nc.Close() })
	defer stop()
	if err := p.adopt(c); err != nil {
		return err
	}
	var writer sync.WaitGroup
	writer.Go(func() {
		p.write(ctx)
		cancel() // so that the reader ends too
	})
	err := p.read(c)
	cancel()
	writer.Wait()
	p.mu.Lock()
	p.conn = nil
	p.mu.Unlock()
	return err
}

// adopt takes a new connection over and sends again what is in flight.
func (p *publisher) adopt(c *conn) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conn = c
	p.window = min(p.cfg.Window, c.receiveMax)
	again := make([]uint16, 0, p.used)
	for id := range p.slots {
		if p.slots[id].order == 0 {
			continue
		}
		if p.cfg.Resend == ResendNever {
			p.release(uint16(id))
			continue
		}
		again = append(again, uint16(id))
	}
	slices.SortFunc(again, func(a, b uint16) int { return cmp.Compare(p.slots[a].order, p.slots[b].order) })
	dup := p.cfg.Resend == ResendDup || p.cfg.Resend == ResendAuto && c.present
	for _, id := range again {
		if p.slots[id].released {
			c.out = appendAck(c.out, pubrel, id)
			continue
		}
		p.append(id, dup)
	}
	p.fleet.counters.resent.Add(int64(len(again)))
	p.finish()
	return c.flush()
}

// append appends the PUBLISH of a slot.
func (p *publisher) append(id uint16, dup bool) {
	s := &p.slots[id]
	p.appendPublish(s.topic, s.seq, s.sent, id, dup)
}

func (p *publisher) appendPublish(t *Topic, seq uint64, sent time.Duration, id uint16, dup bool) {
	flags := p.cfg.QoS << 1
	if dup {
		flags |= 8
	}
	if p.cfg.Retain {
		flags |= 1
	}
	c := p.conn
	c.out = appendPublish(c.out, c.version, flags, id, t.name, p.props, p.cfg.Size)
	c.out = t.AppendPayload(c.out, seq, sent, p.cfg.Size)
}

// read takes acknowledgements until the connection ends, or nothing came for
// the keepalive although the writer sends a ping every half of it.
func (p *publisher) read(c *conn) error {
	var in packet
	for {
		if p.cfg.KeepAlive > 0 {
			c.nc.SetReadDeadline(time.Now().Add(p.cfg.KeepAlive))
		}
		if err := c.read(); err != nil {
			return err
		}
		if err := p.acks(c, &in); err != nil {
			return err
		}
	}
}

// acks handles what is read, and sends what that made possible in one write.
func (p *publisher) acks(c *conn, in *packet) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.ledger.Now()
	for {
		ok, err := c.parsed(in)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if in.kind == disconnect {
			return fmt.Errorf("disconnected by the broker with reason %#02x", in.reason)
		}
		p.ack(in, now)
	}
	if p.cfg.QoS > 0 {
		p.fill()
	}
	p.finish()
	return c.flush()
}

func (p *publisher) ack(in *packet, now time.Duration) {
	if in.kind != puback && in.kind != pubrec && in.kind != pubcomp || int(in.id) >= len(p.slots) || p.slots[in.id].order == 0 {
		return
	}
	s := &p.slots[in.id]
	switch {
	case in.kind == pubcomp:
		p.release(in.id)
	case in.reason >= 0x80:
		p.fleet.counters.refused.Add(1)
		p.release(in.id)
	case in.kind == puback:
		s.topic.Ack(s.seq, now)
		p.release(in.id)
	default:
		s.topic.Ack(s.seq, now)
		s.released = true
		p.conn.out = appendAck(p.conn.out, pubrel, in.id)
	}
}

func (p *publisher) release(id uint16) {
	p.slots[id] = slot{}
	p.free = append(p.free, id)
	p.used--
}

// finish closes finished once nothing more is to be published or acknowledged.
func (p *publisher) finish() {
	if !p.ended || p.used > 0 {
		return
	}
	select {
	case <-p.finished:
	default:
		close(p.finished)
	}
}

// fill publishes what is due and the window allows, up to a burst without a
// window.
func (p *publisher) fill() {
	now := p.ledger.Now()
	want := p.due(now)
	if p.cfg.QoS == 0 {
		want = min(want, burst)
	} else {
		want = min(want, p.window-p.used)
	}
	if want <= 0 {
		return
	}
	if p.schedule.period > 0 {
		behind := int64(now - p.start - p.schedule.at(p.sent))
		if atom := &p.fleet.counters.behind; behind > atom.Load() {
			atom.Store(behind) // a race of two publishers costs nothing but a near miss
		}
	}
	for range want {
		p.publish(now)
	}
}

// due returns how many messages are due and not sent. What is later than
// CatchUp is skipped.
func (p *publisher) due(now time.Duration) int {
	if p.ended {
		return 0
	}
	n := burst
	if p.cfg.QoS > 0 {
		n = p.window
	}
	if p.schedule.period > 0 {
		n = p.schedule.due(now-p.start) - p.sent
		if limit := int(p.cfg.CatchUp/p.schedule.period) + 1; p.cfg.CatchUp > 0 && n > limit {
			p.fleet.counters.skipped.Add(int64(n - limit))
			p.sent += n - limit
			n = limit
		}
	}
	if p.schedule.count >= 0 {
		n = min(n, p.schedule.count-p.sent)
		p.ended = p.sent >= p.schedule.count
	}
	return n
}

func (p *publisher) publish(now time.Duration) {
	t := p.topics[p.sent%len(p.topics)]
	seq := t.Next(now)
	p.sent++
	p.ended = p.schedule.count >= 0 && p.sent >= p.schedule.count
	var id uint16
	if p.cfg.QoS > 0 {
		id = p.free[len(p.free)-1]
		p.free = p.free[:len(p.free)-1]
		p.used++
		p.order++
		p.slots[id] = slot{order: p.order, topic: t, seq: seq, sent: now}
	}
	p.appendPublish(t, seq, now, id, false)
}

// write sends by the schedule until ctx or publishing ends; then it waits for
// the last acknowledgements and takes leave.
func (p *publisher) write(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	stop := p.fleet.stop
	ping := p.cfg.KeepAlive / 2
	lastPing := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-stop:
			stop = nil
			p.mu.Lock()
			p.ended = true
			p.finish()
			p.mu.Unlock()
			continue
		case <-p.finished:
			p.mu.Lock()
			p.conn.goodbye()
			p.mu.Unlock()
			return
		case <-timer.C:
		}
		if ping > 0 && time.Since(lastPing) >= ping {
			lastPing = time.Now()
			p.mu.Lock()
			p.conn.out = append(p.conn.out, pingreq<<4, 0)
			p.mu.Unlock()
		}
		wait, err := p.turn()
		if err != nil {
			return
		}
		if ping > 0 {
			wait = min(wait, ping)
		}
		timer.Reset(wait)
	}
}

// idle is how long the writer sleeps when only an acknowledgement can bring it
// something to do.
const idle = time.Second

// turn publishes what is due and returns when to come again.
func (p *publisher) turn() (time.Duration, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fill()
	p.finish()
	err := p.conn.flush()
	switch {
	case p.ended:
		return idle, err
	case p.schedule.period > 0:
		next := p.start + p.schedule.at(p.sent) - p.ledger.Now()
		if next <= 0 && p.cfg.QoS > 0 && p.used >= p.window {
			// the reader fills the window with what is due when there is room;
			// what becomes due after that is for us
			next = max(p.schedule.period, time.Millisecond)
		}
		return max(next, 0), err
	case p.cfg.QoS == 0:
		return 0, err
	}
	return idle, err
}
