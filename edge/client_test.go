package edge

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// patience is how long a test waits for what must happen.
const patience = time.Minute

// quiet is how long a test listens for what must not happen, after something
// that would have come later has come already where that is possible.
const quiet = 150 * time.Millisecond

// TestMain fails when goroutines of this package stay behind.
func TestMain(m *testing.M) {
	code := m.Run()
	left := ""
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if left = ownGoroutines(); left == "" {
			break
		}
	}
	if left != "" {
		fmt.Println("goroutines left:\n" + left)
		code = max(code, 1)
	}
	os.Exit(code)
}

// ownGoroutines returns the stacks of goroutines that run code of this package,
// but for the caller's.
func ownGoroutines() string {
	all := make([]byte, 4<<20)
	all = all[:runtime.Stack(all, true)]
	var own []string
	for i, stack := range strings.Split(string(all), "\n\n") {
		if i > 0 && strings.Contains(stack, "tidegate/edge.") {
			own = append(own, stack)
		}
	}
	return strings.Join(own, "\n\n")
}

// startBroker runs a broker with one listener for anonymous clients. It stops
// with the test.
func startBroker(t testing.TB, opt Options, change ...func(*Config)) *Broker {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Listeners = []ListenerConfig{{Bind: "127.0.0.1:0", Anonymous: true}}
	for _, f := range change {
		f(&cfg)
	}
	b, err := New(cfg, opt)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Listen(); err != nil {
		t.Fatal(err)
	}
	run(t, b)
	return b
}

// run runs a broker until the test ends or stop is called.
func run(t testing.TB, b *Broker) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run returned %v", err)
			}
		case <-time.After(patience):
			stacks := make([]byte, 1<<20)
			t.Fatalf("Run did not return\n%s", stacks[:runtime.Stack(stacks, true)])
		}
	})
	t.Cleanup(stop)
	return stop
}

// until polls for a condition.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// peer is a client that speaks in packets.
type peer struct {
	t  testing.TB
	nc net.Conn
	r  *bufio.Reader
	v  byte

	held []*packets.Packet // PUBLISHes that came before a PUBREL waited for
}

func dial(t testing.TB, b *Broker) *peer {
	t.Helper()
	return newPeer(t, dialThrough(t, b, 0))
}

func newPeer(t testing.TB, nc net.Conn) *peer {
	p := &peer{t: t, nc: nc, r: bufio.NewReader(nc), v: 5}
	t.Cleanup(func() { nc.Close() })
	return p
}

// options change a CONNECT before it is sent.
type option func(*packets.Packet)

func version(v byte) option { return func(pk *packets.Packet) { pk.ProtocolVersion = v } }
func resume() option        { return func(pk *packets.Packet) { pk.Connect.Clean = false } }
func keepAlive(s uint16) option {
	return func(pk *packets.Packet) { pk.Connect.Keepalive = s }
}
func expiry(s uint32) option {
	return func(pk *packets.Packet) {
		pk.Properties.SessionExpiryInterval, pk.Properties.SessionExpiryIntervalFlag = s, true
	}
}
func receiveMax(n uint16) option {
	return func(pk *packets.Packet) { pk.Properties.ReceiveMaximum = n }
}
func maxPacket(n uint32) option {
	return func(pk *packets.Packet) { pk.Properties.MaximumPacketSize = n }
}
func user(name, password string) option {
	return func(pk *packets.Packet) {
		pk.Connect.UsernameFlag, pk.Connect.Username = true, []byte(name)
		pk.Connect.PasswordFlag, pk.Connect.Password = true, []byte(password)
	}
}
func willOf(topic, payload string, qos byte, retain bool, delay uint32) option {
	return func(pk *packets.Packet) {
		pk.Connect.WillFlag, pk.Connect.WillTopic, pk.Connect.WillPayload = true, topic, []byte(payload)
		pk.Connect.WillQos, pk.Connect.WillRetain = qos, retain
		pk.Connect.WillProperties.WillDelayInterval = delay
	}
}

func connectPacket(id string, opts ...option) *packets.Packet {
	pk := &packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Connect}, ProtocolVersion: 5}
	pk.Connect.ClientIdentifier, pk.Connect.Clean = id, true
	for _, o := range opts {
		o(pk)
	}
	pk.Connect.ProtocolName = []byte("MQTT")
	if pk.ProtocolVersion == 3 {
		pk.Connect.ProtocolName = []byte("MQIsdp")
	}
	return pk
}

// connect dials, connects and expects success.
func connect(t testing.TB, b *Broker, id string, opts ...option) *peer {
	t.Helper()
	p := dial(t, b)
	if ack := p.connect(id, opts...); ack.ReasonCode != 0 {
		t.Fatalf("%s: CONNACK reason %#x", id, ack.ReasonCode)
	}
	return p
}

