// Package line has what is wired to a single line of the Pi: inputs (contacts,
// motion detectors, buttons, meters that give pulses) and outputs (relays,
// valves, dimmers).
//
//	/dev/gpiochipN --Chips.Open--> Line --edges--> Debouncer --> state
//	                                 |                +--> Clicks: press, double, long
//	                                 |                +--> Pulses --> Meter --> Store
//	                                 +<--level-- Switch <-- commands, timers
//	/sys/class/pwm --Chip.Open--> PWM <--duty--+
//
// It speaks to the kernel's GPIO character device itself, version 2 of its
// interface [Linux, Documentation/userspace-api/gpio/chardev.rst], because of
// what cannot be had through periph's gpioioctl (v3.8.5):
//
//   - an output that begins with the level it shall have. gpioioctl makes a line
//     an output at 0 and sets it afterwards: a relay that is active low clicks
//     at every start;
//   - every edge. gpioioctl leaves the kernel room for 16 edges, which is 80 ms
//     at 200 Hz, throws the sequence numbers away that show what was lost, and
//     does not say which edge it was;
//   - debouncing by the kernel, and the error numbers that tell a line in use
//     from one that may not be opened.
//
// What counts decides, and what decides when, are values without goroutines and
// clocks of their own: Debouncer, Clicks, Meter, Switch. Whoever calls them owns
// the loop, the log and the topics.
//
// Caveats: with both edges asked for, the kernel reads the level after the
// interrupt, so that on a busy machine the edges of a fast signal come with the
// wrong direction; pulses are therefore counted on one edge, where each has its
// number. The kernel's debouncing counts in its own ticks of 4 to 10 ms. What a
// line does when its owner has gone is up to its chip.
package line
