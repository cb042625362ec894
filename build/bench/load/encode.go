package load

import "encoding/binary"

// appendVarint appends a Variable Byte Integer [MQTT 5, 1.5.5].
func appendVarint(b []byte, n int) []byte {
	for n > 0x7f {
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	return append(b, byte(n))
}

func varintSize(n int) int {
	switch {
	case n < 1<<7:
		return 1
	case n < 1<<14:
		return 2
	case n < 1<<21:
		return 3
	}
	return 4
}

func appendString[T string | []byte](b []byte, s T) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}

// appendPublish appends a PUBLISH without its payload, of which payload is the
// length; the caller appends it.
func appendPublish[T string | []byte](b []byte, version, flags byte, id uint16, topic T, props []byte, payload int) []byte {
	length := 2 + len(topic) + payload
	if flags&6 != 0 {
		length += 2
	}
	if version == MQTT5 {
		length += varintSize(len(props)) + len(props)
	}
	b = append(b, publish<<4|flags)
	b = appendVarint(b, length)
	b = appendString(b, topic)
	if flags&6 != 0 {
		b = binary.BigEndian.AppendUint16(b, id)
	}
	if version == MQTT5 {
		b = appendVarint(b, len(props))
		b = append(b, props...)
	}
	return b
}

// appendAck appends a PUBACK, PUBREC, PUBREL or PUBCOMP with reason 0x00, the
// short form that both versions share.
func appendAck(b []byte, kind byte, id uint16) []byte {
	var flags byte
	if kind == pubrel {
		flags = 2
	}
	return append(b, kind<<4|flags, 2, byte(id>>8), byte(id))
}

// appendConnect appends the CONNECT of a client.
func appendConnect(b []byte, c *Client, id string) []byte {
	var flags byte
	body := appendString(nil, "MQTT")
	if !c.Persistent {
		flags |= 0x02
	}
	if c.User != "" {
		flags |= 0x80
	}
	if c.Password != "" {
		flags |= 0x40
	}
	body = append(body, c.version(), flags)
	body = binary.BigEndian.AppendUint16(body, uint16(c.KeepAlive.Seconds()))
	if c.version() == MQTT5 {
		var props []byte
		if c.Persistent {
			props = append(props, propSessionExpiry)
			props = binary.BigEndian.AppendUint32(props, c.expiry())
		}
		if c.ReceiveMax > 0 {
			props = append(props, propReceiveMax)
			props = binary.BigEndian.AppendUint16(props, c.ReceiveMax)
		}
		body = appendVarint(body, len(props))
		body = append(body, props...)
	}
	body = appendString(body, id)
	if c.User != "" {
		body = appendString(body, c.User)
	}
	if c.Password != "" {
		body = appendString(body, c.Password)
	}
	b = append(b, connect<<4)
	b = appendVarint(b, len(body))
	return append(b, body...)
}

func appendSubscribe(b []byte, version byte, id uint16, filters []Filter) []byte {
	body := binary.BigEndian.AppendUint16(nil, id)
	if version == MQTT5 {
		body = append(body, 0)
	}
	for _, f := range filters {
		body = appendString(body, f.Topic)
		body = append(body, f.QoS)
	}
	b = append(b, subscribe<<4|2)
	b = appendVarint(b, len(body))
	return append(b, body...)
}

func appendUnsubscribe(b []byte, version byte, id uint16, filters []string) []byte {
	body := binary.BigEndian.AppendUint16(nil, id)
	if version == MQTT5 {
		body = append(body, 0)
	}
	for _, f := range filters {
		body = appendString(body, f)
	}
	b = append(b, unsubscribe<<4|2)
	b = appendVarint(b, len(body))
	return append(b, body...)
}
