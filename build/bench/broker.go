package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// remote says where a broker under test sends everything up; none when empty.
type remote struct {
	endpoints []string // host:port, tried in turn
	durable   bool     // what waits must survive a crash
	cluster   bool     // the endpoints share sessions
}

// broker is one of the programs compared: how to start it in a directory of its
// own, with everything allowed and nothing limited that need not be.
type broker struct {
	name  string
	start func(ctx context.Context, dir string, up remote) (*process, error)
}

// mosquitto is Debian's broker at its best settings: no limits on queues, no
// delays, no log.
func mosquitto(path string) broker { return mosquittoWith(path, "") }

// mosquittoWith has further lines of configuration.
func mosquittoWith(path, more string) broker {
	return broker{"mosquitto", func(ctx context.Context, dir string, up remote) (*process, error) {
		addr, err := freePort()
		if err != nil {
			return nil, err
		}
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		config := mosquittoConfig + more + fmt.Sprintf("listener %s %s\n", port, host)
		if more == "" {
			config += "sys_interval 0\n"
		}
		if up.durable {
			config += mosquittoDurable + "persistence_location " + dir + "/\n"
		}
		if len(up.endpoints) > 0 {
			config += mosquittoBridge + "addresses " + strings.Join(up.endpoints, " ") + "\n"
		}
		file := filepath.Join(dir, "mosquitto.conf")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			return nil, err
		}
		return spawn(ctx, dir, addr, path, "-c", file)
	}}
}

const mosquittoConfig = `
user root
allow_anonymous true
max_queued_messages 0
max_queued_bytes 0
max_inflight_messages 0
set_tcp_nodelay true
log_dest none
`

// mosquittoDurable writes everything after every thousand messages, which is
// the least that keeps its rate: it writes the whole database each time.
const mosquittoDurable = `
persistence true
autosave_on_changes true
autosave_interval 1000
`

// mosquittoBridge is MQTT 3.1.1: with 5 and no limit of messages in flight 2.0.11
// sends a Receive Maximum of 0, which a broker must refuse.
const mosquittoBridge = `
connection up
topic # out 1
bridge_protocol_version mqttv311
cleansession false
notifications false
try_private false
keepalive_interval 5
restart_timeout 1
round_robin false
`

// tidegate is the gateway, with the defaults of its sample but for the numbers
// of connections and of retained messages.
func tidegate(binary string) broker {
	return broker{"tidegate", func(ctx context.Context, dir string, up remote) (*process, error) {
		addr, err := freePort()
		if err != nil {
			return nil, err
		}
		data := filepath.Join(dir, "data")
		if err := os.Mkdir(data, 0o700); err != nil {
			return nil, err
		}
		config := fmt.Sprintf(tidegateConfig, data, addr)
		if len(up.endpoints) > 0 {
			config += fmt.Sprintf(tidegateUplink, `"mqtt://`+strings.Join(up.endpoints, `", "mqtt://`)+`"`, up.cluster)
		}
		file := filepath.Join(dir, "tidegate.toml")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			return nil, err
		}
		return spawn(ctx, dir, addr, binary, "run", file)
	}}
}

const tidegateConfig = `
[gateway]
id = "bench"
data-dir = %q
[[edge.listener]]
bind = %q
anonymous = true
[edge.limits]
connections = 20000
connections-per-address = 20000
retained = 100000
`

const tidegateUplink = `
[[uplink]]
endpoints = [%s]
cluster = %v
[[uplink.up]]
filter = "#"
`

// command is any broker, started by a command line in which {addr}, {port} and
// {dir} stand for where it is to listen and to write.
func command(name, line string) broker {
	return broker{name, func(ctx context.Context, dir string, up remote) (*process, error) {
		if len(up.endpoints) > 0 {
			return nil, fmt.Errorf("%s is a plain broker and has no uplink; leave the bridge figures out with -figures", name)
		}
		addr, err := freePort()
		if err != nil {
			return nil, err
		}
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		argv := strings.Fields(strings.NewReplacer("{addr}", addr, "{port}", port, "{dir}", dir).Replace(line))
		if len(argv) == 0 {
			return nil, fmt.Errorf("the command of %s is empty", name)
		}
		return spawn(ctx, dir, addr, argv...)
	}}
}
