package balancer

import (
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Table returns the node, by its number, that HAProxy sends each client id to.
func (b *Balancer) Table() (map[string]int, error) {
	text, err := b.ask("show table nodes")
	if err != nil {
		return nil, err
	}
	table := map[string]int{}
	for line := range strings.Lines(text) {
		var client string
		server := 0
		for _, field := range strings.Fields(line) {
			if key, ok := strings.CutPrefix(field, "key="); ok {
				client = key
			}
			if id, ok := strings.CutPrefix(field, "server_id="); ok {
				if server, err = strconv.Atoi(id); err != nil {
					return nil, fmt.Errorf("HAProxy's table has the line %q", line)
				}
			}
		}
		if client != "" && server > 0 {
			table[client] = server - 1 // HAProxy counts from one
		}
	}
	return table, nil
}

// Up returns what HAProxy thinks of each node.
func (b *Balancer) Up() ([]bool, error) {
	text, err := b.ask("show stat nodes 4 -1") // 4: servers
	if err != nil {
		return nil, err
	}
	var up []bool
	for line := range strings.Lines(text) {
		if fields := strings.Split(line, ","); len(fields) > 17 && strings.HasPrefix(fields[1], "node") {
			up = append(up, strings.HasPrefix(fields[17], "UP"))
		}
	}
	return up, nil
}

// masterListens asks the master process for its version: it answers from the
// loop in which it takes signals.
func (b *Balancer) masterListens() error {
	conn, err := b.put(masterSocket(b.dir), "show version")
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Read(make([]byte, 1)) // it keeps the connection
	return err
}

func statsSocket(dir string) string  { return filepath.Join(dir, "haproxy.sock") }
func masterSocket(dir string) string { return filepath.Join(dir, "master.sock") }

// ask puts one question to the worker.
func (b *Balancer) ask(command string) (string, error) {
	if b.Kind != "haproxy" {
		return "", errors.New("only HAProxy can be asked")
	}
	conn, err := b.put(statsSocket(b.dir), command)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	text, err := io.ReadAll(conn)
	if err != nil {
		return "", fmt.Errorf("ask HAProxy: %w", err)
	}
	return string(text), nil
}

func (b *Balancer) put(socket, command string) (net.Conn, error) {
	conn, err := net.DialTimeout("unix", socket, 5*time.Second)
	if err != nil {
		return nil, fmt.Errorf("ask HAProxy: %w", err)
	}
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(conn, command+"\n"); err != nil {
		conn.Close()
		return nil, fmt.Errorf("ask HAProxy: %w", err)
	}
	return conn, nil
}
