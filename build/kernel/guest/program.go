package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// program is one that runs; its lines go to the console.
type program struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended and all it said is out
}

func (g *guest) start(words []string) (string, error) {
	name := words[0]
	if g.programs[name] != nil {
		return "", fmt.Errorf("%s runs already", name)
	}
	out, in, err := os.Pipe()
	if err != nil {
		return "", err
	}
	p := &program{cmd: exec.Command(words[1], words[2:]...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = in, in
	p.cmd.Env = []string{"HOME=/tmp", "PATH=/"}
	err = p.cmd.Start()
	in.Close()
	if err != nil {
		return "", errors.Join(err, out.Close())
	}
	g.programs[name] = p
	var wg sync.WaitGroup
	wg.Go(func() { g.copyLines(name, out) })
	go func() {
		wg.Wait()
		p.cmd.Wait() // its exit code is asked for by stop
		g.say(fmt.Sprintf("%s: ended: %v", name, p.cmd.ProcessState))
		close(p.done)
	}()
	return "", nil
}

func (g *guest) copyLines(name string, out io.ReadCloser) {
	defer out.Close()
	s := bufio.NewScanner(out)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		g.say(name + ": " + s.Text())
	}
}

// stop is SIGTERM; a program that takes a minute to end is killed.
func (g *guest) stop(words []string) (string, error) {
	p := g.programs[words[0]]
	if p == nil {
		return "", fmt.Errorf("%s does not run", words[0])
	}
	delete(g.programs, words[0])
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return "", err
	}
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		p.cmd.Process.Kill()
		<-p.done
	}
	return fmt.Sprint(p.cmd.ProcessState), nil
}
