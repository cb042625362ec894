package hw

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestStays(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		until time.Duration // the line is low
		err   error
		want  bool
		took  time.Duration // at most
	}{
		"held":          {until: time.Hour, want: true, took: 5100 * time.Millisecond},
		"not connected": {until: 0, want: false, took: 0},
		"let go":        {until: 3 * time.Second, want: false, took: 3100 * time.Millisecond},
		"unreadable":    {until: time.Hour, err: broken, want: false, took: 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				got, err := stays(func() (bool, error) { return time.Since(begin) < c.until, c.err }, 5*time.Second)
				if got != c.want || !errors.Is(err, c.err) || time.Since(begin) > c.took {
					t.Errorf("got %v, %v after %v, want %v, %v within %v", got, err, time.Since(begin), c.want, c.err, c.took)
				}
			})
		})
	}
}
