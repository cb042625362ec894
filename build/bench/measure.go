package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// cores is how many CPUs this process may use.
var cores = float64(runtime.NumCPU())

// mosquittoPath is where Debian puts it, which is not in everybody's PATH.
const mosquittoPath = "/usr/sbin/mosquitto"

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// result is what the rounds of one figure gave. Round i of subject and of peer
// were measured one right after the other.
type result struct {
	figure              figure
	subject, peer, null [][]float64 // by round and column
	share, others       []float64   // of the CPU that the generator, and everything else, used while subject and peer were measured
}

// measure runs all rounds. Whatever it got before an error it returns too.
func measure(ctx context.Context, o options) ([]result, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	null := command("null", self+" -sink {addr}")
	results := make([]result, len(o.figures))
	for i, f := range o.figures {
		results[i].figure = f
	}
	for round := range o.rounds {
		for i, f := range o.figures {
			if f.once && o.short && round > 0 {
				continue
			}
			res := &results[i]
			turns := []turn{{o.subject, &res.subject}, {o.peer, &res.peer}}
			if round%2 == 1 {
				turns[0], turns[1] = turns[1], turns[0]
			}
			if f.null {
				turns = append(turns, turn{null, &res.null})
			}
			for _, t := range turns {
				r, values, err := once(ctx, o, f, t.broker, round)
				if err != nil {
					return results, fmt.Errorf("%s of %s: %w", f.name, t.broker.name, err)
				}
				*t.into = append(*t.into, values)
				if t.into != &res.null && r.share > 0 {
					res.share, res.others = append(res.share, r.share), append(res.others, r.others)
				}
			}
		}
	}
	return results, nil
}

// turn is one broker's measurement of a round.
type turn struct {
	broker broker
	into   *[][]float64
}

// once measures one figure of one broker, in a directory of its own.
func once(ctx context.Context, o options, f figure, b broker, round int) (r *run, values []float64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute+3*o.away)
	defer cancel()
	dir, err := os.MkdirTemp(o.keep, fmt.Sprintf("bench-%s-%s-%d-", f.name, b.name, round))
	if err != nil {
		return nil, nil, err
	}
	if o.keep == "" {
		defer os.RemoveAll(dir)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, nil, err
	}
	begin := time.Now()
	r = newRun(ctx, dir, nil, o)
	values, err = f.run(ctx, b, r)
	err = errors.Join(err, r.close())
	if r.broker != nil {
		err = errors.Join(err, r.broker.stop())
	}
	fmt.Fprintf(os.Stderr, "round %d %-9s %-10s %5.1fs %v\n", round+1, f.name, b.name, time.Since(begin).Seconds(), values)
	return r, values, err
}
