//go:build !race

package edge

const detector = 1
