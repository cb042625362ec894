package house

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// Fleet is many small devices: MQTT 3.1.1, each with one subscription. They
// publish one topic in ten at QoS 1 and the others at QoS 0.
type Fleet struct {
	t       testing.TB
	devices []*device
	done    chan struct{}
	work    sync.WaitGroup
}

type device struct {
	name  string
	nc    net.Conn
	value int
}

// Topics are what each device of a fleet publishes, below home/ROOM/DEVICE/.
const topicsOfDevice = 10

// NewFleet connects n devices, until the end of the test, and returns when the
// broker knows them. Together they have 10 n topics.
func NewFleet(t testing.TB, address string, l Login, n int) *Fleet {
	t.Helper()
	f := &Fleet{t: t, done: make(chan struct{})}
	t.Cleanup(f.close)
	for i := range n {
		d := &device{name: fmt.Sprintf("room-%02d/device-%03d", i/50, i)}
		if err := d.connect(address, l, fmt.Sprintf("device-%03d", i)); err != nil {
			t.Fatalf("device %d: %v", i, err)
		}
		f.devices = append(f.devices, d)
		f.work.Go(func() { io.Copy(io.Discard, d.nc) })
	}
	return f
}

func (d *device) connect(address string, l Login, id string) error {
	nc, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return err
	}
	d.nc = nc
	nc.SetDeadline(time.Now().Add(patience))
	body := append(str("MQTT"), 4, 2, 0, 0) // clean session, no keep alive
	body = append(body, str(id)...)
	if l.User != "" {
		body[7] |= 0xC0
		body = append(append(body, str(l.User)...), str(l.Password)...)
	}
	subscribe := append(append([]byte{0, 1}, str("home/"+d.name+"/set")...), 0)
	if _, err := nc.Write(append(packet(0x10, body), packet(0x82, subscribe)...)); err != nil {
		return err
	}
	var acks [4 + 5]byte
	if _, err := io.ReadFull(bufio.NewReader(nc), acks[:]); err != nil {
		return err
	}
	if acks[0] != 0x20 || acks[3] != 0 || acks[8] > 2 {
		return fmt.Errorf("refused: % x", acks)
	}
	return nc.SetDeadline(time.Time{})
}

// Publish lets every device publish all its topics once.
func (f *Fleet) Publish() {
	f.t.Helper()
	for _, d := range f.devices {
		if err := d.publish(); err != nil {
			f.t.Fatalf("%s: %v", d.name, err)
		}
	}
}

// Talk lets devices publish in turns, so many messages a second in all, until
// the end of the test.
func (f *Fleet) Talk(perSecond int) {
	f.work.Go(func() {
		tick := time.NewTicker(time.Second * topicsOfDevice / time.Duration(perSecond))
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-f.done:
				return
			case <-tick.C:
				_ = f.devices[i%len(f.devices)].publish() // the broker may be away
			}
		}
	})
}

func (d *device) publish() error {
	d.value++
	var all []byte
	for i := range topicsOfDevice {
		kind, body := byte(0x30), str(fmt.Sprintf("home/%s/value-%d", d.name, i))
		if i == 0 {
			kind, body = 0x32, binary.BigEndian.AppendUint16(body, uint16(d.value%65535+1))
		}
		all = append(all, packet(kind, fmt.Appendf(body, "%.1f", 20+float64((d.value+i)%50)/10))...)
	}
	_, err := d.nc.Write(all)
	return err
}

func (f *Fleet) close() {
	close(f.done)
	for _, d := range f.devices {
		d.nc.Close()
	}
	f.work.Wait()
}

func packet(kind byte, body []byte) []byte {
	return append(binary.AppendUvarint([]byte{kind}, uint64(len(body))), body...)
}

func str(s string) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...) }
