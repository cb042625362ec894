package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"
)

// Packets of MQTT 3.1.1 that the guest sends and knows.
const (
	connect, connack, publishQoS0, publishQoS1, puback, subscribe, suback = 0x10, 0x20, 0x30, 0x32, 0x40, 0x82, 0x90
)

// client is as little of MQTT as a test needs: no keepalive, QoS 0 down.
type client struct {
	conn net.Conn
	r    *bufio.Reader
}

func dial(addr, id string) (*client, error) {
	conn, err := net.DialTimeout("tcp", addr, time.Minute)
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn, r: bufio.NewReader(conn)}
	body := append(text("MQTT"), 4, 2, 0, 0) // version, clean session, no keepalive
	if _, err = c.call(connect, append(body, text(id)...), connack); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// call sends a packet and waits for the one that answers it.
func (c *client) call(kind byte, body []byte, want byte) ([]byte, error) {
	packet := binary.AppendUvarint([]byte{kind}, uint64(len(body))) // the same form (2.2.3)
	if _, err := c.conn.Write(append(packet, body...)); err != nil {
		return nil, err
	}
	c.conn.SetReadDeadline(time.Now().Add(time.Minute))
	defer c.conn.SetReadDeadline(time.Time{})
	kind, answer, err := c.receive()
	if err == nil && (kind != want || want == connack && answer[1] != 0) {
		err = fmt.Errorf("the broker answered %#x % x", kind, answer)
	}
	return answer, err
}

func (c *client) receive() (kind byte, body []byte, err error) {
	if kind, err = c.r.ReadByte(); err != nil {
		return 0, nil, err
	}
	n, err := binary.ReadUvarint(c.r)
	if err != nil || n > 1<<20 {
		return 0, nil, fmt.Errorf("a packet of %d bytes: %w", n, err)
	}
	body = make([]byte, n)
	_, err = io.ReadFull(c.r, body)
	return kind, body, err
}

func text(s string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}

// subscribe prints what comes until the connection ends.
func (g *guest) subscribe(words []string) (string, error) {
	c, err := dial(words[0], fmt.Sprintf("guest-reads-%d", time.Now().UnixNano()))
	if err != nil {
		return "", err
	}
	body := append([]byte{0, 1}, text(words[1])...)
	if _, err := c.call(subscribe, append(body, 0), suback); err != nil {
		c.conn.Close()
		return "", err
	}
	go func() {
		defer c.conn.Close()
		for {
			kind, p, err := c.receive()
			if err != nil {
				g.say("mqtt: connection ended: " + err.Error())
				return
			}
			if kind&0xf0 == publishQoS0 && len(p) >= 2 {
				n := 2 + int(binary.BigEndian.Uint16(p))
				g.say(fmt.Sprintf("mqtt: %s %s", p[2:n], p[n:]))
			}
		}
	}()
	return "", nil
}

func publish(words []string) (string, error) {
	c, err := dial(words[0], "guest-writes")
	if err != nil {
		return "", err
	}
	defer c.conn.Close()
	body := append(text(words[1]), 0, 1)
	_, err = c.call(publishQoS1, append(body, words[2]...), puback)
	return "", err
}
