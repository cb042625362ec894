// Package arch holds nothing but a test: who may import whom.
package arch
