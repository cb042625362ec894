//go:build race

package edge

// detector is how many times as much memory a process with the race detector
// takes; its documentation says 5 to 10.
const detector = 5
