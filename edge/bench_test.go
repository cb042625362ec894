package edge

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// swallow reads PUBLISHes until it has n, and acknowledges QoS 1 in batches.
func swallow(nc net.Conn, n int) error {
	r := bufio.NewReaderSize(nc, 64<<10)
	nc.SetDeadline(time.Now().Add(4 * patience))
	var acks []byte
	for n > 0 {
		first, err := r.ReadByte()
		if err != nil {
			return err
		}
		length, _, err := packets.DecodeLength(r)
		if err != nil {
			return err
		}
		if first>>4 != packets.Publish {
			r.Discard(length)
			continue
		}
		n--
		body, err := r.Peek(length)
		if err != nil {
			return err
		}
		if first&6 != 0 {
			at := 2 + int(body[0])<<8 + int(body[1])
			acks = append(acks, 0x40, 2, body[at], body[at+1])
		}
		r.Discard(length)
		if len(acks) > 0 && (r.Buffered() == 0 || len(acks) > 1000 || n == 0) {
			if _, err := nc.Write(acks); err != nil {
				return err
			}
			acks = acks[:0]
		}
	}
	return nil
}

// pour publishes n messages with a window of QoS 1 messages unacknowledged.
func pour(nc net.Conn, n int, qos byte, window int) error {
	return pourOnto(nc, n, qos, window, 100, func(int) string { return "bench" })
}

// pourOnto is pour with payloads of a size, each to the topic of its number.
func pourOnto(nc net.Conn, n int, qos byte, window, size int, topic func(int) string) error {
	nc.SetDeadline(time.Now().Add(4 * patience))
	ack := make([]byte, 4*window)
	var out []byte
	payload := make([]byte, size)
	for i := 0; i < n; {
		out = out[:0]
		some := min(window, n-i)
		for range some {
			out, _ = appendPublish(out, &Message{Topic: topic(i), Payload: payload}, &publishForm{v5: true, qos: qos})
			i++
			if qos > 0 {
				id := out[len(out)-size-3:] // before the properties' length
				id[0], id[1] = byte(i>>8), byte(i|1)
			}
		}
		if _, err := nc.Write(out); err != nil {
			return err
		}
		if qos > 0 {
			if _, err := io.ReadFull(nc, ack[:4*some]); err != nil {
				return err
			}
		}
	}
	return nil
}

// BenchmarkSockets carries messages of 100 bytes through real sockets; clients
// and broker share the process.
func BenchmarkSockets(b *testing.B) {
	for _, c := range []struct{ publishers, subscribers int }{{50, 1}, {1, 200}, {1, 1}} {
		for qos := range byte(2) {
			b.Run(fmt.Sprintf("%d to %d qos %d", c.publishers, c.subscribers, qos), func(b *testing.B) {
				br := startBroker(b, Options{}, func(cfg *Config) {
					cfg.Session.Queue = 1 << 19
					cfg.Session.QueueBytes, cfg.Session.AllQueueBytes = 1<<30, 1<<30
				})
				each := max(b.N/c.publishers, 1)
				var all sync.WaitGroup
				for i := range c.subscribers {
					s := connect(b, br, fmt.Sprint("s", i))
					s.subscribe(sub{filter: "bench", qos: qos})
					all.Go(func() {
						if err := swallow(s.nc, each*c.publishers); err != nil {
							b.Error(err)
						}
					})
				}
				b.ReportAllocs()
				b.ResetTimer()
				for i := range c.publishers {
					p := connect(b, br, fmt.Sprint("p", i))
					all.Go(func() {
						if err := pour(p.nc, each, qos, 20); err != nil {
							b.Error(err)
						}
					})
				}
				all.Wait()
				b.ReportMetric(float64(each*c.publishers*c.subscribers)/b.Elapsed().Seconds(), "deliveries/s")
			})
		}
	}
}
