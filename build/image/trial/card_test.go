//go:build image

package trial

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tidegate/build/bench/load"
)

// mostPerHour is what the whole system may write to the card in an hour, in
// bytes.
const mostPerHour = 5_000_000

// settle is how long after the start nothing is counted: files are made, the
// report of the network is written.
const settle = 4 * time.Minute

// An idle gateway spares its card.
func TestIdleWrites(t *testing.T) {
	p := newPi(t, "virt", card2GB)
	p.on()
	p.ready()
	p.count()
}

// So does one with ten sensors at home that publish every ten seconds, and a
// cloud that answers.
func TestSensorWrites(t *testing.T) {
	cloud := newBroker(t)
	p := newPi(t, "virt", card2GB)
	p.cloud = cloud.addr
	p.put("tidegate.toml", towards+sensors())
	p.put("cloud-password", "s3cret-of-the-cloud\n")
	p.on()
	p.ready()
	fleet := load.NewFleet(load.FleetConfig{
		Client:  load.Client{Addrs: []string{p.machine.Addr(1883)}, ID: "sensor-"},
		Clients: 10, QoS: 1, Rate: 1, Retain: true,
		Topic: func(i, _ int) string { return fmt.Sprintf("home/room-%d/temperature", i) },
	}, load.NewLedger())
	ended := make(chan error, 1)
	go func() { ended <- fleet.Run(within(t)) }()
	eventually(t, "the first reading is in the cloud", func() bool { return cloud.has("cloud/home/room-0/temperature") })
	p.count()
	fleet.Stop()
	<-ended
}

// sensors are what the gateway reads itself.
func sensors() string {
	var b strings.Builder
	for i := range 10 {
		fmt.Fprintf(&b, "[[hw.sensor]]\nkind = \"simulated\"\nname = \"s%d\"\nevery = \"10s\"\ntopic = \"home/{name}\"\n", i)
	}
	return b.String()
}

// count counts what the card is given, after a while of settling.
func (p *pi) count() {
	p.t.Helper()
	time.Sleep(settle)
	began := time.Now()
	bytes, writes := p.written()
	p.t.Logf("%d bytes in %d writes until now", bytes, writes)
	for time.Since(began) < *measure {
		time.Sleep(time.Minute)
		b, w := p.written()
		p.t.Logf("%v: %d bytes in %d writes", time.Since(began).Round(time.Second), b-bytes, w-writes)
	}
	passed := time.Since(began)
	b, w := p.written()
	hourly := float64(b-bytes) / passed.Hours()
	p.t.Logf("%d bytes in %d writes in %v: %.2f MB an hour", b-bytes, w-writes, passed.Round(time.Second), hourly/1e6)
	if hourly > mostPerHour {
		p.t.Errorf("%.2f MB an hour, want at most %.0f", hourly/1e6, mostPerHour/1e6)
	}
}
