package uplink

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"tidegate/internal/conf"
)

// arrivals is what a cluster got, over all its nodes.
type arrivals struct {
	mu    sync.Mutex     // guards what follows
	next  map[string]int // by topic: the number that comes next
	again int            // duplicates
	holes []string
}

func (a *arrivals) enter(topic, payload string) {
	n, _ := strconv.Atoi(payload)
	a.mu.Lock()
	defer a.mu.Unlock()
	switch want := a.next[topic]; {
	case n == want:
		a.next[topic]++
	case n < want:
		a.again++
	default:
		a.holes = append(a.holes, fmt.Sprintf("%s: got %d, want %d", topic, n, want))
		a.next[topic] = n + 1
	}
}

// What a node of the chaos does to those that connect.
const (
	serves int32 = iota
	hangsUp
	refers
)

// Everything that moves links happens at once: addresses come and go in DNS,
// nodes hang up, refuse, send links away, links return, the configuration
// changes. Nothing is lost, and every topic stays in order.
func TestEverythingAtOnce(t *testing.T) {
	const rounds = 40
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	addresses := []string{"127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"}
	clouds, port := cloudsAt(t, addresses...)
	book := arrivals{next: map[string]int{}}
	mode := make([]atomic.Int32, len(clouds))
	var bounce atomic.Int32
	for i, c := range clouds {
		c.connack = func(int, *packets.Connect) *packets.Connack {
			switch mode[i].Load() {
			case hangsUp:
				return nil
			case refers:
				return referring(0x9C, addresses[int(bounce.Add(1))%len(addresses)]+":"+port)
			}
			return &packets.Connack{Properties: &packets.Properties{}}
		}
		c.connected = func(s *served) { s.conn.Close() }
		c.publish = func(s *served, p *packets.Publish) {
			book.enter(p.Topic, string(p.Payload))
			s.ack(p.PacketID, 0)
		}
		c.start()
	}
	dns := newNameServer(t)
	dns.host("nodes.test", addresses...)
	cfg := named(dns, "mqtt://nodes.test:"+port)
	cfg.Links, cfg.StableAfter, cfg.RedirectTo = 3, conf.Duration(100*time.Millisecond), []string{"127.0.0.0/8"}
	cfg.RedirectFor, cfg.ReconnectMax = conf.Duration(time.Second), conf.Duration(100*time.Millisecond)
	u, _ := begin(t, cfg, Options{})

	var done counter
	var sent atomic.Int64
	topics := [12]int{}
	end := make(chan struct{})
	var wg sync.WaitGroup
	stop := sync.OnceFunc(func() { close(end); wg.Wait() })
	t.Cleanup(stop)
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-end:
				return
			case <-time.After(200 * time.Microsecond):
			}
			if sent.Load()-done.settled.Load() > 2000 {
				continue
			}
			for k := range i % 2 * len(topics) {
				u.Send(message(fmt.Sprintf("t/%d", k), strconv.Itoa(topics[k])), Ticket{Owner: &done})
				topics[k]++
				sent.Add(1)
			}
		}
	})
	for range rounds {
		node := chance.IntN(len(clouds))
		switch chance.IntN(7) {
		case 0:
			some := slices.Clone(addresses)
			chance.Shuffle(len(some), func(i, k int) { some[i], some[k] = some[k], some[i] })
			dns.host("nodes.test", some[:1+chance.IntN(len(some))]...)
			u.names.ask()
		case 1:
			mode[node].Store(hangsUp)
			clouds[node].cut()
		case 2:
			clouds[node].cut()
		case 3:
			mode[node].Store(refers)
			clouds[node].mu.Lock()
			live := clouds[node].live
			clouds[node].live = nil
			clouds[node].mu.Unlock()
			for _, s := range live {
				s.sendAway(0x9C, addresses[chance.IntN(len(addresses))]+":"+port)
			}
		case 4:
			cfg.KeepAlive = conf.Duration(time.Duration(15+chance.IntN(20)) * time.Second)
			if err := u.Reload(cfg); err != nil {
				t.Fatal(err)
			}
		default:
			mode[node].Store(serves)
		}
		time.Sleep(time.Duration(chance.IntN(80)) * time.Millisecond)
	}
	for i := range mode {
		mode[i].Store(serves)
	}
	dns.host("nodes.test", addresses...)
	stop()
	total := int(sent.Load())
	eventually(t, "all are settled and in the cloud", func() bool {
		book.mu.Lock()
		defer book.mu.Unlock()
		got := 0
		for _, n := range book.next {
			got += n
		}
		return got == total && int(done.settled.Load()) == total
	})
	eventually(t, "each link is up at an address of its own", func() bool {
		at := map[string]bool{}
		for i := range cfg.Links {
			if s := state(u, i); s.State == Connected {
				at[s.Endpoint] = true
			}
		}
		return len(at) == cfg.Links
	})
	book.mu.Lock()
	defer book.mu.Unlock()
	if len(book.holes) > 0 {
		t.Errorf("got %d gaps or lost: %v", len(book.holes), book.holes[:min(len(book.holes), 5)])
	}
	moves, returns := int64(0), int64(0)
	for i := range cfg.Links {
		s := state(u, i)
		moves, returns = moves+s.Failovers, returns+s.Returns
	}
	t.Logf("%d messages, %d twice, %d failovers, %d returns", total, book.again, moves, returns)
}
