package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// floodHouse has small limits, so that a flood need not be large.
const floodHouse = openHouse + `
[edge.limits]
connections = 700
connections-per-address = 700
memory = "16MiB"
retained-bytes = "4MiB"
write-timeout = "1m"
[edge.session]
all-queue-bytes = "8MiB"
`

// floodBound is what the gateway of floodHouse may have resident, in bytes: what
// the limits allow, twice as the collector has it, 16 KiB for a connection, and
// 48 MiB for the program itself.
const floodBound = 2*(16+4+8)<<20 + 700*16<<10 + 48<<20

// TestMemoryIsBoundedInAFlood has clients ask for as much memory as they can
// get, all kinds at once: with a limits.memory that bounds nothing the gateway
// takes 500 MB. It stays below its bound and goes on serving those who were there.
func TestMemoryIsBoundedInAFlood(t *testing.T) {
	file, dir := house(t, floodHouse)
	g := startGateway(t, file, dir)
	addr := "127.0.0.1:" + g.port()
	polite := subscribe(t, g.port(), "polite/#")
	from, err := net.Dial("tcp", addr) // before the flood: those who come in it may be refused
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	from.SetDeadline(time.Now().Add(2 * patience))
	if _, err := from.Write(hello("polite", 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := from.Read(make([]byte, 100)); err != nil { // CONNACK
		t.Fatal(err)
	}
	go io.Copy(io.Discard, from)
	say := func(topic string) {
		for i, line := range numbered(20) { // that many need no room that others have taken
			b := binary.BigEndian.AppendUint16(text(nil, topic), uint16(i+1))
			if _, err := from.Write(packet(0x32, append(append(b, 0), line...))); err != nil {
				t.Fatal(err)
			}
		}
	}
	var all sync.WaitGroup
	for name, kind := range floods {
		for i := range kind.clients {
			all.Go(func() { flood(t, addr, fmt.Sprint(name, i), kind) })
		}
	}
	say("polite/during")
	receivesAll(polite, "polite/during", numbered(20))
	all.Wait()
	say("polite/after")
	receivesAll(polite, "polite/after", numbered(20))
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	var peak int64
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscan(after, &peak); err != nil {
		t.Fatal(err)
	}
	t.Logf("at most %d MB were resident, %d are the bound", peak<<10/1e6, floodBound/1_000_000)
	if peak<<10 > floodBound {
		t.Errorf("got %d bytes resident, want %d at most", peak<<10, floodBound)
	}
}

// kindOfFlood is what one of several clients sends after its CONNECT.
type kindOfFlood struct {
	clients int
	id      int // bytes of the client id
	will    int // bytes of the will's payload; 0: none
	times   int // packets
	packet  func(client string, i int) []byte
	short   int  // bytes of the last packet that are never sent
	again   bool // every packet on a connection of its own, whose session stays
}

var floods = map[string]kindOfFlood{
	"half":    {clients: 80, times: 1, packet: func(string, int) []byte { return pub("x", 0, 1_000_000, 0) }, short: 1},
	"slow":    {clients: 60, times: 1, packet: func(string, int) []byte { return sub("flood") }},
	"fast":    {clients: 3, times: 100, packet: func(_ string, i int) []byte { return pub("flood", byte(i%2), 150_000, i+1) }},
	"filters": {clients: 40, times: 100, packet: func(c string, i int) []byte { return sub(fmt.Sprint(c, i, strings.Repeat("/a", 500))) }},
	"release": {clients: 40, times: 4000, packet: func(_ string, i int) []byte { return pub("x", 2, 10, i+1) }},
	"wills":   {clients: 150, id: 60_000, will: 60_000},
	"retained": {clients: 4, times: 50, packet: func(c string, i int) []byte {
		return retained(pub(fmt.Sprint(c, i, strings.Repeat("/a", 5000)), 1, 100_000, i+1))
	}},
	"sessions": {clients: 5, id: 60_000, times: 60, packet: func(string, int) []byte { return []byte{0xc0, 0} }, again: true},
	"aliases":  {clients: 30, times: 32, packet: alias},
}

// flood connects, once or again and again, sends and stays until the test ends.
// It does not read. Whatever the gateway does about it is right.
func flood(t *testing.T, addr, name string, kind kindOfFlood) {
	var c net.Conn
	for i := range max(kind.times, 1) {
		if c == nil || kind.again {
			var err error
			if c, err = net.Dial("tcp", addr); err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			c.SetWriteDeadline(time.Now().Add(patience / 3))
			c.(*net.TCPConn).SetReadBuffer(4 << 10)
			if _, err := c.Write(hello(fmt.Sprint(name, "-", i, strings.Repeat("i", kind.id)), kind.will)); err != nil {
				return
			}
		}
		if kind.packet == nil {
			return
		}
		p := kind.packet(name, i)
		if _, err := c.Write(p[:len(p)-kind.short]); err != nil {
			return
		}
	}
}

// packet puts a fixed header before a body.
func packet(first byte, body []byte) []byte {
	p := []byte{first}
	n := len(body)
	for ; n > 127; n >>= 7 {
		p = append(p, byte(n)|128)
	}
	return append(append(p, byte(n)), body...)
}

func text(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

// hello is the CONNECT of an MQTT 5 client whose session stays for 1000 s.
func hello(id string, will int) []byte {
	flags := byte(2)
	if will > 0 {
		flags |= 4
	}
	b := append(text(nil, "MQTT"), 5, flags, 0, 0, 5, 0x11, 0, 0, 3, 0xe8)
	b = text(b, id)
	if will > 0 {
		b = text(append(b, 0), "x")
		b = text(b, strings.Repeat("w", will))
	}
	return packet(0x10, b)
}

func pub(topic string, qos byte, size, id int) []byte {
	b := text(nil, topic)
	if qos > 0 {
		b = binary.BigEndian.AppendUint16(b, uint16(id))
	}
	return packet(0x30|qos<<1, append(append(b, 0), make([]byte, size)...))
}

func retained(p []byte) []byte {
	p[0] |= 1
	return p
}

func sub(filter string) []byte {
	return packet(0x82, append(text([]byte{0, 1, 0}, filter), 1))
}

// alias names a long topic by a number.
func alias(_ string, i int) []byte {
	b := text(nil, fmt.Sprint(i, strings.Repeat("t", 60_000)))
	return packet(0x30, append(b, 3, 0x23, 0, byte(i+1)))
}
