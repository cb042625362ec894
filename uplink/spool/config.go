package spool

import (
	"fmt"
	"time"

	"tidegate/internal/conf"
)

// Class is a queue of the uplink: its place in line and its overflow policy.
type Class byte

// The classes, first in line first.
const (
	Urgent Class = iota
	Normal
	Bulk
)

const classes = 3

var classNames = [classes]string{"urgent", "normal", "bulk"}

func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return fmt.Sprintf("class %d", byte(c))
}

// MarshalText writes c as UnmarshalText reads it.
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads "urgent", "normal" or "bulk".
func (c *Class) UnmarshalText(b []byte) error {
	for i, name := range classNames {
		if name == string(b) {
			*c = Class(i)
			return nil
		}
	}
	return fmt.Errorf("%q is not a class: urgent, normal or bulk", b)
}

// Policy says what gives way when a class has no room left.
type Policy byte

// DropOldest drops the oldest message that is not in flight, DropNewest the
// message that has just come; Reject refuses it with reason 0x97, so that the
// device knows.
const (
	DropOldest Policy = iota
	DropNewest
	Reject
)

var policyNames = [...]string{"drop-oldest", "drop-newest", "reject"}

func (p Policy) String() string {
	if int(p) < len(policyNames) {
		return policyNames[p]
	}
	return fmt.Sprintf("policy %d", byte(p))
}

// MarshalText writes p as UnmarshalText reads it.
func (p Policy) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads "drop-oldest", "drop-newest" or "reject".
func (p *Policy) UnmarshalText(b []byte) error {
	for i, name := range policyNames {
		if name == string(b) {
			*p = Policy(i)
			return nil
		}
	}
	return fmt.Errorf("%q is not a policy: drop-oldest, drop-newest or reject", b)
}

// Config is the spool's part of an uplink's configuration.
type Config struct {
	MaxDisk    conf.Size     `toml:"max-disk"`    // bytes of all spool files together
	MaxAge     conf.Duration `toml:"max-age"`     // older messages are dropped instead of sent; 0 for no limit
	FileSize   conf.Size     `toml:"file-size"`   // a new file is begun when one has reached it
	SpillAfter conf.Duration `toml:"spill-after"` // how long a message may wait for the cloud before it is written
	MinGap     conf.Duration `toml:"min-gap"`     // between two commits while the wear budget is full
	MaxGap     conf.Duration `toml:"max-gap"`     // between two commits when it is empty
	ReplayRate int           `toml:"replay-rate"` // messages a second of the backlog, of all links together, urgent ones besides; more if as many come in behind it; 0 for no limit
	Urgent     ClassConfig   `toml:"urgent"`
	Normal     ClassConfig   `toml:"normal"`
	Bulk       ClassConfig   `toml:"bulk"`
}

// ClassConfig holds the limits of one class. They count per stream, that is
// per link.
type ClassConfig struct {
	Messages int       `toml:"window-messages"` // waiting in RAM; from half of it on they are written
	Bytes    conf.Size `toml:"window-bytes"`    // the same in bytes
	Overflow Policy    `toml:"overflow"`        // when RAM or disk is full
}

// DefaultConfig suits a Pi with an SD card of 8 GiB or more.
func DefaultConfig() Config {
	return Config{
		MaxDisk:    1 << 30,
		MaxAge:     conf.Duration(7 * 24 * time.Hour),
		FileSize:   16 << 20,
		SpillAfter: conf.Duration(time.Second),
		MinGap:     conf.Duration(50 * time.Millisecond),
		MaxGap:     conf.Duration(2 * time.Second),
		Urgent:     ClassConfig{Messages: 4096, Bytes: 4 << 20, Overflow: Reject},
		Normal:     ClassConfig{Messages: 16384, Bytes: 8 << 20, Overflow: DropOldest},
		Bulk:       ClassConfig{Messages: 16384, Bytes: 8 << 20, Overflow: DropOldest},
	}
}

func (c *Config) class(k Class) *ClassConfig {
	return [classes]*ClassConfig{&c.Urgent, &c.Normal, &c.Bulk}[k]
}

// Check returns every problem of c; keys are relative to its section.
func (c Config) Check() []conf.Problem {
	var out []conf.Problem
	refuse := func(bad bool, key string, value any, rule, hint string) {
		if bad {
			out = append(out, conf.Problem{Key: key, Value: fmt.Sprint(value), Rule: rule, Hint: hint})
		}
	}
	refuse(c.FileSize < 16<<20 || c.FileSize > 32<<20, "file-size", c.FileSize, "16MiB to 32MiB", "")
	refuse(c.MaxDisk < 4*c.FileSize, "max-disk", c.MaxDisk, "at least four times file-size", "the spool drops and deletes whole files")
	refuse(c.MaxAge != 0 && c.MaxAge.Std() < time.Minute, "max-age", c.MaxAge, "1m or more, or 0s for no limit", "")
	refuse(c.SpillAfter.Std() < 50*time.Millisecond || c.SpillAfter.Std() > time.Minute, "spill-after", c.SpillAfter, "50ms to 1m", "a device waits that long for its acknowledgement when the cloud is slow")
	refuse(c.MinGap.Std() < time.Millisecond || c.MinGap > c.MaxGap, "min-gap", c.MinGap, "1ms to max-gap", "")
	refuse(c.MaxGap.Std() > time.Minute, "max-gap", c.MaxGap, "at most 1m", "")
	refuse(c.ReplayRate < 0 || c.ReplayRate > 1e6, "replay-rate", c.ReplayRate, "0 to 1000000 messages a second", "0 sends a backlog as fast as the cloud takes it")
	for k := range Class(classes) {
		cc := c.class(k)
		refuse(cc.Messages < 16 || cc.Messages > 1<<20, k.String()+".window-messages", cc.Messages, "16 to 1048576", "")
		refuse(cc.Bytes < 64<<10 || cc.Bytes > 256<<20, k.String()+".window-bytes", cc.Bytes, "64KiB to 256MiB", "")
		refuse(int(cc.Overflow) >= len(policyNames), k.String()+".overflow", cc.Overflow, "drop-oldest, drop-newest or reject", "")
	}
	return out
}
