package wear

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestGapGrowsAsTheBudgetEmpties(t *testing.T) {
	lo, hi := 10*time.Millisecond, time.Second
	for _, c := range []struct {
		left float64
		want time.Duration
	}{{1, lo}, {0.5, lo}, {0.25, 505 * time.Millisecond}, {0, hi}, {-1, hi}} {
		if got := Gap(c.left, lo, hi); got != c.want {
			t.Errorf("Gap(%v): got %v, want %v", c.left, got, c.want)
		}
	}
}

func TestBudgetRefills(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(86400, 100) // one byte a second
		b.Spend(150)
		if got := b.Left(); got != 0 {
			t.Fatalf("overdrawn: got %v left, want 0", got)
		}
		time.Sleep(100 * time.Second)
		if got := b.Left(); got != 0.5 {
			t.Fatalf("after 100 s: got %v left, want 0.5", got)
		}
		time.Sleep(time.Hour)
		if got := b.Left(); got != 1 {
			t.Fatalf("after an hour: got %v left, want 1", got)
		}
	})
}

// Under constant demand the bytes written stay within burst plus allowance.
func TestCommitterKeepsTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		b := NewBudget(10<<20*24, 10<<20) // 10 MiB an hour
		var c *Committer
		c = NewCommitter(b, 10*time.Millisecond, 5*time.Second, func() (int64, error) {
			c.Wake()
			return 20 << 10, nil
		})
		c.Wake()
		c.Run(ctx)
		bytes, commits := b.Written()
		floor := int64(time.Hour/(5*time.Second)) * (20 << 10) // what MaxGap always lets through
		if most := int64(20<<20) + floor; bytes > most {
			t.Errorf("got %d bytes in %d commits, want at most %d", bytes, commits, most)
		}
		if commits < 720 {
			t.Errorf("got %d commits, want at least one every 5 s", commits)
		}
	})
}

func TestCommitterTriesAgainAfterAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		tries := 0
		c := NewCommitter(NewBudget(1<<30, 1<<30), time.Millisecond, time.Second, func() (int64, error) {
			if tries++; tries < 4 {
				return 0, errors.New("disk full")
			}
			return 1, nil
		})
		c.Wake()
		c.Run(ctx)
		if tries != 4 {
			t.Errorf("got %d tries, want 4", tries)
		}
	})
}
