package edge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
)

// pahoC runs paho_c_pub or paho_c_sub (Debian: paho.mqtt.c-examples) as user dev;
// these know no unix sockets.
func (h *home) pahoC(t *testing.T, w way, program, topic string, qos int, more ...string) *exec.Cmd {
	t.Helper()
	to := map[string]string{"TCP": "tcp://%s", "TLS": "ssl://%s", "WebSocket": "ws://%s/mqtt", "secure WebSocket": "wss://%s/mqtt"}[w.listener]
	args := []string{"-c", fmt.Sprintf(to, h.at[w.listener]), "-t", topic, "-q", fmt.Sprint(qos), "-V", map[int]string{4: "311", 5: "5"}[w.version],
		"-u", "dev", "-P", "secret", "-i", program + strings.ReplaceAll(w.String(), " ", "")}
	if strings.HasPrefix(w.listener, "s") || w.listener == "TLS" {
		args = append(args, "--cafile", h.ca)
	}
	return exec.CommandContext(t.Context(), program, append(args, more...)...)
}

func TestClientsPahoC(t *testing.T) {
	if _, err := exec.LookPath("paho_c_pub"); err != nil {
		t.Fatalf("%v; install it with: make setup (apt install paho.mqtt.c-examples)", err)
	}
	inWays(t, allWays(), func(t *testing.T, h *home, w way) {
		if w.listener == "unix" {
			return
		}
		topic := topicOf(t)
		pub := func(payload string, qos int, more ...string) {
			t.Helper()
			file := replaceFile(t, filepath.Join(t.TempDir(), "payload"), []byte(payload))
			if out, err := h.pahoC(t, w, "paho_c_pub", topic, qos, append(more, "-f", file, "--maxdatalen", "300000")...).CombinedOutput(); err != nil {
				t.Fatalf("paho_c_pub: %v: %s", err, out)
			}
		}
		pub("retained", 1, "-r")
		sub := start(t, h.pahoC(t, w, "paho_c_sub", topic, 2))
		sub.line(t, "retained")
		for qos, size := range []int{10, 200_000, mostMessage} { // some in several messages of a WebSocket
			want := strings.Repeat(fmt.Sprint(qos), size)
			pub(want, qos)
			if got := sub.line(t, want[:10]); len(got) != size {
				t.Errorf("QoS %d: got %d bytes, want %d", qos, len(got), size)
			}
		}
	})
}

// TestClientsPahoGo has paho.golang, which speaks MQTT 5 only, over each listener.
func TestClientsPahoGo(t *testing.T) {
	pool, h := x509.NewCertPool(), newHome(t)
	if text, err := os.ReadFile(h.ca); err != nil || !pool.AppendCertsFromPEM(text) {
		t.Fatal(err)
	}
	for listener, to := range map[string]string{"TCP": "mqtt://%s", "TLS": "mqtts://%s", "unix": "mqtt://unix", "WebSocket": "ws://%s/mqtt", "secure WebSocket": "wss://%s/mqtt"} {
		t.Run(listener, func(t *testing.T) {
			if strings.Contains(to, "%") {
				to = fmt.Sprintf(to, h.at[listener])
			}
			server, err := url.Parse(to)
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithTimeout(t.Context(), 2*clientPatience)
			defer stop()
			topic, got := topicOf(t), make(chan *paho.Publish, 100)
			cfg := autopaho.ClientConfig{ServerUrls: []*url.URL{server}, TlsCfg: &tls.Config{RootCAs: pool}, KeepAlive: 20, ConnectTimeout: clientPatience,
				ConnectUsername: "dev", ConnectPassword: []byte("secret"),
				ClientConfig: paho.ClientConfig{ClientID: "go-" + listener, OnPublishReceived: []func(paho.PublishReceived) (bool, error){
					func(r paho.PublishReceived) (bool, error) { got <- r.Packet; return true, nil }}}}
			if listener == "unix" {
				cfg.AttemptConnection = func(ctx context.Context, _ autopaho.ClientConfig, _ *url.URL) (net.Conn, error) {
					return (&net.Dialer{}).DialContext(ctx, "unix", h.at[listener])
				}
			}
			c, err := autopaho.NewConnection(ctx, cfg)
			if err == nil {
				err = c.AwaitConnection(ctx)
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: topic, QoS: 2}}}); err != nil {
				t.Fatal(err)
			}
			for qos := range byte(3) {
				for _, size := range []int{0, 10, mostMessage, 1 << 20} {
					if _, err := c.Publish(ctx, &paho.Publish{Topic: topic, QoS: qos, Payload: make([]byte, size), Properties: &paho.PublishProperties{ContentType: "zero"}}); err != nil {
						t.Fatal(err)
					}
					select {
					case m := <-got:
						if m.QoS != qos || len(m.Payload) != size || m.Properties.ContentType != "zero" {
							t.Errorf("got %d bytes at QoS %d, want %d at %d", len(m.Payload), m.QoS, size, qos)
						}
					case <-time.After(clientPatience):
						t.Fatalf("no message of %d bytes at QoS %d", size, qos)
					}
				}
			}
			if err := c.Disconnect(ctx); err != nil {
				t.Error(err)
			}
		})
	}
}
