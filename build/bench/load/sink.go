package load

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"sync"
)

// Sink is the least a broker can do: it acknowledges every PUBLISH at once and
// hands it, at QoS 0 or 1 and not above the subscriber's, to every subscriber
// whatever its filter. It keeps nothing and retransmits nothing. What a Fleet and its
// Subscribers reach against it is what they can reach against anything: the
// calibration of the generator.
type Sink struct {
	ln net.Listener

	mu    sync.Mutex // guards conns and subscribers
	conns map[*sinkConn]bool

	subscribers []*sinkConn // replaced, never changed in place
}

type sinkConn struct {
	c       conn // its reading half belongs to serve
	mu      sync.Mutex
	version byte
	out     []byte // guarded by mu, as is the writing and what follows
	id      uint16
	qos     byte // of its subscription
}

// NewSink listens on addr, "127.0.0.1:0" for instance.
func NewSink(addr string) (*Sink, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &Sink{ln: ln, conns: map[*sinkConn]bool{}}, nil
}

// Addr returns where the sink listens.
func (s *Sink) Addr() string { return s.ln.Addr().String() }

// Run serves until ctx ends, which is not an error.
func (s *Sink) Run(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	defer context.AfterFunc(ctx, func() { s.ln.Close() })()
	for {
		nc, err := s.ln.Accept()
		if err != nil {
			s.closeAll()
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		sc := &sinkConn{c: conn{nc: nc, version: MQTT311, in: make([]byte, 4096)}}
		s.mu.Lock()
		s.conns[sc] = true
		s.mu.Unlock()
		all.Go(func() {
			s.serve(sc) // ends with the connection, whose client knows why
			nc.Close()
			s.remove(sc)
		})
	}
}

func (s *Sink) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for sc := range s.conns {
		sc.c.nc.Close()
	}
}

func (s *Sink) remove(sc *sinkConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, sc)
	s.subscribers = slices.DeleteFunc(slices.Clone(s.subscribers), func(o *sinkConn) bool { return o == sc })
}

// serve takes packets until the connection ends; what a batch of them made
// ready is written before the next is read.
func (s *Sink) serve(sc *sinkConn) error {
	for {
		s.mu.Lock()
		subscribers := s.subscribers
		s.mu.Unlock()
		err := s.batch(sc, subscribers)
		for _, sub := range subscribers {
			sub.flush() // its own reader sees the error
		}
		if err := errors.Join(err, sc.flush()); err != nil {
			return err
		}
		if err := sc.c.read(); err != nil {
			return err
		}
	}
}

// batch takes all that is already read.
func (s *Sink) batch(sc *sinkConn, subscribers []*sinkConn) error {
	var p packet
	for {
		ok, err := sc.c.parsed(&p)
		if !ok || err != nil {
			return err
		}
		if err := s.take(sc, &p, subscribers); err != nil {
			return err
		}
	}
}

func (s *Sink) take(sc *sinkConn, p *packet, subscribers []*sinkConn) error {
	switch p.kind {
	case connect:
		if len(p.payload) < 7 {
			return errMalformed
		}
		sc.c.version = p.payload[6]
		sc.append(func(b []byte) []byte {
			sc.version = sc.c.version
			if sc.version == MQTT5 {
				return append(b, connack<<4, 3, 0, 0, 0)
			}
			return append(b, connack<<4, 2, 0, 0)
		})
	case publish:
		kind := []byte{0, puback, pubrec, 0}[p.qos()]
		if kind != 0 {
			sc.append(func(b []byte) []byte { return appendAck(b, kind, p.id) })
		}
		for _, sub := range subscribers {
			sub.publish(p)
		}
	case pubrel:
		sc.append(func(b []byte) []byte { return appendAck(b, pubcomp, p.id) })
	case subscribe:
		sc.append(func(b []byte) []byte {
			if n := len(p.payload); n > 0 {
				sc.qos = p.payload[n-1] & 3 // of the last filter
			}
			b = append(b, suback<<4)
			if sc.version == MQTT5 {
				return append(binary.BigEndian.AppendUint16(append(b, 4), p.id), 0, 1)
			}
			return append(binary.BigEndian.AppendUint16(append(b, 3), p.id), 1)
		})
		s.mu.Lock()
		s.subscribers = append(slices.Clone(s.subscribers), sc)
		s.mu.Unlock()
	case pingreq:
		sc.append(func(b []byte) []byte { return append(b, pingresp<<4, 0) })
	case disconnect:
		return errors.New("disconnected")
	}
	return nil
}

func (sc *sinkConn) append(what func(b []byte) []byte) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	sc.out = what(sc.out)
}

func (sc *sinkConn) publish(p *packet) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	var flags byte
	if p.qos() > 0 && sc.qos > 0 {
		flags = 1 << 1
		sc.id = sc.id%65535 + 1
	}
	sc.out = appendPublish(sc.out, sc.version, flags, sc.id, p.topic, p.props, len(p.payload))
	sc.out = append(sc.out, p.payload...)
}

func (sc *sinkConn) flush() error {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if len(sc.out) == 0 {
		return nil
	}
	_, err := sc.c.nc.Write(sc.out)
	sc.out = sc.out[:0]
	return err
}
