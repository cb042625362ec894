package main

import (
	"strings"
	"testing"
)

// A command reaches an actuator from a device and from the cloud, and is
// answered; here with why its line is not there.
func TestCommandsReachActuators(t *testing.T) {
	_, cloud := startCloud(t, "")
	file, dir := house(t, openHouse+towards(cloud)+`
		[[hw.actuator]]
		kind = "relay"
		name = "boiler"
		line = "gpiochip99:0"
		topic = "home/commands/{name}"
	`)
	g := startGateway(t, file, dir)
	g.says(`line is offline.* name=boiler .*line gpiochip99:0: (no GPIO chip in /dev|there is no chip gpiochip99)`)
	home := subscribe(t, g.port(), "#")
	home.says(`got home/commands/boiler/availability offline`)

	publish(t, g.port(), "home/commands/boiler/set", []string{"ON"})
	home.says(`got home/commands/boiler/error {"error":"the line is not there: line gpiochip99:0: .*","command":"ON"`)
	asked := run(t, nil, "mosquitto_rr", "-h", "127.0.0.1", "-p", g.port(), "-V", "mqttv5", "-t", "home/commands/boiler/set", "-e", "answers/7", "-m", "MAYBE")
	asked.says(`{"result":"refused","error":"\\"MAYBE\\" is none of ON, OFF and TOGGLE"`)

	up := subscribe(t, cloud, "#")
	eventually(t, func() bool { // the down link may only now have connected
		publish(t, cloud, "houses/17/commands/boiler/set", []string{"OFF"})
		return strings.Contains(home.out.String(), `,"command":"OFF"`)
	}, func() string { return "no command arrived:\n" + home.out.String() + g.out.String() })
	up.says(`got houses/17/commands/boiler/error {"error":"the line is not there: .*","command":"OFF"`)
}
