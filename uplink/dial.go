package uplink

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
	"golang.org/x/sys/unix"
)

// dial opens the connection below MQTT: TCP, perhaps through a proxy, TLS and
// a WebSocket as e says.
func (s *settings) dial(ctx context.Context, e endpoint) (net.Conn, error) {
	nc, err := s.carry(ctx, e.host)
	if err != nil {
		return nil, err
	}
	if e.tls {
		if nc, err = s.secure(ctx, nc, e.name); err != nil {
			return nil, err
		}
	}
	if e.path != "" {
		return openWebSocket(ctx, nc, e)
	}
	return nc, nil
}

// carry opens a TCP connection to host:port, through the proxy if there is one.
func (s *settings) carry(ctx context.Context, host string) (net.Conn, error) {
	p, err := s.way(host)
	if err != nil {
		return nil, fault(FaultProxy, fmt.Errorf("proxy: %w", err))
	}
	var nc net.Conn
	if p != nil {
		nc, err = s.tunnel(ctx, p, host)
	} else {
		nc, err = s.tcp(ctx, host)
	}
	if err != nil {
		return nil, dialFault(err, s.now())
	}
	return nc, nil
}

func (s *settings) tcp(ctx context.Context, host string) (net.Conn, error) {
	d := net.Dialer{
		Resolver:        s.cfg.resolver(),
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3},
		Control: func(_, _ string, raw syscall.RawConn) error {
			var err error
			ms := int(max(s.cfg.KeepAlive.Std(), 5*time.Second) / time.Millisecond)
			if cerr := raw.Control(func(fd uintptr) {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, ms)
			}); cerr != nil {
				return cerr
			}
			return err
		},
	}
	nc, err := d.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	sock, err := newSocket(nc.(*net.TCPConn))
	if err != nil {
		nc.Close()
		return nil, err
	}
	return s.meter.over(sock), nil
}

// secure speaks TLS over nc with a node whose certificate must be for name. It
// closes nc when it fails.
func (s *settings) secure(ctx context.Context, nc net.Conn, name string) (net.Conn, error) {
	tc := tls.Client(nc, &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: name, NextProtos: s.cfg.ALPN, Time: s.now,
		RootCAs: s.trust.roots, Certificates: s.trust.pair,
	})
	if err := tc.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, tlsFault(err, s.cfg, s.now())
	}
	return tc, nil
}

// password reads the first line of the secret's file.
func (c Config) password() ([]byte, error) {
	if c.PasswordFile == "" {
		return nil, nil
	}
	b, err := firstLine(c.PasswordFile)
	if err != nil {
		return nil, fmt.Errorf("read password-file: %w", err)
	}
	return b, nil
}

func firstLine(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	b, _, _ = bytes.Cut(b, []byte("\n"))
	return bytes.TrimSuffix(b, []byte("\r")), err
}

// limits are what the cloud said in its CONNACK [MQTT 5, 3.2.2.3].
type limits struct {
	present   bool // a session
	receive   int  // unanswered messages
	packet    int  // bytes; 0: no limit
	qos       byte
	retain    bool
	wildcards bool    // in subscriptions
	expiry    *uint32 // of the session, in seconds; nil: as asked for
}

func readLimits(ca *packets.Connack) limits {
	l := limits{present: ca.SessionPresent, receive: 65535, qos: 2, retain: true, wildcards: true}
	p := ca.Properties
	if p == nil {
		return l
	}
	if p.ReceiveMaximum != nil {
		l.receive = max(int(*p.ReceiveMaximum), 1)
	}
	if p.MaximumPacketSize != nil {
		l.packet = int(min(*p.MaximumPacketSize, 1<<30))
	}
	if p.MaximumQOS != nil {
		l.qos = *p.MaximumQOS
	}
	if p.RetainAvailable != nil {
		l.retain = *p.RetainAvailable != 0
	}
	if p.WildcardSubAvailable != nil {
		l.wildcards = *p.WildcardSubAvailable != 0
	}
	l.expiry = p.SessionExpiryInterval
	return l
}

// client is one MQTT connection of a link: paho's client on our wire.
type client struct {
	*paho.Client
	wire   *wire
	ctl    *control
	limits limits
	health *health
}

