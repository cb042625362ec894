package main

import "testing"

// The gateway runs without a bus that is missing, and says what to do; the Pi
// itself is read from this machine's own kernel.
func TestSensorsOfThisMachine(t *testing.T) {
	file, dir := house(t, openHouse+`
		[[hw.sensor]]
		kind = "bme280"
		name = "attic"
		bus = "i2c-9999"
		[[hw.sensor]]
		kind = "bme280"
		name = "cellar"
		bus = "9999"
		address = 0x77
		[[hw.sensor]]
		kind = "pi"
		name = "board"
		every = "1s"
	`)
	g := startGateway(t, file, dir)
	g.says(`sensor is offline.*i2c-9999.*overlay for i2c9999`)
	home := subscribe(t, g.port(), "#")
	home.says(`got sensors/board {.*"uptime":[0-9]+`)
	home.says(`got tidegate/availability online`)
	home.says(`got sensors/attic/availability offline`)
	home.says(`got sensors/cellar/availability offline`)
	home.says(`got sensors/board/availability online`)
}
