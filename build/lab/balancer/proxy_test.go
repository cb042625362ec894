package balancer

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// TestProxyProtocol: the node learns the client's address, and none for a
// health check.
func TestProxyProtocol(t *testing.T) {
	for _, kind := range Kinds() {
		t.Run(kind, func(t *testing.T) {
			n := listen(t)
			b := begin(t, kind, []string{n.Addr().String()}, Options{Proxy: true})
			conn := dial(t, b.Addr, nil)
			join(t, conn, "client")
			for want := conn.LocalAddr().String(); ; {
				select {
				case got := <-n.clients:
					if got == want {
						return
					}
					if got != "" {
						t.Fatalf("got %q, want %q", got, want)
					}
				case <-time.After(20 * time.Second):
					t.Fatal("the client's address does not come")
				}
			}
		})
	}
}

// told is a node that lets every client in and tells who it is said to be.
type told struct {
	net.Listener
	clients chan string // addresses; empty for the load balancer itself
}

func listen(t *testing.T) *told {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &told{l, make(chan string, 1000)}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
			go func() {
				client, err := welcome(conn)
				if err != nil && !errors.Is(err, io.EOF) { // a look whether the port is open
					client = err.Error()
				}
				n.clients <- client
			}()
		}
	}()
	return n
}

// welcome reads the PROXY protocol's header and the CONNECT, and answers.
func welcome(conn net.Conn) (client string, err error) {
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	r := bufio.NewReader(conn)
	if client, err = header(r); err != nil {
		return "", err
	}
	b, err := r.ReadByte()
	if err != nil {
		return "", err
	}
	if b != 0x10 {
		return "", fmt.Errorf("got %#x, want a CONNECT", b)
	}
	_, err = io.WriteString(conn, "\x20\x03\x00\x00\x00")
	return client, err
}

// header reads a header of version 1 or 2, and returns the source address.
func header(r *bufio.Reader) (source string, err error) {
	first, err := r.Peek(1)
	if err != nil {
		return "", err
	}
	if first[0] == 'P' {
		line, err := r.ReadString('\n')
		fields := strings.Fields(line)
		if err != nil || len(fields) != 6 || fields[1] != "TCP4" {
			return "", fmt.Errorf("header %q: %w", line, err)
		}
		return net.JoinHostPort(fields[2], fields[4]), nil
	}
	fixed := make([]byte, 16) // signature, version and command, family, length
	if _, err := io.ReadFull(r, fixed); err != nil {
		return "", err
	}
	if string(fixed[:12]) != "\r\n\r\n\x00\r\nQUIT\n" {
		return "", errors.New("no header")
	}
	rest := make([]byte, binary.BigEndian.Uint16(fixed[14:]))
	if _, err := io.ReadFull(r, rest); err != nil {
		return "", err
	}
	switch {
	case fixed[12] == 0x20: // LOCAL: a check
		return "", nil
	case fixed[12] == 0x21 && fixed[13] == 0x11 && len(rest) >= 12: // PROXY, TCP over IPv4
		return fmt.Sprintf("%v:%d", net.IP(rest[:4]), binary.BigEndian.Uint16(rest[8:])), nil
	}
	return "", fmt.Errorf("header % x", fixed)
}
