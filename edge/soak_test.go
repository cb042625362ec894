package edge

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

var soak = flag.Duration("soak", 5*time.Second, "how long TestSoak lets devices come and go; from 10m on it looks at slopes")

// The slopes that a soak may show, per hour. What comes and goes by chance is
// less than that in half an hour.
const (
	goroutineSlope  = 20.0
	descriptorSlope = 20.0
	memorySlope     = 4e6 // bytes
)

// TestSoak has devices of all kinds come, do what they do, right and wrong, and
// go in every way, while others stay. In the end all that they took is given
// back; in a long run nothing grows meanwhile.
func TestSoak(t *testing.T) {
	o := newOutpost(t)
	served := o.serveHonestly()
	before := o.usage()
	end := time.Now().Add(*soak)
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			d := device{o: o, r: rand.New(rand.NewPCG(uint64(i), 7))}
			for time.Now().Before(end) {
				d.live()
			}
		})
	}
	var list []sample
	for start := time.Now(); time.Now().Before(end); time.Sleep(time.Second) {
		list = append(list, sample{time.Since(start).Hours(), o.usage()})
		if len(list)%60 == 0 {
			tell(t, list[len(list)-60:])
		}
	}
	all.Wait()
	tell(t, list[max(0, len(list)-60):])
	var after usage
	until(t, "all is given back", func() bool {
		after = o.usage()
		return after.Goroutines <= before.Goroutines && after.descriptors <= before.descriptors
	})
	if st := after.Stats; st.Panics > 0 || st.Connects < 10 || st.Received < 100 || st.Wills < 1 {
		t.Errorf("got %+v", st)
	}
	t.Logf("CONNECTs %d, messages in %d, out %d, broken %d, wills %d, cut %d", after.Stats.Connects, after.Stats.Received, after.Stats.Sent, after.Stats.Malformed, after.Stats.Wills, after.Stats.Cut)
	served()
	if *soak >= 10*time.Minute {
		checkSlopes(t, list[len(list)/4:]) // the first quarter fills caches and pools
	}
}

// device is a client that lives one short life after the other.
type device struct {
	o *outpost
	r *rand.Rand
}

// live connects, does some things and leaves. Errors are part of life: another
// device may have taken the client id over.
func (d *device) live() {
	p, err := d.o.dial(d.r.IntN(2))
	if err != nil {
		return
	}
	defer p.nc.Close()
	opts := []option{version(byte(4 + d.r.IntN(2))), keepAlive(60)}
	if d.r.IntN(2) == 0 {
		opts = append(opts, resume(), expiry(uint32(1+d.r.IntN(20))))
	}
	if d.r.IntN(3) == 0 {
		opts = append(opts, willOf(d.topic(), "gone", byte(d.r.IntN(3)), false, uint32(d.r.IntN(3))))
	}
	if d.r.IntN(4) == 0 {
		opts = append(opts, receiveMax(uint16(1+d.r.IntN(5))), maxPacket(uint32(200+d.r.IntN(2000))))
	}
	pk := connectPacket(fmt.Sprint("device ", d.r.IntN(80)), opts...)
	p.v = pk.ProtocolVersion
	if !d.send(p, pk) {
		return
	}
	if ack, err := p.read(patience); err != nil || ack.ReasonCode != 0 {
		return
	}
	gone := make(chan struct{})
	go func() { d.listen(p); close(gone) }()
	for range 1 + d.r.IntN(20) {
		if !d.act(p) {
			break
		}
		time.Sleep(time.Duration(d.r.IntN(20)) * time.Millisecond)
	}
	d.leave(p)
	<-gone
}

// listen takes what comes until the connection ends, and acknowledges most.
func (d *device) listen(p *peer) {
	for n := 0; ; n++ {
		pk, err := p.read(patience)
		if err != nil {
			p.nc.Close()
			return
		}
		var answer byte
		switch {
		case n%50 == 49: // forgotten
		case pk.FixedHeader.Type == packets.Publish && pk.FixedHeader.Qos > 0:
			answer = packets.Puback + pk.FixedHeader.Qos - 1
		case pk.FixedHeader.Type == packets.Pubrel:
			answer = packets.Pubcomp
		case pk.FixedHeader.Type == packets.Pubrec && pk.ReasonCode < 0x80:
			answer = packets.Pubrel
		}
		if answer != 0 {
			flags := byte(0)
			if answer == packets.Pubrel {
				flags = 2
			}
			p.push([]byte{answer<<4 | flags, 2, byte(pk.PacketID >> 8), byte(pk.PacketID)})
		}
	}
}