// connect speaks CONNECT and CONNACK over nc. It closes nc when it fails.
func connect(ctx context.Context, nc net.Conn, c Config, cp *paho.Connect, r role, within time.Duration, h *health) (*client, error) {
	h.wire = newWire(nc, r, int(c.MaxPacket))
	cl, ca, err := hello(ctx, h.wire, c, cp, r, within, h)
	if err != nil {
		if _, l := h.link.up.downward(); l == h.link && ca != nil {
			err = l.up.presence.refused(cp.WillMessage != nil, ca.ReasonCode, err)
		}
		return nil, err
	}
	cl.health = h
	return cl, nil
}

// hello speaks CONNECT and CONNACK over w. It closes w when it fails; the
// CONNACK is given then too, when it was what refused.
func hello(ctx context.Context, w *wire, c Config, cp *paho.Connect, r beginner, within time.Duration, ping paho.Pinger) (*client, *paho.Connack, error) {
	secret, err := c.password()
	if err != nil {
		w.cut(err)
		return nil, nil, fault(FaultFiles, err)
	}
	cp.KeepAlive = uint16(c.KeepAlive.Std() / time.Second)
	cp.Username, cp.UsernameFlag = c.User, c.User != ""
	cp.Password, cp.PasswordFlag = secret, len(secret) > 0
	ctl := &control{wire: w, role: r, calls: map[uint16]chan<- packets.ControlPacket{}}
	pc := paho.NewClient(paho.ClientConfig{
		// CONNECT is bounded by ctx. A SUBSCRIBE has longer: a cluster that was
		// torn apart takes seconds to make a session's queue, and to leave and
		// ask the next node for the same only adds to its work.
		Conn: w, Session: ctl, PingHandler: ping, PacketTimeout: max(within, c.Patience.Std()), AuthHandler: noAuth{},
		OnPublishReceived:  []func(paho.PublishReceived) (bool, error){}, // the wire takes them all
		Router:             nil,
		OnServerDisconnect: func(*paho.Disconnect) {},
	})
	ca, err := pc.Connect(ctx, cp)
	if err != nil {
		w.cut(err)
		if ca != nil && ca.ReasonCode >= 0x80 {
			return nil, ca, fault(byReason(connackFaults, ca.ReasonCode), refusal(ca))
		}
		if w.end != nil && !errors.Is(w.end, net.ErrClosed) {
			err = w.end
		}
		return nil, nil, connectFault(err, c, time.Now())
	}
	return &client{Client: pc, wire: w, ctl: ctl, limits: ctl.limits}, ca, nil
}

// refusal puts a CONNACK's reason into words.
func refusal(ca *paho.Connack) error {
	s := connackReasons[ca.ReasonCode]
	if s == "" {
		s = "the cloud refuses the connection"
	}
	if ca.Properties != nil && ca.Properties.ReasonString != "" {
		s += ": " + ca.Properties.ReasonString
	}
	err := fmt.Errorf("%s (0x%02X)", s, ca.ReasonCode)
	if ca.Properties != nil {
		return redirecting(ca.ReasonCode, ca.Properties.ServerReference, err)
	}
	return redirecting(ca.ReasonCode, "", err)
}

var connackReasons = map[byte]string{
	0x84: "the cloud does not speak MQTT 5",
	0x85: "the cloud does not accept the client id; look at client-id",
	0x86: "the cloud does not accept the user name or password; look at user and password-file",
	0x87: "the cloud does not authorize this client; look at user, password-file and the cloud's permissions",
	0x88: "the cloud is unavailable",
	0x89: "the cloud is busy",
	0x8A: "the cloud has banned this client",
	0x97: "the cloud's quota is exceeded",
	0x9C: "the cloud asks to use another server",
	0x9D: "the cloud has moved to another server",
	0x9F: "the cloud limits the rate of connections",
}

// noAuth answers what the gateway never asked for; without it paho would call
// a nil handler.
type noAuth struct{}

func (noAuth) Authenticate(*paho.Auth) *paho.Auth {
	return &paho.Auth{ReasonCode: packets.AuthReauthenticate}
}
func (noAuth) Authenticated() {}
