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
func Probe(ctx context.Context, addr string) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
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