// act does one thing that devices do, and says whether the connection lasts.
func (d *device) act(p *peer) bool {
	switch id := uint16(1 + d.r.IntN(50)); d.r.IntN(20) {
	case 0, 1:
		filter := []string{d.topic(), "home/+/1", "home/#", "$share/g/home/+/2", "+/+/3", "#"}[d.r.IntN(6)]
		return d.send(p, &packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe}, PacketID: id, Filters: packets.Subscriptions{{Filter: filter, Qos: byte(d.r.IntN(3))}}})
	case 2:
		return d.send(p, &packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Unsubscribe}, PacketID: id, Filters: packets.Subscriptions{{Filter: "home/#"}}})
	case 3:
		return d.send(p, &packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pingreq}})
	case 4:
		if d.r.IntN(10) == 0 {
			broken := make([]byte, 1+d.r.IntN(40))
			for i := range broken {
				broken[i] = byte(d.r.Uint32())
			}
			p.push(broken)
		}
		return true
	default:
		pk := publishPacket(d.topic(), strings.Repeat("x", d.r.IntN(1<<d.r.IntN(15))), byte(d.r.IntN(3)), id)
		if pk.FixedHeader.Qos == 0 {
			pk.PacketID = 0
		}
		pk.FixedHeader.Retain = d.r.IntN(10) == 0
		if p.v == 5 && d.r.IntN(3) == 0 {
			pk.Properties.User = []packets.UserProperty{{Key: "k", Val: fmt.Sprint(d.r.Uint32())}}
			pk.Properties.MessageExpiryInterval = uint32(1 + d.r.IntN(5))
		}
		return d.send(p, pk)
	}
}

func (d *device) topic() string { return fmt.Sprintf("home/%d/%d", d.r.IntN(30), d.r.IntN(6)) }

func (d *device) send(p *peer, pk *packets.Packet) bool {
	pk.ProtocolVersion = p.v
	pk.Mods.AllowResponseInfo = true
	return p.push(encode(d.o.t, pk)) == nil
}

// leave ends the connection politely, silently, or with a reset.
func (d *device) leave(p *peer) {
	switch tcp, plain := p.nc.(*net.TCPConn); d.r.IntN(3) {
	case 0:
		p.nc.Write([]byte{0xe0, 0}) // the broker closes
		return
	case 1:
		if plain {
			tcp.SetLinger(0)
		}
	}
	p.nc.Close()
}

// sample is what was in use at a time, in hours.
type sample struct {
	at float64
	usage
}

// tell logs the means of a part of a soak.
func tell(t *testing.T, list []sample) {
	var g, f, a float64
	for _, s := range list {
		g, f, a = g+float64(s.Goroutines), f+float64(s.descriptors), a+float64(s.anonymous)
	}
	n, last := float64(len(list)), list[len(list)-1]
	t.Logf("%4.1f min: goroutines %.1f, descriptors %.1f, anonymous memory %.2f MB; at most resident %.2f MB; sessions %d, retained %d",
		last.at*60, g/n, f/n, a/n/1e6, float64(last.most)/1e6, last.Stats.Sessions, last.Stats.Retained)
}

func checkSlopes(t *testing.T, list []sample) {
	for _, c := range []struct {
		what string
		of   func(sample) int
		most float64
	}{
		{"goroutines", func(s sample) int { return s.Goroutines }, goroutineSlope},
		{"descriptors", func(s sample) int { return s.descriptors }, descriptorSlope},
		{"bytes of anonymous memory", func(s sample) int { return s.anonymous }, memorySlope},
	} {
		got := slope(list, c.of)
		t.Logf("%s: %+.1f an hour, at most %.0f may be", c.what, got, c.most)
		if got > c.most {
			t.Errorf("%s grow by %.1f an hour, want at most %.0f", c.what, got, c.most)
		}
	}
}

// slope is that of the straight line with the least squares, per hour.
func slope(list []sample, of func(sample) int) float64 {
	var x, y, xx, xy float64
	for _, s := range list {
		v := float64(of(s))
		x, y, xx, xy = x+s.at, y+v, xx+s.at*s.at, xy+s.at*v
	}
	n := float64(len(list))
	return (n*xy - x*y) / (n*xx - x*x)
}

func TestSlope(t *testing.T) {
	var list []sample
	for i := range 100 {
		list = append(list, sample{float64(i) / 10, usage{Goroutines: 50 + 3*i + i%2}})
	}
	if got := slope(list, func(s sample) int { return s.Goroutines }); got < 29.9 || got > 30.1 {
		t.Errorf("got %v, want 30", got)
	}
}
