package load

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// TestResend drops the first connection after three PUBLISHes without an
// acknowledgement, and looks at what the publisher sends on the second.
func TestResend(t *testing.T) {
	tests := []struct {
		name    string
		resend  Resend
		present bool
		qos     byte
		want    string // DUP and sequence of each
		acked   uint64
	}{
		{"auto, session gone", ResendAuto, false, 1, "[-0 -1 -2 -3]", 4},
		{"auto, session there", ResendAuto, true, 1, "[d0 d1 d2 -3]", 4},
		{"dup, session gone", ResendDup, false, 1, "[d0 d1 d2 -3]", 4},
		{"new, session there", ResendNew, true, 1, "[-0 -1 -2 -3]", 4},
		{"never", ResendNever, true, 1, "[-3]", 1},
		{"QoS 2, auto, session there", ResendAuto, true, 2, "[d0 d1 d2 -3]", 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			ledger := NewLedger()
			fleet := NewFleet(FleetConfig{
				Client: Client{Addrs: []string{ln.Addr().String()}, Persistent: true, Retry: time.Millisecond},
				QoS:    tt.qos, Window: 3, Count: 4, Resend: tt.resend,
			}, ledger)
			var got []string
			var wg sync.WaitGroup
			wg.Go(func() {
				first := script{t: t, hold: 3}
				first.serve(ln)
				second := script{t: t, present: tt.present}
				second.serve(ln)
				got = second.got
			})
			if err := fleet.Run(ctx); err != nil {
				t.Error(err)
			}
			ln.Close()
			wg.Wait()
			if got := fmt.Sprint(got); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if got := ledger.Acked(); got != tt.acked {
				t.Errorf("acknowledged: got %d, want %d", got, tt.acked)
			}
			if got := fleet.Stats().Connects; got != 2 {
				t.Errorf("connects: got %d, want 2", got)
			}
		})
	}
}

// script is a broker for one connection. It hangs up after hold messages; with
// hold 0 it acknowledges until the client leaves.
type script struct {
	t       *testing.T
	hold    int
	present bool
	got     []string
}

func (s *script) serve(ln net.Listener) {
	nc, err := ln.Accept()
	if err != nil {
		s.t.Error(err)
		return
	}
	defer nc.Close()
	c := conn{nc: nc, version: MQTT5, in: make([]byte, 4096)}
	var p packet
	for c.next(&p) == nil {
		switch p.kind {
		case connect:
			var present byte
			if s.present {
				present = 1
			}
			c.out = append(c.out, connack<<4, 3, present, 0, 0)
		case publish:
			stamp, _ := parseStamp(p.payload)
			s.got = append(s.got, fmt.Sprintf("%s%d", map[bool]string{true: "d", false: "-"}[p.dup()], stamp.seq))
			if s.hold > 0 {
				break
			}
			c.out = appendAck(c.out, puback+p.qos()-1, p.id)
		case pubrel:
			c.out = appendAck(c.out, pubcomp, p.id)
		case disconnect:
			return
		}
		if s.hold > 0 && len(s.got) == s.hold {
			return
		}
		if c.flush() != nil {
			return
		}
	}
}

// mosquitto runs Debian's broker.
type mosquitto struct {
	t    *testing.T
	addr string
	conf string
	cmd  *exec.Cmd
}

func newMosquitto(t *testing.T, config string) *mosquitto {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &mosquitto{t: t, addr: ln.Addr().String(), conf: filepath.Join(t.TempDir(), "mosquitto.conf")}
	_, port, _ := net.SplitHostPort(m.addr)
	config += "\nallow_anonymous true\nlog_dest none\nmax_queued_messages 0\nmax_inflight_messages 0\nlistener " + port + " 127.0.0.1\n"
	if err := os.WriteFile(m.conf, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	ln.Close()
	t.Cleanup(m.kill)
	m.start()
	return m
}

func (m *mosquitto) start() {
	m.t.Helper()
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		path = "/usr/sbin/mosquitto" // not in everybody's PATH
	}
	m.cmd = exec.Command(path, "-c", m.conf)
	if err := m.cmd.Start(); err != nil {
		m.t.Fatalf("start mosquitto, a package of Debian that this test needs: %v", err)
	}
}

func (m *mosquitto) kill() {
	if m.cmd == nil {
		return
	}
	m.cmd.Process.Kill()
	m.cmd.Wait() // the error says it was killed
	m.cmd = nil
}

// TestAgainstMosquitto kills a real broker under load, three times, and
// compares the ledger with a count of its own of what arrived.
func TestAgainstMosquitto(t *testing.T) {
	for qos := byte(1); qos <= 2; qos++ {
		t.Run(fmt.Sprintf("QoS %d", qos), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			broker := newMosquitto(t, "")
			ledger := NewLedger()
			consumer := ledger.Consumer()
			copies := map[stamp]int{} // all arrivals
			var mu sync.Mutex
			var copied int
			startSubscriber(t, SubscriberConfig{
				Client:   Client{Addrs: []string{broker.addr}, ID: "sub", Persistent: true, Retry: 5 * time.Millisecond},
				Filters:  []Filter{{"bench/#", qos}},
				Consumer: consumer,
				OnMessage: func(m *Message) {
					s, ok := parseStamp(m.Payload)
					if !ok {
						t.Errorf("foreign message on %s", m.Topic)
					}
					mu.Lock()
					defer mu.Unlock()
					copies[s]++
					copied++
				},
			})
			fleet := NewFleet(FleetConfig{
				Client:  Client{Addrs: []string{broker.addr}, Persistent: true, Retry: 5 * time.Millisecond},
				Clients: 5, Topics: 2, QoS: qos, Window: 20,
			}, ledger)
			start(t, fleet.Run)
			for range 3 {
				for acked := ledger.Acked(); ledger.Acked() < acked+2000; {
					if ctx.Err() != nil {
						t.Fatal("too slow")
					}
					time.Sleep(time.Millisecond)
				}
				broker.kill()
				broker.start()
			}
			fleet.Stop()
			for ledger.Acked() < ledger.Published() {
				if ctx.Err() != nil {
					t.Fatalf("acknowledged %d of %d", ledger.Acked(), ledger.Published())
				}
				time.Sleep(time.Millisecond)
			}
			settle(ctx, consumer)
			var r Report
			own := ""
			agree := func() bool {
				mu.Lock()
				defer mu.Unlock()
				r, own = consumer.Report(), fmt.Sprintf("%d copies of %d messages", copied, len(copies))
				return r.Acked == r.Published && r.Received == uint64(len(copies)) && r.Copies == uint64(copied) &&
					r.Duplicates == uint64(copied-len(copies)) && r.Lost == r.Published-uint64(len(copies)) && r.Foreign == 0
			}
			for !agree() { // one more may be on its way, and counted by one of them
				if ctx.Err() != nil {
					t.Fatalf("own count: %s; ledger: %v", own, r)
				}
				time.Sleep(10 * time.Millisecond)
			}
			if r.Published < 6000 || fleet.Stats().Resent == 0 {
				t.Errorf("the broker was not broken: %v, %+v", r, fleet.Stats())
			}
			t.Logf("%v", r)
		})
	}
}

// settle waits until nothing more comes; what the broker lost never will.
func settle(ctx context.Context, c *Consumer) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	c.Wait(ctx, 500*time.Millisecond) // an error: something is lost, which the caller counts
}
