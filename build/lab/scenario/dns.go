package scenario

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"tidegate/build/lab/gateway"
	"tidegate/build/lab/network"
)

// nameServer answers for one name over UDP, without a lifetime.
type nameServer struct {
	conn net.PacketConn
	work sync.WaitGroup

	mu    sync.Mutex // guards what follows
	addrs []netip.Addr
}

const cloudName = "cloud.lab."

func startNameServer(addr string) (*nameServer, error) {
	conn, err := net.ListenPacket("udp4", addr)
	if err != nil {
		return nil, fmt.Errorf("start a name server: %w", err)
	}
	s := &nameServer{conn: conn}
	s.work.Go(s.serve)
	return s, nil
}

func (s *nameServer) close() error {
	err := s.conn.Close()
	s.work.Wait()
	return err
}

func (s *nameServer) set(addrs ...netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addrs = addrs
}

func (s *nameServer) serve() {
	for b := make([]byte, 1500); ; {
		n, from, err := s.conn.ReadFrom(b)
		if err != nil {
			return
		}
		if reply, err := s.answer(b[:n]); err == nil {
			_, _ = s.conn.WriteTo(reply, from)
		}
	}
}

func (s *nameServer) answer(query []byte) ([]byte, error) {
	var p dnsmessage.Parser
	h, err := p.Start(query)
	if err != nil {
		return nil, err
	}
	q, err := p.Question()
	if err != nil {
		return nil, err
	}
	h.Response, h.Authoritative, h.RecursionAvailable = true, true, true
	if q.Name.String() != cloudName {
		h.RCode = dnsmessage.RCodeNameError
	}
	b := dnsmessage.NewBuilder(nil, h)
	if err := errors.Join(b.StartQuestions(), b.Question(q), b.StartAnswers()); err != nil {
		return nil, err
	}
	if q.Name.String() == cloudName && q.Type == dnsmessage.TypeA {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, a := range s.addrs {
			head := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class}
			if err := b.AResource(head, dnsmessage.AResource{A: a.As4()}); err != nil {
				return nil, err
			}
		}
	}
	return b.Finish()
}

// ask makes the name server at addr the one of all processes of the lab: the
// mount is seen by nobody else.
func ask(addr netip.Addr, dir string) (undo func() error, err error) {
	file := filepath.Join(dir, "resolv.conf")
	if err := os.WriteFile(file, []byte(fmt.Sprintf("nameserver %s\noptions timeout:1 attempts:2\n", addr)), 0o644); err != nil {
		return nil, err
	}
	const path = "/etc/resolv.conf"
	if err := syscall.Mount(file, path, "", syscall.MS_BIND, ""); err != nil {
		return nil, fmt.Errorf("put a name server into %s: %w", path, err)
	}
	return func() error { return syscall.Unmount(path, 0) }, nil
}

// nameChanged moves the cloud's name from two nodes to the third one, and then
// takes the two away.
func nameChanged() Scenario {
	var names *nameServer
	return Scenario{
		Name: "name-changed", Says: "the cloud's name moves to another node, and the old ones go away",
		Hold: 3 * time.Second,
		Prepare: func(_ context.Context, t *take, cfg *gateway.Config) (err error) {
			if names, err = startNameServer(t.net.Lab.At(53)); err != nil {
				return err
			}
			t.closers = append(t.closers, names.close)
			names.set(t.hosts[1].Addr, t.hosts[2].Addr)
			undo, err := ask(t.net.Lab.Addr, filepath.Join(t.Dir, t.name))
			if err != nil {
				return err
			}
			t.closers = append(t.closers, undo)
			cfg.Endpoints = []string{fmt.Sprintf("mqtt://%s:%d", cloudName[:len(cloudName)-1], mqttPort)}
			t.victim = 1 // whichever the links are on
			return nil
		},
		Break: func(ctx context.Context, t *take) error {
			names.set(t.hosts[0].Addr)
			pause(ctx, time.Second)
			t.way(1, network.Hole, network.Hole)
			t.way(2, network.Hole, network.Hole)
			return nil
		},
		Heal: healUplink,
	}
}
