// Command guest is /init of the machines that build/kernel boots. It mounts
// what a kernel offers, and then carries out verbs that come over the console,
// one a line: a number and quoted words; it answers each with
// "guest: answer NUMBER ok|error TEXT".
//
//	load MODULE...            load kernel modules ("NAME PARAMETER=VALUE") and what they need
//	unload MODULE...          remove them
//	write FILE TEXT           into a file that is there, as sysfs has them
//	read FILE                 what is in it
//	make FILE TEXT            a new file, and its folders
//	mkdir DIR, rmdir DIR, remove FILE, list GLOB
//	adapter [on|off]          an I2C adapter on USB, served by this program; says its number
//	plug ADDRESS CHIP         put a chip of build/kernel/sim on it
//	unplug ADDRESS            take it away: it acknowledges no more
//	hold ADDRESS DURATION     let it hold the clock down that long at every message
//	lines LABEL NAME...       a chip of simulated GPIO lines; says its folder in sysfs
//	live LABEL on|off         put it in or take it out; says its folder, which may be another one
//	pulse FILE COUNT HZ       pull a simulated line up and down, by its file in sysfs
//	start NAME PROGRAM ARG... run a program; its lines come out as "NAME: ..."
//	stop NAME                 end it in order; says its exit code
//	subscribe ADDR TOPIC      print messages of a broker as "mqtt: TOPIC PAYLOAD"
//	publish ADDR TOPIC TEXT   at QoS 1
//	address NAME ADDR/BITS    bring a network interface up
//	mount DEVICE DIR KIND OPTIONS, umount DIR
//	direct FILE OFFSET COUNT LETTER [sync]
//	                          write past the kernel's cache, and have the device keep it
//	fill FILE KEEP            fill a file system up to so many bytes; free FILE: says how many are left
//	poweroff
package main

import (
	"bufio"
	"errors"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

func main() {
	g, err := newGuest()
	if err != nil {
		log.Fatal(err) // the kernel panics, and says so on the console
	}
	g.say("guest: ready")
	if err := g.serve(); err != nil {
		g.say("guest: " + err.Error())
	}
	g.poweroff()
}

// guest is this machine.
type guest struct {
	console  *os.File
	verbs    map[string]verb
	adapter  *plugged
	programs map[string]*program

	mu sync.Mutex // held while a line is written to the console
}

// verb does something and says what came of it.
type verb struct {
	words int // the least number of words after the verb
	do    func(words []string) (string, error)
}

func newGuest() (*guest, error) {
	for _, m := range []struct{ kind, at string }{
		{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}, {"tmpfs", "/tmp"}, {"tmpfs", "/run"},
	} {
		if err := os.MkdirAll(m.at, 0o755); err != nil {
			return nil, err
		}
		if err := unix.Mount(m.kind, m.at, m.kind, 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			return nil, fmt.Errorf("mount %s: %w", m.at, err)
		}
	}
	console, err := os.OpenFile("/dev/console", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if err := raw(console); err != nil {
		return nil, err
	}
	if err := loopback(); err != nil {
		return nil, err
	}
	g := &guest{console: console, programs: map[string]*program{}}
	g.verbs = g.allVerbs()
	// Only what ends the kernel may still break lines.
	return g, os.WriteFile("/proc/sys/kernel/printk", []byte("1"), 0)
}

// raw takes echo and translation off the console: it is a wire, nobody types.
func raw(console *os.File) error {
	t, err := unix.IoctlGetTermios(int(console.Fd()), unix.TCGETS)
	if err != nil {
		return fmt.Errorf("settings of the console: %w", err)
	}
	t.Lflag &^= unix.ECHO | unix.ICANON | unix.ISIG | unix.IEXTEN
	t.Iflag &^= unix.ICRNL | unix.IXON
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	return unix.IoctlSetTermios(int(console.Fd()), unix.TCSETS, t)
}

// loopback brings the interface up that is always there.
func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return up(fd, "lo")
}

func (g *guest) say(line string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	fmt.Fprintln(g.console, line)
}

func (g *guest) serve() error {
	s := bufio.NewScanner(g.console)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		call, rest, _ := strings.Cut(s.Text(), " ")
		text, err := g.carryOut(rest)
		if err != nil {
			g.say(fmt.Sprintf("guest: answer %s error %q", call, err.Error()))
			continue
		}
		g.say(fmt.Sprintf("guest: answer %s ok %q", call, text))
	}
	return s.Err()
}

func (g *guest) carryOut(line string) (string, error) {
	var words []string
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimLeft(line, " ") {
		quoted, err := strconv.QuotedPrefix(line)
		if err != nil {
			return "", fmt.Errorf("not a line of quoted words: %s", line)
		}
		word, err := strconv.Unquote(quoted)
		if err != nil {
			return "", err
		}
		words, line = append(words, word), line[len(quoted):]
	}
	if len(words) == 0 {
		return "", errors.New("no verb")
	}
	v, ok := g.verbs[words[0]]
	if !ok || len(words)-1 < v.words {
		return "", fmt.Errorf("no such verb, or too few words: %q", words)
	}
	return v.do(words[1:])
}

func (g *guest) poweroff() {
	unix.Sync()
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		g.say("guest: power off: " + err.Error())
		syscall.Exit(1)
	}
}
