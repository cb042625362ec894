// Package top shows a gateway live on a terminal: rates, links, the busiest
// devices. It takes the terminal over and gives it back as it was, however it
// ends but by SIGKILL.
package top

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"tidegate/cmd/tidegate/internal/control"
	"tidegate/cmd/tidegate/internal/tty"
)

// Dial finds the gateway.
type Dial func() (*control.Client, error)

const (
	devicesPage  = 1000 // that are asked for at a time
	devicesEvery = 2 * time.Second
	again        = time.Second // after the gateway went away
)

// news is something new for the screen.
type news struct {
	status  *control.Status
	devices []control.Device
	err     error
}

// Run shows the gateway until the person quits or ctx ends. What it must not
// leave behind is the terminal in another state.
func Run(ctx context.Context, dial Dial, in, out *os.File) (err error) {
	screen, err := tty.Take(in, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, screen.Close()) }() // also when this panics
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ask := make(chan news)
	go listen(ctx, dial, ask)
	keys := make(chan byte)
	go read(ctx, in, keys)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGWINCH, syscall.SIGTSTP, syscall.SIGCONT)
	defer signal.Stop(signals)
	v := &view{paint: tty.NewPaint(out)}
	for {
		columns, rows := tty.Size(out)
		if err := screen.Draw(v.frame(columns, rows), rows); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case n := <-ask:
			v.take(n)
		case k := <-keys:
			if k == 'q' || k == 'Q' || k == 4 { // Ctrl-D
				return nil
			}
			v.press(k)
		case s := <-signals:
			if s == syscall.SIGTSTP {
				if screen, err = pause(screen, in, out); err != nil {
					return err
				}
			}
		}
	}
}

// pause gives the terminal back, stops this program until somebody continues it,
// and takes the terminal again.
func pause(s *tty.Screen, in, out *os.File) (*tty.Screen, error) {
	if err := s.Close(); err != nil {
		return s, err
	}
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGSTOP); err != nil {
		return s, err
	}
	next, err := tty.Take(in, out)
	if err != nil {
		return s, err
	}
	return next, nil
}

func (v *view) take(n news) {
	switch {
	case n.err != nil:
		v.trouble = n.err.Error()
	case n.status != nil:
		v.trouble, v.status = "", n.status
		v.in.add(n.status.Home.InPerS)
		v.up.add(acked(n.status))
	default:
		v.devices.add(time.Now(), n.devices)
	}
}

func (v *view) press(k byte) {
	for i, o := range orders {
		if o.key == k {
			v.order = i
		}
	}
}

// read hands on what is typed. It ends with the program: a read of a terminal
// cannot be called off.
func read(ctx context.Context, in *os.File, keys chan<- byte) {
	b := make([]byte, 1)
	for {
		if n, err := in.Read(b); n == 0 || err != nil {
			return
		}
		select {
		case keys <- b[0]:
		case <-ctx.Done():
			return
		}
	}
}

// listen tells what the gateway says, and waits for one that goes away.
func listen(ctx context.Context, dial Dial, ask chan<- news) {
	tell := func(n news) {
		select {
		case ask <- n:
		case <-ctx.Done():
		}
	}
	for ctx.Err() == nil {
		if err := follow(ctx, dial, tell); ctx.Err() == nil {
			tell(news{err: err})
			t := time.NewTimer(again)
			select {
			case <-t.C:
			case <-ctx.Done():
			}
			t.Stop()
		}
	}
}

var errEnded = errors.New("the gateway ended the connection; it may start again")

func follow(ctx context.Context, dial Dial, tell func(news)) error {
	c, err := dial()
	if err != nil {
		return err
	}
	defer c.Close()
	var asked time.Time
	err = c.Stream(ctx, "/v1/live", nil, func(event string, data []byte) error {
		if event != "status" {
			return nil
		}
		s := new(control.Status)
		if err := json.Unmarshal(data, s); err != nil {
			return err
		}
		tell(news{status: s})
		if time.Since(asked) < devicesEvery {
			return nil
		}
		asked = time.Now()
		return devices(ctx, c, tell)
	})
	if err == nil {
		err = errEnded
	}
	return err
}

// devices asks for all of them.
func devices(ctx context.Context, c *control.Client, tell func(news)) error {
	var all []control.Device
	for more := true; more; {
		var page control.Devices
		if err := c.Get(ctx, fmt.Sprintf("/v1/devices?offset=%d&limit=%d", len(all), devicesPage), &page); err != nil {
			return err
		}
		for _, d := range page.Devices {
			all = append(all, d.Device)
		}
		more = len(page.Devices) == devicesPage
	}
	tell(news{devices: all})
	return nil
}
