package main

import (
	"errors"
	"net/http"
	"testing"

	"tidegate/cmd/tidegate/internal/control"
)

// Who is connected is listed, told of in detail, and sent away when people say so.
func TestDevicesOverTheSocket(t *testing.T) {
	g := newHouse(t, openHouse)
	c := g.ask()
	lamp := subscribe(t, g.port(), "home/lamp/set", "-i", "hall/lamp 1", "-V", "mqttv5", "--will-topic", "home/lamp/state", "--will-payload", "gone", "--will-qos", "1", "-k", "77")
	subscribe(t, g.port(), "#", "-i", "other")
	var list control.Devices
	if err := c.Get(patiently(t), "/v1/devices", &list); err != nil || list.Total != 2 || list.Devices[0].ClientID != "hall/lamp 1" || list.Devices[0].Subscriptions != 1 {
		t.Errorf("got %+v, %v, want two devices", list, err)
	}
	if err := c.Get(patiently(t), "/v1/devices?search=LAMP&limit=5", &list); err != nil || list.Total != 1 || len(list.Devices) != 1 {
		t.Errorf("got %+v, %v, want the lamp", list, err)
	}
	if err := c.Get(patiently(t), "/v1/devices?offset=9", &list); err != nil || list.Total != 2 || list.Devices == nil || len(list.Devices) != 0 {
		t.Errorf("got %+v, %v, want an empty part of two", list, err)
	}
	var d control.DeviceDetail
	const path = "/v1/devices/hall%2Flamp%201"
	if err := c.Get(patiently(t), path, &d); err != nil {
		t.Fatal(err)
	}
	if !d.Connected || d.Protocol != "MQTT 5" || d.Transport != "tcp" || d.Address != "127.0.0.1" || d.KeepAlive != 77 || d.Since.IsZero() ||
		len(d.Subscriptions) != 1 || d.Subscriptions[0] != (control.Subscription{Filter: "home/lamp/set", QoS: 1}) ||
		d.Will == nil || *d.Will != (control.Will{Topic: "home/lamp/state", QoS: 1, PayloadSize: 4}) {
		t.Errorf("got %+v, will %+v", d, d.Will)
	}
	if err := c.Do(patiently(t), "POST", path+"/disconnect", nil, nil); err != nil {
		t.Fatal(err)
	}
	lamp.says(`DISCONNECT`)
	var said *control.Error
	if err := c.Get(patiently(t), "/v1/devices/nobody", &d); !errors.As(err, &said) || said.Status != http.StatusNotFound {
		t.Errorf("got %v, want 404", err)
	}
	if err := c.Do(patiently(t), "POST", "/v1/devices/nobody/disconnect", nil, nil); !errors.As(err, &said) || said.Status != http.StatusNotFound {
		t.Errorf("got %v, want 404", err)
	}
}
