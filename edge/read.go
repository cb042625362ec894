package edge

import (
	"bytes"
	"errors"

	"github.com/mochi-mqtt/server/v2/packets"
)

// errGoodbye ends a reader whose client has sent DISCONNECT.
var errGoodbye = errors.New("disconnected")

// loop reads packets until the connection ends; nil when the client said so.
func (c *conn) loop() error {
	limit := c.maxPacket()
	for {
		c.breathe()
		first, body, own, err := c.in.next(limit)
		if err == nil {
			bt := c.batch()
			bt.packetsIn++
			bt.bytesIn += int64(1 + varintSize(len(body)) + len(body))
			err = c.packet(first, body, own)
		}
		if errors.Is(err, errGoodbye) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// packet handles one packet. body is valid only now, unless own.
func (c *conn) packet(first byte, body []byte, own bool) error {
	kind := first >> 4
	if kind == packets.Publish {
		if own {
			return c.publish(first, body, new(Message))
		}
		m, body := letter(body)
		return c.publish(first, body, m)
	}
	var head packets.FixedHeader
	if err := head.Decode(first); err != nil {
		return err
	}
	switch kind {
	case packets.Reserved:
		return packets.ErrMalformedPacket
	case packets.Puback, packets.Pubrec, packets.Pubcomp, packets.Pubrel:
		id, reason, err := parseAck(kind, body, c.v5)
		if err != nil {
			return err
		}
		if kind == packets.Pubrel {
			c.sess.release(c.batch(), c, id)
		} else {
			c.sess.acked(c.batch(), c, kind, id, reason)
		}
		return nil
	case packets.Pingreq:
		if len(body) > 0 {
			return packets.ErrMalformedPacket
		}
		c.batch().mark(c, c.send([]byte{packets.Pingresp << 4, 0}))
		return nil
	case packets.Subscribe:
		return c.subscribe(mine(body, own))
	case packets.Unsubscribe:
		return c.unsubscribe(mine(body, own))
	case packets.Disconnect:
		return c.disconnect(bytes.Clone(body))
	}
	return packets.ErrProtocolViolation // a second CONNECT, AUTH, or what only servers send
}

// mine returns a copy of body, unless it may be kept: it can be a megabyte.
func mine(body []byte, own bool) []byte {
	if own {
		return body
	}
	return bytes.Clone(body)
}

// disconnect takes a DISCONNECT [MQTT 5, 3.14].
func (c *conn) disconnect(body []byte) error {
	pk := packets.Packet{ProtocolVersion: 4, FixedHeader: packets.FixedHeader{Type: packets.Disconnect, Remaining: len(body)}}
	if !c.v5 && len(body) > 0 {
		return packets.ErrMalformedPacket
	}
	if c.v5 && len(body) > 0 {
		pk.ProtocolVersion, pk.ReasonCode = 5, body[0]
		if len(body) > 1 {
			if rest, err := checkProperties(body[1:], packets.Disconnect); err != nil || len(rest) > 0 {
				return packets.ErrMalformedProperties
			}
			if err := decode(func() error { return pk.DisconnectDecode(body) }); err != nil {
				return err
			}
		}
	}
	s := c.sess
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := &pk.Properties; p.SessionExpiryIntervalFlag {
		if s.expiry == 0 && p.SessionExpiryInterval > 0 {
			return packets.ErrProtocolViolationZeroNonZeroExpiry // [MQTT-3.1.2-23], 3.14.2.2.2
		}
		s.expiry = expiryOf(p.SessionExpiryInterval, c.b.config().Session.MaxExpiry.Std())
	}
	if pk.ReasonCode == 0 {
		c.will = nil // [MQTT-3.14.4-3]
	}
	return errGoodbye
}
