package uplink

import (
	"fmt"
	"net"
	"testing"

	"tidegate/uplink/spool"
)

// TestTakeBackKeepsOrder has a connection fail under a batch in which one topic
// has both QoS 0 and QoS 1: what is sent again is in the order of acceptance.
func TestTakeBackKeepsOrder(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	u := &upward{link: &link{up: &Uplink{}}, form: form{qos: 1}}
	u.link.up.routes.Store(&routes{})
	u.win.reset(16, 1<<20)
	var want []uint64
	for n := range uint64(8) {
		u.queue = append(u.queue, &spool.Entry{Msg: &Message{Topic: "t", QoS: byte(n % 2)}, Epoch: 1 + n/4, Seq: 1 + n%4})
		want = append(want, n)
	}
	if err := u.send(&client{wire: newWire(conn, u, 1<<20)}, 6, 1<<20); err == nil {
		t.Fatal("sent over a closed connection")
	}
	u.takeBack()
	var got []uint64
	for _, e := range u.queue[u.head:] {
		got = append(got, (e.Epoch-1)*4+e.Seq-1)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("sent again in the order %v, want %v", got, want)
	}
}
