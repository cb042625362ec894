package main

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"tidegate/cmd/tidegate/internal/control"
)

var errEnough = errors.New("enough")

// What people publish reaches devices, and what devices publish is seen: in the
// tail, and as last values in the tree.
func TestTopicsTailAndPublish(t *testing.T) {
	g := newHouse(t, openHouse)
	c := g.ask()
	device := subscribe(t, g.port(), "home/#")
	publish(t, g.port(), "home/kitchen/light", []string{"ON"}, "-r")

	err := c.Stream(patiently(t), "/v1/tail?filter=home/%23", nil, func(event string, data []byte) error {
		var m control.Message
		if err := json.Unmarshal(data, &m); err != nil || event != "message" {
			return err
		}
		switch {
		case m.Topic == "home/kitchen/light" && m.Retain:
			if m.Payload != "ON" || m.Encoding != "text" || m.Size != 2 {
				t.Errorf("got %+v", m)
			}
			return c.Do(patiently(t), "POST", "/v1/publish", control.Publication{Topic: "home/hall", Payload: "//4=", Encoding: "base64", QoS: 1}, nil)
		case m.Topic == "home/hall":
			if m.Payload != "//4=" || m.Encoding != "base64" {
				t.Errorf("got %+v", m)
			}
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatalf("the tail: got %v", err)
	}
	device.says(`got home/hall`)

	var got control.Topics
	eventually(t, func() bool {
		if err := c.Get(patiently(t), "/v1/topics?under=home", &got); err != nil {
			t.Fatal(err)
		}
		if got.Total == 1 { // from before somebody looked; now it is seen
			publish(t, g.port(), "home/hall", []string{"2"})
		}
		return got.Total == 2
	}, func() string { return "the tree has not both topics" })
	if hall, kitchen := got.Topics[0], got.Topics[1]; hall.Value == nil || hall.Value.Payload != "2" || hall.Value.Retained || kitchen.Name != "kitchen" || kitchen.Children != 1 || kitchen.Value != nil {
		t.Errorf("got %+v", got.Topics)
	}
	if err := c.Get(patiently(t), "/v1/topics?search=LIGHT", &got); err != nil || got.Total != 1 || !got.Topics[0].Value.Retained || got.Topics[0].Value.QoS != 1 {
		t.Errorf("searched: got %+v, %v", got, err)
	}
	if err := c.Do(patiently(t), "POST", "/v1/publish", control.Publication{Topic: "home/kitchen/light", Retain: true}, nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		err := c.Get(patiently(t), "/v1/topics?search=light", &got)
		return err == nil && got.Total == 1 && !got.Topics[0].Value.Retained
	}, func() string { return "the retained value does not go" })

	for _, wrong := range []control.Publication{{Topic: "a/#"}, {Topic: ""}, {Topic: "$SYS/x"}, {Topic: "a", QoS: 3}, {Topic: "a", Encoding: "hex"}, {Topic: "a", Encoding: "base64", Payload: "*"}} {
		var said *control.Error
		if err := c.Do(patiently(t), "POST", "/v1/publish", wrong, nil); !errors.As(err, &said) || said.Status != 400 {
			t.Errorf("%+v: got %v, want 400", wrong, err)
		}
	}
}

// What the cloud refuses for good can be looked at, sent again and removed while
// the gateway runs.
func TestDeadLettersOverTheSocket(t *testing.T) {
	acl := filepath.Join(t.TempDir(), "acl")
	configure(t, acl, "topic readwrite tidegate/#\ntopic readwrite houses/17/good/#\ntopic read houses/17/commands/#\n")
	_, port := startCloud(t, "", "acl_file "+acl)
	g := newHouse(t, openHouse+towards(port))
	c := g.ask()
	becomes(t, c, "flowing", func(s *control.Status) bool { return s.Uplinks[0].State == control.Flowing })
	publish(t, g.port(), "home/forbidden", []string{"secret plan"})
	s := becomes(t, c, "one dead letter", func(s *control.Status) bool { return s.Uplinks[0].Dead.Count == 1 })
	if s.Verdict != control.Attention || s.Headline != "The cloud has refused 1 message for good" {
		t.Errorf("got %s, %q", s.Verdict, s.Headline)
	}
	var got control.DeadLetters
	list := func() bool {
		if err := c.Get(patiently(t), "/v1/dead", &got); err != nil {
			t.Fatal(err)
		}
		return got.Total == 1 && !got.Messages[0].Again
	}
	if !list() || got.Messages[0].Topic != "houses/17/forbidden" || got.Messages[0].Preview != "secret plan" || got.Messages[0].Reason != "0x87" || got.Messages[0].Words != "the cloud does not permit this topic" {
		t.Errorf("got %+v", got)
	}
	var n control.Count
	if err := c.Do(patiently(t), "POST", "/v1/dead/retry", control.Decision{IDs: []string{got.Messages[0].ID}}, &n); err != nil || n.Count != 1 {
		t.Fatalf("retry: got %+v, %v", n, err)
	}
	eventually(t, list, func() string { return "it does not come back" }) // still forbidden
	if err := c.Do(patiently(t), "POST", "/v1/dead/drop", control.Decision{Uplink: "cloud", All: true}, &n); err != nil || n.Count != 1 {
		t.Fatalf("drop: got %+v, %v", n, err)
	}
	becomes(t, c, "well", func(s *control.Status) bool { return s.Uplinks[0].Dead.Count == 0 && s.Verdict == control.Well })
	for path, d := range map[string]control.Decision{"/v1/dead/drop": {}, "/v1/dead/retry": {IDs: []string{"x"}}} {
		var said *control.Error
		if err := c.Do(patiently(t), "POST", path, d, nil); !errors.As(err, &said) || said.Status != 400 {
			t.Errorf("%+v: got %v, want 400", d, err)
		}
	}
}

func TestConfigOverTheSocket(t *testing.T) {
	g := newHouse(t, openHouse+"# my old password: hunter2\n")
	c := g.ask()
	var text control.ConfigText
	if err := c.Get(patiently(t), "/v1/config", &text); err != nil {
		t.Fatal(err)
	}
	if text.File != g.file || !strings.Contains(text.Text, `id = "house"`) || strings.Contains(text.Text, "hunter2") {
		t.Errorf("got %+v", text)
	}
	var checked control.Checked
	if err := c.Do(patiently(t), "POST", "/v1/config/check", "[gateway]\nid = \"a b\"\nlog-levle = \"info\"\n", &checked); err != nil {
		t.Fatal(err)
	}
	if checked.Good || len(checked.Problems) != 2 || checked.Problems[0].Line != 2 || checked.Problems[1].Hint != "did you mean log-level?" {
		t.Errorf("got %+v", checked)
	}
	if err := c.Do(patiently(t), "POST", "/v1/config/check", "[gateway]\nid = \"a\"\n", &checked); err != nil || !checked.Good || checked.Problems == nil {
		t.Errorf("a good one: got %+v, %v", checked, err)
	}
}