// connect sends a CONNECT and returns the CONNACK.
func (p *peer) connect(id string, opts ...option) *packets.Packet {
	p.t.Helper()
	pk := connectPacket(id, opts...)
	p.v = pk.ProtocolVersion
	p.write(pk)
	return p.expect(packets.Connack)
}

func encode(t testing.TB, pk *packets.Packet) []byte {
	t.Helper()
	var buf bytes.Buffer
	var err error
	switch pk.FixedHeader.Type {
	case packets.Connect:
		err = pk.ConnectEncode(&buf)
	case packets.Publish:
		err = pk.PublishEncode(&buf)
	case packets.Puback, packets.Pubrec, packets.Pubcomp:
		err = pk.PubackEncode(&buf)
	case packets.Pubrel:
		pk.FixedHeader.Qos = 1
		err = pk.PubrelEncode(&buf)
	case packets.Subscribe:
		pk.FixedHeader.Qos = 1
		err = pk.SubscribeEncode(&buf)
	case packets.Unsubscribe:
		pk.FixedHeader.Qos = 1
		err = pk.UnsubscribeEncode(&buf)
	case packets.Pingreq:
		err = pk.PingreqEncode(&buf)
	case packets.Disconnect:
		err = pk.DisconnectEncode(&buf)
	default:
		err = fmt.Errorf("packet type %d", pk.FixedHeader.Type)
	}
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func (p *peer) write(pk *packets.Packet) {
	p.t.Helper()
	pk.ProtocolVersion = p.v
	pk.Mods.AllowResponseInfo = true
	p.raw(encode(p.t, pk))
}

func (p *peer) raw(b []byte) {
	p.t.Helper()
	if err := p.push(b); err != nil {
		p.t.Fatalf("write: %v", err)
	}
}

// push writes b, or what the broker takes of it. Unlike raw it fails no test, so
// any goroutine may. What is written past it has the deadline of the last time.
func (p *peer) push(b []byte) error {
	p.nc.SetWriteDeadline(time.Now().Add(patience))
	_, err := p.nc.Write(b)
	return err
}

// read returns the next packet of the broker.
func (p *peer) read(wait time.Duration) (*packets.Packet, error) {
	p.nc.SetReadDeadline(time.Now().Add(wait))
	first, err := p.r.ReadByte()
	if err != nil {
		return nil, err
	}
	pk := &packets.Packet{ProtocolVersion: p.v}
	if err := pk.FixedHeader.Decode(first); err != nil {
		return nil, err
	}
	n, _, err := packets.DecodeLength(p.r)
	if err != nil {
		return nil, err
	}
	pk.FixedHeader.Remaining = n
	body := make([]byte, n)
	if _, err := io.ReadFull(p.r, body); err != nil {
		return nil, err
	}
	switch pk.FixedHeader.Type {
	case packets.Connack:
		err = pk.ConnackDecode(body)
	case packets.Publish:
		err = pk.PublishDecode(body)
	case packets.Puback, packets.Pubrec, packets.Pubrel, packets.Pubcomp:
		err = pk.PubackDecode(body)
	case packets.Suback:
		err = pk.SubackDecode(body)
	case packets.Unsuback:
		err = pk.UnsubackDecode(body)
	case packets.Disconnect:
		if n == 1 {
			pk.ReasonCode = body[0]
		} else {
			err = pk.DisconnectDecode(body)
		}
	}
	return pk, err
}

// expect reads the next packet, which must be of this type.
func (p *peer) expect(kind byte) *packets.Packet {
	p.t.Helper()
	if kind == packets.Publish && len(p.held) > 0 {
		pk := p.held[0]
		p.held = p.held[1:]
		return pk
	}
	pk, err := p.read(patience)
	for err == nil && kind == packets.Pubrel && pk.FixedHeader.Type == packets.Publish {
		p.held = append(p.held, pk)
		pk, err = p.read(patience)
	}
	if err != nil {
		p.t.Fatalf("expecting %s: %v", packets.PacketNames[kind], err)
	}
	if pk.FixedHeader.Type != kind {
		p.t.Fatalf("got %s (reason %#x, topic %q), want %s", packets.PacketNames[pk.FixedHeader.Type], pk.ReasonCode, pk.TopicName, packets.PacketNames[kind])
	}
	return pk
}

// nothing expects no packet, after a ping has made its way.
func (p *peer) nothing() {
	p.t.Helper()
	time.Sleep(quiet)
	p.ping()
}

// ping expects that the next packet is the answer.
func (p *peer) ping() {
	p.t.Helper()
	p.raw([]byte{0xc0, 0})
	p.expect(packets.Pingresp)
}

// untilPing gives f what has come before the answer to a ping.
func (p *peer) untilPing(f func(*packets.Packet)) {
	p.t.Helper()
	p.raw([]byte{0xc0, 0})
	for {
		pk, err := p.read(patience)
		switch {
		case err != nil:
			p.t.Fatal(err)
		case pk.FixedHeader.Type == packets.Pingresp:
			return
		}
		f(pk)
	}
}

// drain acknowledges the QoS 1 messages that have come before a ping, and counts
// the messages.
func (p *peer) drain() (n int) {
	p.t.Helper()
	p.untilPing(func(pk *packets.Packet) {
		if pk.FixedHeader.Qos == 1 {
			p.ack(packets.Puback, pk.PacketID)
		}
		n++
	})
	return n
}

// ended expects the end of the connection, and returns what came before: the
// reason of a DISCONNECT, or -1.
func (p *peer) ended() int {
	p.t.Helper()
	reason := -1
	for {
		pk, err := p.read(patience)
		switch {
		case err == nil && pk.FixedHeader.Type == packets.Disconnect:
			reason = int(pk.ReasonCode)
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			p.t.Fatal("the connection did not end")
		default:
			return reason
		}
	}
}

type sub struct {
	filter  string
	qos     byte
	id      int
	noLocal bool
	asSent  bool
	handle  byte
}

// subscribe subscribes and returns the reasons.
func (p *peer) subscribe(subs ...sub) []byte {
	p.t.Helper()
	pk := &packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Subscribe}, PacketID: 9}
	for _, s := range subs {
		pk.Filters = append(pk.Filters, packets.Subscription{Filter: s.filter, Qos: s.qos, NoLocal: s.noLocal, RetainAsPublished: s.asSent, RetainHandling: s.handle})
		if s.id > 0 {
			pk.Properties.SubscriptionIdentifier = []int{s.id}
		}
	}
	p.write(pk)
	for {
		pk, err := p.read(patience)
		if err == nil && pk.FixedHeader.Type == packets.Publish && strings.HasPrefix(pk.TopicName, "$SYS/") {
			continue // what changes may come before the SUBACK [MQTT 5, 3.8.4]
		}
		if err != nil || pk.FixedHeader.Type != packets.Suback {
			p.t.Fatalf("got %v, %v, want SUBACK", pk, err)
		}
		return pk.ReasonCodes
	}
}

