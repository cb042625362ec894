package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// flags are those of one command. Each command makes them and calls parse before
// it does anything else: so each has -h, and completion and the manual know them.
type flags struct {
	*flag.FlagSet
	env environment
}

func newFlags(env environment, name string) flags {
	f := flags{flag.NewFlagSet(name, flag.ContinueOnError), env}
	f.SetOutput(env.err)
	f.Usage = func() {} // parse knows where it goes
	return f
}

// parse reads a command line with at least and at most so many arguments behind
// the flags; most is any for any number. Without ok the command ends, with code.
func (f flags) parse(args []string, least, most int) (code int, ok bool) {
	if f.env.learn != nil {
		f.env.learn(f.FlagSet)
		return exitOK, false
	}
	err := f.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		f.help(f.env.out)
		return exitOK, false
	case err == nil && f.NArg() < least:
		return f.misused("an argument is missing"), false
	case err == nil && f.NArg() > most && strings.HasPrefix(f.Arg(most), "-"):
		return f.misused(fmt.Sprintf("flags such as %s go before %q", f.Arg(most), f.Arg(0))), false
	case err == nil && f.NArg() > most:
		return f.misused(fmt.Sprintf("what is %q for?", f.Arg(most))), false
	case err != nil: // and was printed
		f.help(f.env.err)
		return exitUsage, false
	}
	return exitOK, true
}

const anyNumber = 1 << 20

// misused says what is wrong with the command line, and what would be right.
func (f flags) misused(what string) int {
	fmt.Fprintf(f.env.err, "tidegate %s: %s\n", f.Name(), what)
	f.help(f.env.err)
	return exitUsage
}

func (f flags) help(out io.Writer) {
	for _, line := range usageLine.FindAllStringSubmatch(usage, -1) {
		if line[1] == f.Name() {
			has := ""
			f.VisitAll(func(*flag.Flag) { has = " [FLAG...]" })
			fmt.Fprintf(out, "usage: tidegate %s%s%s\n%s\n", f.Name(), has, line[2], line[3])
		}
	}
	f.SetOutput(out)
	f.PrintDefaults()
}

// flagsOf returns the flags of a command, without running it.
func flagsOf(c command) (all []*flag.Flag) {
	c.run(environment{learn: func(f *flag.FlagSet) { f.VisitAll(func(one *flag.Flag) { all = append(all, one) }) }}, nil)
	return all
}
