package card

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"tidegate/internal/disk"
)

// Span is what was written while the machine was on.
type Span struct {
	Seconds int64 `json:"seconds"`
	Written int64 `json:"written"` // bytes, by everything, to the whole disk; 0 where the kernel does not say
	Ours    int64 `json:"ours"`    // bytes of these that the gateway wrote, as its wear budget counts them
}

func (s Span) plus(o Span) Span {
	return Span{s.Seconds + o.Seconds, s.Written + o.Written, s.Ours + o.Ours}
}

// Stats is the account, as the status and the daily message have it.
type Stats struct {
	Disk      string `json:"disk"`          // as in /sys/block; "" when it is not known
	Today     Span   `json:"today"`         // since the last day ended
	LastDay   Span   `json:"last_day"`      // zero in the first
	Days      int64  `json:"days"`          // that have ended
	Total     Span   `json:"total"`         // since the account began
	LifeUsed  *int   `json:"life_used"`     // percent, steps of 10, of an eMMC; null: the card does not say
	SparesLow bool   `json:"spares_low"`    // the card is near its end
	Err       string `json:"err,omitempty"` // why the account cannot be stored
}

const (
	day   = 24 * 60 * 60 // seconds that the machine was on
	save  = 6 * 60 * 60  // the same
	look  = 10 * time.Minute
	short = 4096 // bytes of a file of the kernel
)

// Options are what an account stands on.
type Options struct {
	Root    string                             // "/", or a folder that looks like it
	Dir     string                             // the data directory, in Root
	Ours    func() int64                       // bytes that the gateway wrote since its start
	Publish func(topic string, payload []byte) // of a retained message
	Log     *slog.Logger
}

// Account adds up. Its methods may be called by any goroutine.
type Account struct {
	cfg  Config
	opt  Options
	disk string

	mu     sync.Mutex // guards what follows
	boot   string     // id of this boot
	now    state
	ours   int64 // what Ours said at the last look
	stored int64 // uptime of the last store in this boot
	file   file
	err    error // of the last store
}

// New reads the account that the data directory has, or begins one. It never
// fails: an account that cannot be stored still counts.
func New(cfg Config, o Options) *Account {
	a := &Account{cfg: cfg, opt: o, disk: disk.Of(o.Root, o.Dir), file: file{name: filepath.Join(o.Root, o.Dir, fileName)}}
	a.boot = strings.TrimSpace(a.read("proc/sys/kernel/random/boot_id"))
	if a.now, a.err = a.file.load(); a.err != nil {
		o.Log.Warn("the account of the card begins anew", "err", a.err)
	}
	if a.now.Boot == a.boot {
		a.stored = a.now.Uptime
	}
	return a
}

// Run looks at the counters until ctx ends, and stores the account then.
func (a *Account) Run(ctx context.Context) error {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		a.step()
		select {
		case <-ctx.Done():
			a.mu.Lock()
			defer a.mu.Unlock()
			a.add()
			a.store()
			return nil
		case <-tick.C:
		}
	}
}

// Stats is the account until now.
func (a *Account) Stats() Stats {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.add()
	return a.stats()
}

// step adds what came, and ends the day when it is time.
func (a *Account) step() {
	a.mu.Lock()
	a.add()
	ended := a.now.Today.Seconds >= day
	if ended {
		a.now.LastDay, a.now.Today = a.now.Today, Span{}
		a.now.Days++
	}
	if ended || a.now.Uptime-a.stored >= save {
		a.store()
	}
	s := a.stats()
	a.mu.Unlock()
	if ended {
		a.tell(s)
	}
}

// add brings the account to now. The caller holds mu. Seconds and bytes count
// from the boot; in a boot that the account does not know all of them are new.
func (a *Account) add() {
	uptime, ok := a.uptime()
	if !ok {
		return
	}
	written, known := a.written()
	if a.now.Boot != a.boot || uptime < a.now.Uptime || known && written < a.now.Written {
		a.now.Boot, a.now.Uptime, a.now.Written, a.stored = a.boot, 0, 0, 0
	}
	if !known {
		written = a.now.Written
	}
	ours := a.opt.Ours()
	came := Span{Seconds: uptime - a.now.Uptime, Written: written - a.now.Written, Ours: ours - a.ours}
	a.now.Uptime, a.now.Written, a.ours = uptime, written, ours
	a.now.Today, a.now.Total = a.now.Today.plus(came), a.now.Total.plus(came)
}

// store is called with mu held. It is a page in four times a day.
func (a *Account) store() {
	err := a.file.store(a.now)
	if err != nil && a.err == nil {
		a.opt.Log.Warn("the account of the card is not stored", "err", err)
	}
	a.err, a.stored = err, a.now.Uptime
}

// stats is called with mu held.
func (a *Account) stats() Stats {
	s := Stats{Disk: a.disk, Today: a.now.Today, LastDay: a.now.LastDay, Days: a.now.Days, Total: a.now.Total}
	if a.err != nil {
		s.Err = a.err.Error()
	}
	if a.disk != "" {
		if used, ok := disk.Wear([]byte(a.read(disk.File("", a.disk, "device/life_time")))); ok {
			s.LifeUsed = &used
		}
		s.SparesLow, _ = disk.SparesLow([]byte(a.read(disk.File("", a.disk, "device/pre_eol_info"))))
	}
	return s
}

// tell publishes the day that ended.
func (a *Account) tell(s Stats) {
	a.opt.Log.Info("a day of the card", "written", s.LastDay.Written, "ours", s.LastDay.Ours, "days", s.Days)
	if most := int64(a.cfg.WarnPerDay); most > 0 && s.LastDay.Written > most {
		a.opt.Log.Warn("much was written to the card: it wears out early", "written", s.LastDay.Written, "ours", s.LastDay.Ours, "limit", most)
	}
	if s.SparesLow {
		a.opt.Log.Warn("the card is near its end: make a backup and replace it")
	}
	if a.cfg.Topic == "" {
		return
	}
	payload, err := json.Marshal(s)
	if err != nil {
		a.opt.Log.Error("write the account of the card", "err", err)
		return
	}
	a.opt.Publish(a.cfg.Topic, payload)
}

// uptime is in seconds since boot; suspended time is in it.
func (a *Account) uptime() (int64, bool) {
	first, _, _ := strings.Cut(a.read("proc/uptime"), " ")
	v, err := strconv.ParseFloat(first, 64)
	return int64(v), err == nil && v >= 0 && v < 1<<40
}

// written is in bytes since boot.
func (a *Account) written() (int64, bool) {
	if a.disk == "" {
		return 0, false
	}
	return disk.Written([]byte(a.read(disk.File("", a.disk, "stat"))))
}

// read returns a small file of the kernel; "" when it has none.
func (a *Account) read(path string) string {
	data, err := os.ReadFile(filepath.Join(a.opt.Root, path))
	if err != nil || len(data) > short {
		return ""
	}
	return string(data)
}
