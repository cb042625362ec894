package edge

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"tidegate/internal/conf"
)

// TestStalledSubscriberHarmsNobody has one of twenty subscribers stop reading
// under load. The others get everything; the stalled one is cut, and what was
// acknowledged waits in its session.
func TestStalledSubscriberHarmsNobody(t *testing.T) {
	overEach(t, stalledSubscriberHarmsNobody, "TCP", "WebSocket", "secure WebSocket")
}

func stalledSubscriberHarmsNobody(t *testing.T, over func(*Config)) {
	b := startBroker(t, Options{}, over, func(c *Config) {
		c.Limits.WriteTimeout = conf.Duration(5 * time.Second)
		c.Limits.WriteBuffer = 64 << 10
		c.Session.InFlight = 20_000
		c.Session.Queue = 100_000
		c.Session.QueueBytes = 1 << 30
		c.Session.AllQueueBytes = 1 << 30
	})
	const messages, size = 3000, 4000
	payload := strings.Repeat("x", size)
	stalled := dial(t, b)
	stalled.readLittle(4 << 10)
	stalled.connect("stalled", resume(), expiry(1000), receiveMax(20_000))
	stalled.subscribe(sub{filter: "t", qos: 1})
	ended := make(chan error, 19)
	for i := range 19 {
		id := fmt.Sprint("s", i)
		s := connect(t, b, id)
		s.subscribe(sub{filter: "t", qos: 1})
		go func() {
			for n := range messages {
				pk, err := s.read(patience)
				if err == nil { // without its answers the broker may stop sending
					err = s.push([]byte{0x40, 2, byte(pk.PacketID >> 8), byte(pk.PacketID)})
				}
				if err != nil {
					d, _ := b.Client(id)
					ended <- fmt.Errorf("%s got %d of %d: %w; sent %d, in flight %d, queued %d, %d bytes held in all",
						id, n, messages, err, d.Sent, d.InFlight, d.Queued, b.Stats().HeldBytes)
					return
				}
			}
			ended <- nil
		}()
	}
	p := connect(t, b, "p")
	var longest time.Duration
	for range messages {
		start := time.Now()
		p.publish("t", payload, 1)
		longest = max(longest, time.Since(start))
	}
	for range 19 {
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
	until(t, "the stalled client is cut", func() bool { return b.Stats().Cut == 1 })
	st := b.Stats()
	t.Logf("longest pause of the publisher %v, pauses %d", longest, st.Pauses)
	if st.DroppedQueue != 0 {
		t.Fatalf("dropped %d", st.DroppedQueue)
	}
	again := connect(t, b, "stalled", resume(), expiry(1000), receiveMax(100))
	for range messages {
		again.message("t", payload)
	}
	again.ping()
}

// TestSlowSubscriberHoldsPublisherBack has a subscriber that reads slowly but
// steadily: at QoS 0 nothing is lost.
func TestSlowSubscriberHoldsPublisherBack(t *testing.T) {
	overEach(t, slowSubscriberHoldsPublisherBack)
}

func slowSubscriberHoldsPublisherBack(t *testing.T, over func(*Config)) {
	b := startBroker(t, Options{}, over, func(c *Config) {
		c.Limits.WriteBuffer = 64 << 10
		c.Limits.StallAfter = conf.Duration(patience) // the test may be held up itself
	})
	s := dial(t, b)
	s.readLittle(64 << 10)
	s.connect("s")
	s.subscribe(sub{filter: "t"})
	const messages = 3000
	p := connect(t, b, "p")
	go func() {
		for i := range messages {
			pk := publishPacket("t", fmt.Sprintf("%08000d", i), 0, 0)
			pk.ProtocolVersion = 5
			if err := p.push(encode(t, pk)); err != nil {
				return
			}
		}
	}()
	for i := range messages {
		if i%500 == 0 {
			time.Sleep(50 * time.Millisecond)
		}
		s.message("t", fmt.Sprintf("%08000d", i))
	}
	if st := b.Stats(); st.DroppedSlow != 0 || st.Cut != 0 {
		t.Fatalf("dropped %d, cut %d", st.DroppedSlow, st.Cut)
	}
}

// TestFloodToOneself has a client publish to itself without reading.
func TestFloodToOneself(t *testing.T) { overEach(t, floodToOneself) }

func floodToOneself(t *testing.T, over func(*Config)) {
	b := startBroker(t, Options{}, over, func(c *Config) {
		c.Limits.WriteTimeout = conf.Duration(time.Second)
		c.Limits.WriteBuffer = 64 << 10
	})
	p := connect(t, b, "p")
	p.subscribe(sub{filter: "t", qos: 1})
	pk := publishPacket("t", strings.Repeat("x", 8000), 0, 0)
	pk.ProtocolVersion = 5
	one := encode(t, pk)
	p.nc.SetWriteDeadline(time.Now().Add(patience))
	for {
		if _, err := p.nc.Write(one); err != nil {
			break // cut
		}
	}
	until(t, "cut", func() bool { return b.Stats().Cut == 1 })
}

// TestManyRetained sends more retained messages than any buffer or queue holds.
func TestManyRetained(t *testing.T) {
	b := startBroker(t, Options{}, func(c *Config) {
		c.Limits.WriteBuffer = 16 << 10
		c.Session.Queue = 10
	})
	const topics = 2000
	for i := range topics {
		b.Publish(&Message{Topic: fmt.Sprint("r/", i), Payload: []byte(strings.Repeat("x", 500)), QoS: byte(i % 3), Retain: true, Accepted: time.Now()}, Ticket{})
	}
	for qos := range byte(3) {
		s := connect(t, b, "s", receiveMax(7))
		pk := &packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe}, PacketID: 9, Filters: packets.Subscriptions{{Filter: "r/#", Qos: qos}}}
		s.write(pk)
		s.expect(packets.Suback)
		seen := map[string]bool{}
		for range topics {
			pk := s.expect(packets.Publish)
			seen[pk.TopicName] = true
			switch pk.FixedHeader.Qos {
			case 1:
				s.ack(packets.Puback, pk.PacketID)
			case 2:
				s.ack(packets.Pubrec, pk.PacketID)
				s.expect(packets.Pubrel)
				s.ack(packets.Pubcomp, pk.PacketID)
			}
		}
		if len(seen) != topics {
			t.Fatalf("got %d topics of %d", len(seen), topics)
		}
		s.bye()
	}
}

