package edge

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// BenchmarkReturn is 500 devices that come back at the same moment, as after a
// power cut, each with a user of its own, and try again a second or so after a
// refusal. As on a small Pi: taskset -c 0 go test -run '^$' -bench Return
// -benchtime 1x -cpu 1 ./edge
func BenchmarkReturn(b *testing.B) {
	const devices = 500
	made := map[string]string{} // argon2id hashes, which take long to make
	argon := func(password string) string {
		if made[password] == "" {
			made[password] = HashPassword([]byte(password))
		}
		return made[password]
	}
	for _, c := range []struct {
		what    string
		hash    func(password string) string
		guesser bool // somebody guesses passwords meanwhile, on many connections
	}{
		{"generated", func(password string) string {
			salt := randomBytes(saltBytes)
			return fastPrefix + b64.EncodeToString(salt) + "$" + b64.EncodeToString(fastSum(salt, []byte(password)))
		}, false},
		{"argon2id", argon, false},
		{"argon2id beside a guesser", argon, true},
		{"bcrypt", func(password string) string {
			sum, _ := bcrypt.GenerateFromPassword([]byte(password), 10)
			return string(sum)
		}, false},
	} {
		b.Run(c.what, func(b *testing.B) {
			var text strings.Builder
			for i := range devices {
				text.WriteString(entryOf(fmt.Sprint("u", i), c.hash(fmt.Sprint("pw", i)), "a", "a"))
			}
			path := filepath.Join(b.TempDir(), "users.toml")
			if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
				b.Fatal(err)
			}
			runtime.GC()
			for b.Loop() {
				broker := startBroker(b, Options{}, func(c *Config) {
					c.Access.UsersFile = path
					c.Limits.ConnectTimeout = DefaultConfig().Limits.ConnectTimeout
				})
				if c.guesser {
					defer guess(b, broker)()
				}
				returns(b, broker, devices, "")
				returns(b, broker, devices, "again-")
			}
		})
	}
}

// returns lets devices come back and reports how it went.
func returns(b *testing.B, broker *Broker, devices int, what string) {
	var all sync.WaitGroup
	var refused atomic.Int64
	began, cpu := time.Now(), cpuTime()
	took := make([]time.Duration, devices)
	for i := range devices {
		all.Go(func() {
			for !comesIn(broker, i) {
				refused.Add(1)
				time.Sleep(time.Second + time.Duration(rand.Int64N(int64(time.Second))))
			}
			took[i] = time.Since(began)
		})
	}
	all.Wait()
	slices.Sort(took)
	b.ReportMetric(took[devices/2].Seconds(), what+"s-median")
	b.ReportMetric(took[devices-1].Seconds(), what+"s-last")
	b.ReportMetric(float64(refused.Load()), what+"refused")
	b.ReportMetric((cpuTime() - cpu).Seconds(), what+"s-CPU")
	b.ReportMetric(float64(peakMemory())/(1<<20), "MB-peak")
}

// comesIn is one attempt of a device.
func comesIn(broker *Broker, i int) bool {
	nc, err := net.Dial("tcp", broker.Addrs()[0].String())
	if err != nil {
		return false
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(30 * time.Second))
	name, password := fmt.Sprint("u", i), fmt.Sprint("pw", i)
	body := []byte("\x00\x04MQTT\x04\xc2\x00\x3c")
	for _, s := range []string{fmt.Sprint("c", i), name, password} {
		body = append(append(body, 0, byte(len(s))), s...)
	}
	if _, err := nc.Write(append([]byte{0x10, byte(len(body))}, body...)); err != nil {
		return false
	}
	var ack [4]byte
	n, err := nc.Read(ack[:])
	return err == nil && n == 4 && ack[3] == 0
}

// guess tries passwords that nobody has on 100 connections, as of another address,
// until what it returns is called.
func guess(b *testing.B, broker *Broker) (stop func()) {
	end := make(chan struct{})
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-end:
					return
				default:
				}
				d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 66)}, Timeout: 5 * time.Second}
				nc, err := d.Dial("tcp", broker.Addrs()[0].String())
				if err != nil {
					time.Sleep(100 * time.Millisecond)
					continue
				}
				nc.SetDeadline(time.Now().Add(15 * time.Second))
				word := fmt.Sprintf("%04d", (i*1000+n)%10000)
				nc.Write([]byte("\x10\x1d\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01g\x00\x02u1\x00\x0aguess-" + word))
				nc.Read(make([]byte, 4))
				nc.Close()
			}
		})
	}
	return func() {
		close(end)
		all.Wait()
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peakMemory is the most that the process, devices and all, has had in RAM.
func peakMemory() int64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return int64(u.Maxrss) << 10
}
