// Package hw reads what is wired to the Pi and publishes it.
//
//	sensor.Sense(*physic.Env) ---> reading ---> JSON ---> Options.Submit
//	   (one goroutine per sensor, on its own ticker)
//
// A Hardware has a list of sensors from the configuration. Each is sensed every
// so often and each reading becomes one message at QoS 1, handed to Submit,
// which treats it like the PUBLISH of a device.
//
// The seam to a bus is the two methods of periph that a driver of an
// environmental sensor has already, Sense and Halt. There is one kind so far,
// "simulated": no hardware, a stated waveform. So that nobody takes its
// readings for real ones, its default topic begins with "simulated/", its
// payload says "simulated":true and so does its line in the log.
//
// Caveats: a sensor that cannot be read is tried again at its next turn, and
// nothing is published meanwhile; a reading says nothing about the time it was
// taken, because a Pi without network does not know it.
package hw
