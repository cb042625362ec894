// Package hw reads what is wired to the Pi and publishes it.
//
//	reader, one goroutine per bus              report
//	  turn ---> chip.Sensor.Read ---> range ---> average, calibration, unit,
//	   ^            |                            rounding, dead band ---> Options.Submit
//	   |            +-- error, or no return: offline with its cause
//	   +--- the grid, or a retry <---+
//
// A Hardware has parts; each bus with its sensors is one. What chips there are
// is the table of hw/internal/chip; a row of it with a SensorConfig makes a
// sensor. The kind "simulated", also of actuators, has no hardware, and nobody
// shall take its readings for real ones: its default topic begins with
// "simulated/" and its payload says "simulated":true.
//
// # Schedule
//
// The turns of a sensor lie on a fixed grid from the start of Run: what is read
// late shifts nothing, and turns that a slow bus misses are left out. Between
// two readings is at least what the kind demands. Readings that the datasheet
// says to throw away after power-up are.
//
// # When something is wrong
//
//	starting ---> online <---> offline (cause)
//
// A reading that fails, has a wrong checksum or lies outside of the chip's
// range is not published, and is tried again soon. After three in a row, the
// last with the chip opened anew, the sensor is offline; it is so at once when
// a call does not return from the bus within four times what the kind states
// (at least 2 s), or when it has not been read since its opening. It is opened
// and tried again after 1 s, 2 s, 4 s and so on up to a minute, and so comes
// back by itself when it is plugged in again. A call that does not return is
// left behind with its goroutine: one at most per sensor, which is not touched
// before the call came back. The other sensors of the bus go on with handles of
// their own, as far as the kernel lets them. A stop takes a bus five seconds at
// most.
//
// A reload (Follow) hands over the sensors whose configuration is the same, with
// their chips open and on their grid.
//
// # Inputs, meters, actuators
//
//	input, meter    line ---> debounce, clicks, count ---> Options.Submit
//	actuator        Options.Watch ---> command ---> line.Switch ---> line, state
//
// Each has a goroutine of its own and the three states of a sensor. A line that
// is missing is tried again after five seconds at most, for a relay on it may be
// on that must be off. The count of a meter outlives a restart; a power cut
// costs the pulses since it was saved, after save-every at most.
//
// An actuator does what valid commands say, keeps its least times on and off,
// and takes its fail-safe state when nobody has commanded it for too long and
// at a stop. A retained command may be years old and is refused unless
// obey-retained says otherwise. A command that is refused changes nothing and
// is answered; only what leads to the fail-safe state while the line is not there
// is done when it is back. A reload leaves alone the actuators that it does not
// change, and commands that come meanwhile wait for its end.
//
// # Messages
//
// Each reading is one JSON object on one topic, or a plain number on a topic
// for each quantity. A quantity without a value is null, or no message. The
// time of the reading is in the object while the clock is synchronised, because
// a Pi without network does not know it. "online" and "offline" are retained on
// each sensor's availability topic, and on AvailabilityTopic for all together;
// after a power cut they are what was said last until Run begins.
//
// # Home Assistant
//
// At every start and reload, and when Home Assistant says that it has started,
// each sensor is announced to it by one retained message (hw/internal/discovery).
// What was announced is kept in homeassistant.json in the state folder, so that
// what leaves the configuration, even while the gateway is off, is taken back.
// The board is announced with what its kernel tells by then, and asked for more
// every minute.
package hw
