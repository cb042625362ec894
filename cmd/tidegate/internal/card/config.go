package card

import (
	"strconv"
	"strings"

	"tidegate/internal/conf"
)

// Config is the section [card].
type Config struct {
	Topic      string    `toml:"topic"`        // of the daily message; "": none
	WarnPerDay conf.Size `toml:"warn-per-day"` // bytes in a day from which the log says so; 0: never
}

// DefaultConfig is what an empty section means.
func DefaultConfig() Config { return Config{Topic: "gateway/card", WarnPerDay: 2 << 30} }

const mostTopic = 256 // bytes

// Check returns everything wrong with c.
func (c Config) Check() []conf.Problem {
	if strings.ContainsAny(c.Topic, "+#\x00") || len(c.Topic) > mostTopic || strings.HasPrefix(c.Topic, "$") {
		return []conf.Problem{{Key: "topic", Value: strconv.Quote(c.Topic), Hint: "leave it empty for no message",
			Rule: "a topic of up to 256 bytes without + and #, that does not begin with $"}}
	}
	return nil
}
