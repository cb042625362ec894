// Package discovery writes the messages by which Home Assistant learns of a
// device and everything it measures and does, with nothing to configure there:
// MQTT discovery, device-based (Home Assistant 2024.11 and newer).
//
//	Device (plain fields) ---> Announce ---> PREFIX/device/GATEWAY/NAME/config
//	what was, what is -------> Changes ----> what to publish, all retained
//
// One message stands for one device: a sensor chip with all its quantities, an
// actuator, the Pi itself. Everything here is a function of its arguments, the
// bytes too, so that comparing bytes says whether anything changed.
//
// Home Assistant keeps what it once learnt. A device that is gone is taken away
// by an empty message on its topic. A component that is gone from a device
// which stays must be named once more with nothing but its platform; leaving it
// out is not enough. Changes does both.
//
// Keys are written in full. Abbreviations would save some 200 bytes a device,
// and the messages are read by people more often than sent.
//
// Caveats: Home Assistant takes the state of a device from what is published on
// its topics, so where those are published not retained it shows "unknown"
// until the next reading; an event must not be retained, or it is ignored.
// There is no via_device: Home Assistant complains when the device named there
// is not known yet, and retained messages come in no order.
package discovery
