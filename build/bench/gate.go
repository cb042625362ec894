package main

import (
	"io"
	"net"
	"sync"
)

// gate is a network that can be cut: it carries TCP connections to a target
// until it is closed, and refuses them until it is opened again.
type gate struct {
	addr, target string

	mu    sync.Mutex // guards what follows
	ln    net.Listener
	conns map[net.Conn]bool
	all   sync.WaitGroup
}

// newGate opens a gate to target.
func newGate(target string) (*gate, error) {
	g := &gate{target: target, addr: "127.0.0.1:0", conns: map[net.Conn]bool{}}
	return g, g.open()
}

// open listens, at the same address as ever.
func (g *gate) open() error {
	ln, err := net.Listen("tcp", g.addr)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ln, g.addr = ln, ln.Addr().String()
	g.all.Go(func() { g.accept(ln) })
	return nil
}

// close cuts every connection and refuses new ones.
func (g *gate) close() {
	g.mu.Lock()
	if g.ln != nil {
		g.ln.Close()
		g.ln = nil
	}
	for c := range g.conns {
		c.Close()
	}
	clear(g.conns)
	g.mu.Unlock()
	g.all.Wait()
}

func (g *gate) accept(ln net.Listener) {
	for {
		in, err := ln.Accept()
		if err != nil {
			return // closed
		}
		out, err := net.Dial("tcp", g.target)
		if err != nil {
			in.Close()
			continue
		}
		if !g.keep(ln, in, out) {
			continue
		}
		g.all.Go(func() { carry(in, out) })
		g.all.Go(func() { carry(out, in) })
	}
}

// keep remembers a pair of connections; it closes them when the gate was closed
// meanwhile.
func (g *gate) keep(ln net.Listener, pair ...net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range pair {
		if g.ln != ln {
			c.Close()
			continue
		}
		g.conns[c] = true
	}
	return g.ln == ln
}

// carry copies until either side ends, then ends both.
func carry(to, from net.Conn) {
	io.Copy(to, from) // an error here is the cut itself
	to.Close()
	from.Close()
}
