package edge

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"time"
	"unicode/utf8"

	"github.com/mochi-mqtt/server/v2/packets"

	"tidegate/internal/topic"
)

// topicAliases is how many aliases an MQTT 5 client may use.
const topicAliases = 32

// never is a Session Expiry Interval without end [MQTT 5, 3.1.2.11.2].
const never = math.MaxUint32

// connectLimit is the longest CONNECT, in bytes: nobody has been let in yet.
const connectLimit = 256 << 10

// errRefused ends a connection whose CONNACK has said why.
var errRefused = errors.New("refused")

// serve runs one connection from TLS to its end.
func (c *conn) serve(ctx context.Context) {
	defer c.finish()
	deadline := time.Now().Add(c.connectTimeout())
	c.nc.SetDeadline(deadline)
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	peer, err := c.arrive(ctx, deadline)
	if err == nil {
		err = c.attach(ctx, peer)
	}
	cancel()
	if err == nil {
		err = c.loop()
	}
	c.leave(err)
}

// arrive does all that comes before MQTT, and returns the client's certificate.
func (c *conn) arrive(ctx context.Context, deadline time.Time) (peer *x509.Certificate, err error) {
	if c.terms.proxies.any() {
		if err := c.unproxy(deadline); err != nil {
			return nil, err
		}
	}
	if peer, err = c.handshake(ctx); err == nil && c.ws != nil {
		err = c.upgrade()
	}
	return peer, err
}

// handshake does the TLS part, if any, and returns the client's certificate.
func (c *conn) handshake(ctx context.Context) (*x509.Certificate, error) {
	secure, ok := c.nc.(*tls.Conn)
	if !ok {
		return nil, nil
	}
	if limit := c.terms.cfg.TLSTimeout.Std(); limit > 0 {
		var done context.CancelFunc
		ctx, done = context.WithTimeout(ctx, limit)
		defer done()
	}
	if err := secure.HandshakeContext(ctx); err != nil {
		if !errors.Is(err, io.EOF) && !c.b.isStopping() {
			c.b.notice("TLS handshake failed", c.host, "err", err.Error())
		}
		return nil, err
	}
	if chain := secure.ConnectionState().VerifiedChains; len(chain) > 0 {
		return chain[0][0], nil
	}
	return nil, nil
}

// attach reads the CONNECT, lets the client in and joins it to its session.
// With an error the client has been told.
func (c *conn) attach(ctx context.Context, peer *x509.Certificate) error {
	limit := min(connectLimit, c.maxPacket())
	first, err := c.in.peek()
	if err != nil {
		return err
	}
	if first != packets.Connect<<4 {
		return errRefused // nothing may be said before CONNECT [MQTT-3.1.0-1]
	}
	_, body, _, err := c.in.next(limit)
	if err != nil {
		return err
	}
	c.b.stats.connects.Add(1)
	c.b.stats.packetsIn.Add(1)
	c.b.stats.bytesIn.Add(int64(1 + varintSize(len(body)) + len(body)))
	pk, w, err := decodeConnect(bytes.Clone(body))
	c.v5 = pk.ProtocolVersion >= 5
	if err == nil {
		err = checkConnect(pk)
	}
	if err != nil {
		return c.deny(pk, err)
	}
	id, assigned := pk.Connect.ClientIdentifier, ""
	if id == "" {
		if !c.v5 && !pk.Connect.Clean {
			return c.deny(pk, packets.ErrClientIdentifierNotValid)
		}
		assigned = "auto-" + base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(randomID())
		id = assigned
	}
	if err := c.awaitTurn(ctx); err != nil {
		return c.deny(pk, err)
	}
	who := c.b.access.Load()
	may, reason := who.login(ctx, c.terms.cfg.Anonymous, id, string(pk.Connect.Username), pk.Connect.Password, peer, c.from)
	if reason != 0 {
		c.b.stats.loginsFailed.Add(1)
		c.b.notice("client refused", id, "user", string(pk.Connect.Username), "endpoint", c.host, "err", refusals[reason])
		c.nc.SetDeadline(time.Now().Add(linger)) // it may be over, and the client is to know why
		return c.deny(pk, packets.Code{Code: reason})
	}
	c.grant.Store(may)
	c.setLimits(pk)
	if w != nil {
		if !c.owe(w.size()) {
			return c.deny(pk, packets.ErrQuotaExceeded)
		}
		w.msg.From = id
		c.will = w
		if !w.allowed(may) {
			c.b.notice("will denied by the permissions", id, "topic", w.msg.Topic) // now, not when it is too late
		}
	}
	said := c.welcome(pk, assigned)
	if c.maxOut > 0 && len(connack(true, false, 0, said)) > c.maxOut {
		return c.deny(pk, packets.ErrPacketTooLarge) // [MQTT-3.1.2-24]
	}
	c.nc.SetDeadline(time.Time{})
	c.in.granted = time.Time{}
	if err := c.join(pk, id, said); err != nil {
		return c.deny(pk, err)
	}
	if c.b.access.Load() != who && !c.review() {
		c.goodbye(packets.ErrNotAuthorized.Code) // a reload came in between
		return errRefused
	}
	return nil
}

