package power

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tidegate/build/bench/load"
)

// The power goes at random moments while devices publish, the cloud is away or
// there, or the machine is only starting. After each cut the file system and the
// databases are sound, and all that was acknowledged is in the spool or in the
// cloud; in the end all is in the cloud.
func TestPowerCuts(t *testing.T) {
	h := newHouse(t, 128, "")
	h.consume()
	h.publish(300, 200)
	for round := range *rounds {
		h.round(round)
	}
	if h.gone != nil { // the last start may have been cut short
		h.cut(Drop, false)
		h.gone = nil
		must(t, h.back())
		h.open()
	}
	h.finish()
	h.away.setOnline(true)
	if err := h.cloud.Wait(within(t), time.Second); err != nil {
		t.Fatalf("%v\nconsole:\n%s", err, h.machine.Console())
	}
	h.keepsStates()
	r := h.cloud.Report()
	t.Logf("%+v\n%s", h.disk.Stats(), r)
	must(t, verdict(r))
}

// round lets the gateway work, cuts, looks, and switches it on again. The power
// goes at a random moment; or at a random request to the disk, counted from here
// or from the start of the machine on.
func (h *house) round(n int) {
	h.t.Helper()
	began := time.Now()
	mode, reset, online := Mode(h.rng.IntN(3)), n%2 == 0, n%4 == 3
	h.away.setOnline(online)
	if !h.off() {
		h.work(n)
	}
	h.cut(mode, reset)
	h.gone = nil
	what := fmt.Sprintf("round %d: %v, reset %v, cloud %v, %d acknowledged", n, mode, reset, online, h.ledger.Acked())
	if err := h.inspect(); err != nil {
		h.t.Fatalf("%s, seed %d: %v", what, *seed, err)
	}
	if n%3 == 0 {
		h.arm(40)
	}
	if err := h.back(); err == nil {
		h.checkStates()
		h.open()
	} else if !h.off() {
		h.t.Fatalf("%s, seed %d: not back: %v\nconsole:\n%s", what, *seed, err, h.machine.Console())
	}
	h.t.Logf("%s; %v", what, time.Since(began).Round(time.Millisecond))
}

// work waits until the power shall go.
func (h *house) work(n int) {
	h.t.Helper()
	before, most := h.ledger.Acked(), 800*time.Millisecond
	if h.gone == nil && n%3 == 1 {
		h.arm(60)
	}
	if h.gone != nil {
		most = 5 * time.Second
	} else {
		eventually(h.t, "a message is acknowledged", func() bool { return h.ledger.Acked() > before })
	}
	select {
	case <-h.gone:
	case <-time.After(time.Duration(h.rng.Int64N(int64(most)))):
	}
}

// off says whether the power went by itself.
func (h *house) off() bool {
	select {
	case <-h.gone:
		return true
	default:
		return false
	}
}

// A disk that acknowledges FLUSH and keeps nothing is what these tests must
// notice.
func TestDiskThatLies(t *testing.T) {
	h := newHouse(t, 64, "")
	h.disk.SetLie(true)
	h.publish(300, 200)
	eventually(t, "messages are acknowledged", func() bool { return h.ledger.Acked() > 100 })
	h.cut(Drop, false)
	if err := h.inspect(); err == nil || !strings.Contains(err.Error(), "lost") {
		t.Errorf("got %v, want an error that says what is lost", err)
	}
	h.disk.On()
	h.disk.SetLie(false)
	h.gone = nil
	must(t, h.back())
	h.open()
	h.finish()
}

// consume subscribes in the cloud.
func (h *house) consume() {
	h.cloud = h.ledger.Consumer()
	h.t.Cleanup(h.listen(load.SubscriberConfig{
		Client:  load.Client{Addrs: []string{"cloud"}, ID: "consumer", Dial: h.away.dial},
		Filters: []load.Filter{{Topic: "cloud/#", QoS: 1}}, Consumer: h.cloud,
		OnMessage: func(m *load.Message) {
			h.mu.Lock()
			defer h.mu.Unlock()
			id, _ := m.GatewayID()
			h.arrived = append(h.arrived, row{fmt.Sprintf("cloud, id %d/%d, %s", id.Epoch, id.Seq, m.Topic), slices.Clone(m.Payload)})
		},
	}))
}