// TestSilentSubscriberHarmsNobody has a subscriber that reads, and pings, but
// acknowledges nothing: its publishers go on when its queue is half full.
func TestSilentSubscriberHarmsNobody(t *testing.T) {
	b := startBroker(t, Options{}, func(c *Config) { c.Session.Queue = 20 })
	s := connect(t, b, "s", receiveMax(1))
	s.subscribe(sub{filter: "q", qos: 1}, sub{filter: "z"})
	go func() {
		for {
			if _, err := s.read(patience); err != nil {
				return
			}
		}
	}()
	other := connect(t, b, "other")
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		one := publishPacket("z", "x", 0, 0)
		one.ProtocolVersion = 5
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				other.push(encode(t, one))
			}
		}
	}()
	defer func() { close(stop); <-ended }()
	p := connect(t, b, "p")
	for i := range 40 {
		p.publish("q", fmt.Sprint(i), 1)
	}
}

// TestSlowSubscriberDoesNotHoldUpTheGateway has a subscriber that leaves what
// the gateway itself publishes unacknowledged for long.
func TestSlowSubscriberDoesNotHoldUpTheGateway(t *testing.T) {
	b := startBroker(t, Options{}, func(c *Config) {
		c.Session.Queue = 20
		c.Limits.StallAfter = conf.Duration(time.Minute)
	})
	s := connect(t, b, "s", receiveMax(1))
	s.subscribe(sub{filter: "#", qos: 1})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 40 {
			b.Submit(&Message{Topic: "t", Payload: []byte("x"), QoS: 1, Accepted: time.Now()}, Ticket{})
			b.Flush()
		}
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Error("Submit waits")
		s.nc.Close()
		<-done
	}
}

// TestSlowSubscriberDoesNotHoldUpTheHouse has wills that were delayed go to a
// subscriber for which publishers wait: each is published when its time has come.
func TestSlowSubscriberDoesNotHoldUpTheHouse(t *testing.T) {
	b := startBroker(t, Options{}, func(c *Config) {
		c.Limits.WriteBuffer = 4 << 10
		c.Limits.StallAfter = conf.Duration(time.Minute)
		c.Limits.WriteTimeout = conf.Duration(time.Hour)
	})
	s := dial(t, b)
	s.readLittle(4 << 10)
	s.connect("s")
	s.subscribe(sub{filter: "#", qos: 1})
	p := connect(t, b, "p")
	one := publishPacket("t", strings.Repeat("x", 8000), 0, 0)
	one.ProtocolVersion = 5
	packet := encode(t, one)
	go func() {
		for p.push(packet) == nil {
		}
	}()
	c := b.sessionWith("s").conn.Load()
	until(t, "the subscriber takes nothing", func() bool {
		c.mu.Lock()
		resting, over := !c.since.IsZero() && time.Since(c.since) > quiet, c.pending() > b.highWater()
		c.mu.Unlock()
		if resting && !over { // the kernel took some of it, and too much is left for p to go on
			b.Publish(&Message{Topic: "t", Payload: []byte(strings.Repeat("x", 8000)), Accepted: time.Now()}, Ticket{})
		}
		return resting && over
	})
	const wills = 3
	for i := range wills {
		connect(t, b, fmt.Sprint("w", i), resume(), expiry(100), willOf("will", "x", 1, false, 1)).nc.Close()
	}
	until(t, "the wills are published", func() bool { return b.Stats().Wills == wills })
}

// TestUnreadAcknowledgementsAreBounded has a client that asks for answers and
// does not read them.
func TestUnreadAcknowledgementsAreBounded(t *testing.T) {
	overEach(t, unreadAcknowledgementsAreBounded, "TCP", "unix", "secure WebSocket")
}

func unreadAcknowledgementsAreBounded(t *testing.T, over func(*Config)) {
	const high = 64 << 10
	b := startBroker(t, Options{}, over, func(c *Config) {
		c.Limits.WriteTimeout = conf.Duration(2 * time.Second)
		c.Limits.WriteBuffer = high
	})
	p := dial(t, b)
	p.readLittle(4 << 10)
	p.connect("p")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		flood := []byte(strings.Repeat("\x62\x02\x00\x01", 4096)) // PUBREL: the answer is longer
		p.nc.SetWriteDeadline(time.Now().Add(patience))
		for {
			if _, err := p.nc.Write(flood); err != nil {
				return
			}
		}
	}()
	most := 0
	for cut := false; !cut; {
		select {
		case <-ended:
			cut = true
		case <-time.After(time.Millisecond):
		}
		b.mu.Lock()
		for c := range b.conns {
			c.mu.Lock()
			most = max(most, c.pending())
			c.mu.Unlock()
		}
		b.mu.Unlock()
	}
	// What is there when reading stops, framed for a WebSocket at 2 bytes an answer
	// of 6; and the answers to what had been read by then.
	if want := 2*slack*high*4/3 + high; most > want {
		t.Fatalf("got %d bytes of unread answers, want %d at most", most, want)
	}
	until(t, "the client is cut", func() bool { return b.Stats().Cut == 1 })
}