func (p *peer) unsubscribe(filter string) []byte {
	p.t.Helper()
	p.write(&packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Unsubscribe}, PacketID: 8, Filters: packets.Subscriptions{{Filter: filter}}})
	return p.expect(packets.Unsuback).ReasonCodes
}

func publishPacket(topic, payload string, qos byte, id uint16) *packets.Packet {
	return &packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: qos}, TopicName: topic, Payload: []byte(payload), PacketID: id}
}

// publish publishes and takes the whole acknowledgement.
func (p *peer) publish(topic, payload string, qos byte, opts ...option) byte {
	p.t.Helper()
	pk := publishPacket(topic, payload, qos, uint16(qos)*7)
	for _, o := range opts {
		o(pk)
	}
	p.write(pk)
	switch qos {
	case 1:
		return p.expect(packets.Puback).ReasonCode
	case 2:
		rec := p.expect(packets.Pubrec)
		if rec.ReasonCode >= 0x80 {
			return rec.ReasonCode
		}
		p.ack(packets.Pubrel, rec.PacketID)
		p.expect(packets.Pubcomp)
		return rec.ReasonCode
	}
	return 0
}

func asRetained() option { return func(pk *packets.Packet) { pk.FixedHeader.Retain = true } }

func (p *peer) ack(kind byte, id uint16) {
	p.t.Helper()
	p.write(&packets.Packet{FixedHeader: packets.FixedHeader{Type: kind}, PacketID: id})
}

// message expects a PUBLISH and acknowledges it.
func (p *peer) message(topic, payload string) *packets.Packet {
	p.t.Helper()
	pk := p.expect(packets.Publish)
	if pk.TopicName != topic || string(pk.Payload) != payload {
		p.t.Fatalf("got %q on %q, want %q on %q", short(pk.Payload), pk.TopicName, short([]byte(payload)), topic)
	}
	switch pk.FixedHeader.Qos {
	case 1:
		p.ack(packets.Puback, pk.PacketID)
	case 2:
		p.ack(packets.Pubrec, pk.PacketID)
		p.expect(packets.Pubrel)
		p.ack(packets.Pubcomp, pk.PacketID)
	}
	return pk
}

func short(b []byte) string { return strings.ToValidUTF8(string(b[:min(len(b), 40)]), "?") }

func (p *peer) bye() {
	p.raw([]byte{0xe0, 0})
	p.ended()
}

func dialError(addr string) error {
	nc, err := net.Dial("tcp", addr)
	if err == nil {
		nc.Close()
	}
	return err
}

// heapInUse returns the bytes of heap and stacks, after a collection.
func heapInUse() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}
