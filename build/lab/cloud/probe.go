package cloud

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"
)

// Probe connects to an MQTT broker as an MQTT 5 client without a name and a
// password, and goes again. It returns nil when the broker let it in.
func Probe(ctx context.Context, addr string) error { return probe(ctx, addr, dialTCP) }

type dialer func(ctx context.Context, addr string) (net.Conn, error)

func dialTCP(ctx context.Context, addr string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", addr)
}

// Dial connects to a node, which comes to know who the client is in the way in
// which it wants to: from the connection, or from a header of the PROXY
// protocol as a load balancer would send it.
func (c *Cloud) Dial(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := dialTCP(ctx, addr)
	if err != nil || !c.Proxied {
		return conn, err
	}
	from, to := conn.LocalAddr().(*net.TCPAddr), conn.RemoteAddr().(*net.TCPAddr)
	if _, err := fmt.Fprintf(conn, "PROXY TCP4 %v %v %d %d\r\n", from.IP, to.IP, from.Port, to.Port); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func probe(ctx context.Context, addr string, dial dialer) error {
	conn, err := dial(ctx, addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	connect := "\x10\x16\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x09lab-probe" // clean start, 60 s
	if _, err := io.WriteString(conn, connect); err != nil {
		return err
	}
	var connack [4]byte // type, length, flags, reason code
	if _, err := io.ReadFull(conn, connack[:]); err != nil {
		return err
	}
	if connack[0] != 0x20 || connack[3] != 0 {
		return fmt.Errorf("%s answers % x to a CONNECT", addr, connack)
	}
	_, err = io.WriteString(conn, "\xe0\x00")
	return err
}