func randomID() []byte {
	id := make([]byte, 10)
	rand.Read(id)
	return id
}

// setLimits takes over what the CONNECT says about this connection.
func (c *conn) setLimits(pk *packets.Packet) {
	c.most = int32(c.b.config().Limits.Unacknowledged)
	if c.v5 {
		c.maxOut = int(min(pk.Properties.MaximumPacketSize, math.MaxInt32))
		c.short = newAliases(pk.Properties.TopicAliasMaximum)
	}
	keep := pk.Connect.Keepalive
	if most := c.b.config().Limits.MaxKeepAlive.Std(); c.v5 && most > 0 && (keep == 0 || time.Duration(keep)*time.Second > most) {
		keep = uint16(most / time.Second)
	}
	c.keepAlive = time.Duration(keep) * time.Second * 3 / 2 // [MQTT-3.1.2-22]
}

// decodeConnect reads a CONNECT and the will in it; the packet is never nil. What a client of a
// protocol unknown to us sends is not read further than the version.
func decodeConnect(body []byte) (pk *packets.Packet, w *will, err error) {
	pk = &packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Connect, Remaining: len(body)}, ProtocolVersion: 4}
	name, version := []byte("MQTT"), byte(0)
	if len(body) >= 9 && bytes.Equal(body[:8], []byte("\x00\x06MQIsdp")) {
		name, version = body[2:8], body[8]
	} else if len(body) >= 7 && bytes.Equal(body[:6], []byte("\x00\x04MQTT")) {
		version = body[6]
	} else {
		return pk, nil, packets.ErrMalformedProtocolName
	}
	if len(name) == 6 && version != 3 || len(name) == 4 && version != 4 && version != 5 {
		if version > 5 && len(name) == 4 {
			pk.ProtocolVersion = 5 // whoever comes after MQTT 5 understands its CONNACK
		}
		return pk, nil, packets.ErrUnsupportedProtocolVersion
	}
	pk.ProtocolVersion = version
	head := 2 + len(name) + 4 // name, version, flags, keep alive
	if len(body) < head {
		return pk, nil, packets.ErrMalformedPacket
	}
	flags, rest := body[head-3], body[head:]
	if version == 5 {
		if rest, err = checkProperties(rest, packets.Connect); err != nil {
			return pk, nil, err
		}
	}
	if !fieldsFit(flags, rest, version == 5) {
		return pk, nil, packets.ErrMalformedPacket
	}
	if err = decode(func() error { return pk.ConnectDecode(body) }); err == nil {
		w, err = newWill(pk, rest)
	}
	return pk, w, err
}

// The connect flags that say which fields follow [MQTT 5, 3.1.2.3].
const (
	willFlag     = 1 << 2
	passwordFlag = 1 << 6
	userNameFlag = 1 << 7
)

// fieldsFit says whether the payload of a CONNECT has the fields that its flags
// announce, and nothing else [MQTT-3.1.2-9, MQTT-3.1.2-16 to 19].
func fieldsFit(flags byte, b []byte, v5 bool) bool {
	ok := true
	skip := func(size, length int) {
		if ok = ok && size > 0 && length <= len(b)-size; ok {
			b = b[size+length:]
		}
	}
	field := func() {
		if len(b) < 2 {
			ok = false
			return
		}
		skip(2, int(binary.BigEndian.Uint16(b)))
	}
	field()
	if flags&willFlag != 0 {
		if v5 {
			n, used := varint(b)
			skip(used, n)
		}
		field()
		field()
	}
	for _, flag := range []byte{userNameFlag, passwordFlag} {
		if flags&flag != 0 {
			field()
		}
	}
	return ok && len(b) == 0
}

// decode calls a decoder of mochi, some of which panic on packets that are cut
// off.
func decode(f func() error) (err error) {
	defer func() {
		if recover() != nil {
			err = packets.ErrMalformedPacket
		}
	}()
	return f()
}

// checkConnect checks what mochi's decoder lets through [MQTT 5, 3.1].
func checkConnect(pk *packets.Packet) error {
	p := &pk.Connect
	switch {
	case pk.ReservedBit != 0:
		return packets.ErrMalformedFlags
	case pk.ProtocolVersion < 5 && p.PasswordFlag && !p.UsernameFlag:
		return packets.ErrMalformedFlags
	case !p.WillFlag && (p.WillQos != 0 || p.WillRetain), p.WillQos > 2:
		return packets.ErrMalformedFlags
	case p.WillFlag && !topic.ValidName(p.WillTopic):
		return packets.ErrTopicNameInvalid
	case !utf8.Valid(p.Username) || bytes.IndexByte(p.Username, 0) >= 0:
		return packets.ErrMalformedUsername
	case pk.ProtocolVersion == 5 && pk.Properties.AuthenticationMethod != "":
		return packets.ErrBadAuthenticationMethod
	case pk.ProtocolVersion == 5 && len(pk.Properties.AuthenticationData) > 0:
		return packets.ErrProtocolViolation
	}
	return nil
}

