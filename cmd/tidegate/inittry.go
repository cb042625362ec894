package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tidegate/internal/wear"
	"tidegate/uplink"
)

// tryCloud connects to each address as the gateway will, and sends a message.
func (h *firstHour) tryCloud(ctx context.Context) error {
	if h.local || h.untested {
		return nil
	}
	dir, err := os.MkdirTemp("", "tidegate-init-") // only its owner may enter
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	password := ""
	if h.user != "" {
		password = filepath.Join(dir, "password")
		if err := os.WriteFile(password, []byte(h.password+"\n"), 0o600); err != nil {
			return err
		}
	}
	bad := 0
	for _, url := range h.endpoints() {
		fmt.Fprintf(h.env.out, "trying %s ... ", url)
		if err := tryEndpoint(ctx, h.uplinkConfig(password), url, h.id, dir); err != nil {
			h.say("no.\n  %v", err)
			bad++
			continue
		}
		h.say("good: it takes this gateway and its messages.")
	}
	if bad == 0 {
		return nil
	}
	yes, err := h.ask.Yes("Write the configuration all the same?", false)
	if err == nil && !yes {
		h.say("Put it right and run tidegate init again; with -no-test it writes the configuration without trying the cloud.")
		err = errLeft
	}
	return err
}

// tryTime bounds the test of one address.
const tryTime = 20 * time.Second

// tryEndpoint is the real uplink with one link, a client id of its own, and
// nothing that stays in the cloud: one message, not retained, on the topic
// GATEWAY/tidegate-init.
func tryEndpoint(ctx context.Context, c uplink.Config, url, id, dir string) error {
	c.Endpoints, c.Links, c.ClientID = []string{url}, 1, id+"-init"
	c.Status, c.Canary, c.Down = false, false, nil
	c.Up = []uplink.Up{{Filter: "tidegate-init", Add: id + "/"}}
	u, err := uplink.New(c, uplink.Options{
		Gateway: id, Epoch: 1, Dir: dir, Log: slog.New(slog.DiscardHandler), Budget: wear.NewBudget(1<<30, 1<<30), Version: version,
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	ended := make(chan error, 1)
	go func() { ended <- u.Run(ctx) }()
	u.Send(&uplink.Message{Topic: "tidegate-init", Payload: []byte("hello from " + id), QoS: 1, Accepted: time.Now()}, uplink.Ticket{})
	err = judge(ctx, u)
	cancel()
	if stopped := <-ended; err == nil {
		err = stopped
	}
	return err
}

// judge waits until the message is acknowledged or something is wrong.
func judge(ctx context.Context, u *uplink.Uplink) error {
	for {
		s := u.Stats()
		link, route := s.Links[0], s.Routes[0]
		switch {
		case route.Refusals > 0 || link.Refused > 0:
			return fmt.Errorf("it lets the gateway in and refuses its messages: %s; allow this user to publish on the gateway's topics", orElse(route.Cause, "not authorized"))
		case link.Acked > 0:
			return nil
		case link.Fault != "" && link.Cause != "":
			return errors.New(strings.TrimSpace(link.Cause + "\n  " + whatToDo[link.Fault]))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it does not answer within %v: is the address right, and does a firewall let port numbers such as 8883 out?", tryTime)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// whatToDo says what to do, beyond the words of the link.
var whatToDo = map[uplink.Fault]string{
	uplink.FaultRefused:       "The machine is there, and nothing listens on that port: is the port right? With TLS it is usually 8883, without 1883.",
	uplink.FaultUnreachable:   "Is this machine connected to the network? Try: ping -c 3 1.1.1.1",
	uplink.FaultTimedOut:      "Is the address right? A firewall between here and there may swallow it.",
	uplink.FaultNoName:        "Is the name written right? Try: getent hosts NAME",
	uplink.FaultHandshake:     "Does this port speak TLS? If not, begin the address with mqtt:// (usually port 1883).",
	uplink.FaultNoNode:        "A port that speaks TLS needs mqtts:// (usually 8883), one that does not needs mqtt:// (usually 1883).",
	uplink.FaultNoAnswer:      "A port that speaks TLS needs mqtts:// (usually 8883), one that does not needs mqtt:// (usually 1883).",
	uplink.FaultClock:         "Wait until the clock is set (timedatectl), then try again.",
	uplink.FaultUntrusted:     "If the cloud has an authority of its own, get its certificate (a .pem or .crt file) and name it with -ca.",
	uplink.FaultCredentials:   "Copy the name and the password again from where the cloud shows them; mind blanks at the ends.",
	uplink.FaultNotAuthorized: "Copy the name and the password again; if they are right, allow this user to connect in the cloud.",
	uplink.FaultVersion:       "Tidegate needs a broker with MQTT 5: is there a newer version, or a setting for it?",
	uplink.FaultBadClientID:   "The cloud wants a certain client id: set -id, or client-id and single-client in the configuration (tidegate sample).",
}
