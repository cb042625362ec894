package power

import (
	"fmt"
	"strconv"
	"testing"

	"tidegate/build/bench/load"
)

// free says how many bytes are left on the card.
func (h *house) free() int64 {
	h.t.Helper()
	n, err := strconv.ParseInt(h.do("free", "/data"), 10, 64)
	must(h.t, err)
	return n
}

// worksAtHome waits until messages arrive at somebody at home.
func (h *house) worksAtHome() {
	h.t.Helper()
	heard := h.ledger.Consumer()
	stop := h.listen(load.SubscriberConfig{
		Client:  load.Client{Addrs: []string{h.forwarded()}, ID: "neighbour"},
		Filters: []load.Filter{{Topic: "home/#"}}, Consumer: heard,
	})
	defer stop()
	eventually(h.t, "messages arrive at home", func() bool { return heard.Received() > 20 })
}

// The card is full while the cloud is away: devices are told or wait, the home
// goes on, also over a power cut, and nothing acknowledged is lost. With room
// again all is well by itself.
func TestFullCard(t *testing.T) {
	h := newHouse(t, 64, "")
	h.consume()
	h.do("fill", "/data/photos", fmt.Sprint(4<<20))
	h.publish(200, 8000)
	eventually(t, "the card is full", func() bool { return h.free() < 1<<20 })
	h.worksAtHome()
	h.cut(Tear, true)
	if err := h.inspect(); err != nil {
		t.Fatal(err)
	}
	must(t, h.back())
	h.open()
	h.worksAtHome()
	h.do("remove", "/data/photos")
	before := h.ledger.Acked()
	eventually(t, "messages are acknowledged again", func() bool { return h.ledger.Acked() > before+50 })
	h.finish()
	h.away.setOnline(true)
	must(t, h.cloud.Wait(within(t), 0))
	r := h.cloud.Report()
	t.Logf("%+v\n%s", h.devices.Stats(), r)
	must(t, verdict(r))
}