// deny sends a CONNACK that refuses. What is malformed before MQTT 5 gets no
// answer [MQTT 3.1.1, 3.1.4].
func (c *conn) deny(pk *packets.Packet, err error) error {
	code := codeOf(err)
	v5 := pk.ProtocolVersion >= 5
	if !v5 && (code == 0x81 || code == 0x82 || code == packets.ErrTopicNameInvalid.Code) {
		return errRefused
	}
	c.send(connack(v5, false, code, packets.Properties{}))
	return errRefused
}

// codeOf returns the reason code of an error of the protocol; 0x81 for those
// that mochi has wrapped.
func codeOf(err error) byte {
	var code packets.Code
	if errors.As(err, &code) {
		return code.Code
	}
	return packets.ErrMalformedPacket.Code
}

// join takes the client id's session over from an older connection, or makes
// one, and answers with the CONNACK. A user who is connected is not thrown off
// by another.
func (c *conn) join(pk *packets.Packet, id string, said packets.Properties) error {
	seat := c.b.sit(id)
	defer c.b.stand(id, seat)
	seat.attach.Lock()
	defer seat.attach.Unlock()
	s := c.b.sessionOf(seat)
	if s != nil {
		if old := s.conn.Load(); old != nil {
			if s.user != "" && s.user != c.grant.Load().user {
				return packets.ErrClientIdentifierNotValid
			}
			old.takeOver()
		}
		now := time.Now()
		if s.user == c.grant.Load().user {
			s.recall()
		}
		if pk.Connect.Clean || !s.allowed(c.grant.Load()) || !s.revive(now) {
			c.b.endSession(s)
			s = nil
		} else if w := s.dueWill(now); w != nil {
			c.b.publishDue(w, s) // too late to take it back
		}
	}
	present := s != nil
	if s == nil {
		if c.b.crammed() {
			c.b.stats.overloads.Add(1)
			return packets.ErrQuotaExceeded
		}
		s = newSession(c.b, id)
		s.user = c.grant.Load().user
		c.b.seatSession(seat, s)
	}
	c.b.back(s)
	c.start(pk, s, present, said)
	return nil
}

// welcome returns what the CONNACK says of limits, and of what is not as the
// client asked.
func (c *conn) welcome(pk *packets.Packet, assigned string) (p packets.Properties) {
	if !c.v5 {
		return p
	}
	asked := pk.Properties.SessionExpiryInterval
	if granted := seconds(expiryOf(asked, c.b.config().Session.MaxExpiry.Std())); granted != asked {
		p.SessionExpiryInterval, p.SessionExpiryIntervalFlag = granted, true
	}
	p.ReceiveMaximum = uint16(c.most)
	p.MaximumPacketSize = uint32(c.maxPacket())
	p.TopicAliasMaximum = topicAliases
	p.AssignedClientID = assigned
	if keep := uint16(c.keepAlive * 2 / 3 / time.Second); keep != pk.Connect.Keepalive {
		p.ServerKeepAlive, p.ServerKeepAliveFlag = keep, true
	}
	return p
}

// start makes c the connection of its session: from here on everybody may send
// to it, after the CONNACK.
func (c *conn) start(pk *packets.Packet, s *session, present bool, said packets.Properties) {
	sessions := &c.b.config().Session
	bt := c.batch()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gen++
	c.protocol, c.came = pk.ProtocolVersion, time.Now()
	s.leaveWill(nil)
	s.until = time.Time{}
	s.window = sessions.InFlight
	c.sess, c.gen = s, s.gen
	if c.v5 {
		if n := int(pk.Properties.ReceiveMaximum); n > 0 {
			s.window = min(s.window, n)
		}
		s.expiry = expiryOf(pk.Properties.SessionExpiryInterval, sessions.MaxExpiry.Std())
	} else if pk.Connect.Clean {
		s.expiry = 0
	} else {
		s.expiry = expiryOf(never, sessions.MaxExpiry.Std())
	}
	bt.mark(c, c.send(connack(c.v5, present && pk.ProtocolVersion > 3, 0, said)))
	c.joined.Store(true)
	s.resume(bt, c)
}

// expiryOf bounds a Session Expiry Interval.
func expiryOf(asked uint32, most time.Duration) time.Duration {
	if asked == never {
		return most
	}
	return min(time.Duration(asked)*time.Second, most)
}

func seconds(d time.Duration) uint32 { return uint32(min(d/time.Second, never)) }
