package main

import (
	"bufio"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"tidegate/edge"
)

// Exit codes.
const (
	exitOK    = 0
	exitBad   = 1 // what was asked about is wrong, or the gateway could not go on
	exitUsage = 2 // the command line is wrong, or a file could not be read
)

// defaultConfig is read when the command line names no file.
const defaultConfig = "/etc/tidegate/tidegate.toml"

const usage = `Tidegate: an MQTT broker for the home, with an uplink that loses nothing.

usage:
  tidegate run [FILE]         run the gateway (FILE: ` + defaultConfig + `)
  tidegate init               the first hour: ask for the cloud, try it, write the configuration
  tidegate check [FILE]       list everything wrong with a configuration
  tidegate sample             print a configuration with every key explained
  tidegate passwd             hash a password for the users file, or make one
  tidegate version            print the version
  tidegate completion SHELL   completion of these commands for bash, fish or zsh
  tidegate hw scan [BUS...]   the buses, the chips on them, and what to write into the configuration
  tidegate provision          on the SD-card image: take what is on the boot partition into use
  tidegate backup FILE        configuration and identity as one file
  tidegate restore FILE       make this machine the gateway that a backup is of
  tidegate status             how the gateway is: home, cloud, what waits, sensors
  tidegate top                the same live: rates, links, the busiest devices
  tidegate device add NAME    let a device in: its password is made and shown once
  tidegate device list        devices and people, what they may do, and who is connected
  tidegate device remove NAME send it away for good
  tidegate device passwd NAME another password; the old one ends
  tidegate device permit NAME change what it may do; its password stays
  tidegate doctor             what is wrong with this machine, and what to do
  tidegate support [FILE]     all that somebody needs who helps from afar as one file, without secrets
  tidegate uplink test [NAME] walk to each address of the cloud and say where the way ends
  tidegate spool stat [DIR]   what waits for the cloud, by link and class
  tidegate spool peek [DIR]   the messages that are sent next
  tidegate spool export [DIR] all that waits, as lines of JSON
  tidegate spool dead list    what the cloud refused for good
  tidegate spool dead retry   send some of that again (ID... or -all)
  tidegate spool dead drop    remove some of that (ID... or -all)
  tidegate spool check FILE   check one file of a spool
  tidegate edge check FILE    check an edge.db
  tidegate update FILE|URL    write new software to the other slot (an image install)
  tidegate update status      what is in the slots, and what became of the last update
  tidegate update confirm     keep what runs (the image does it by itself once it is healthy)
  tidegate update rollback    go back to the other slot
  tidegate update boot VERB   tell the updater which slot is next, or be told (it asks)
  tidegate update serve       do the update that the gateway was told to make (a unit asks)

tidegate COMMAND -h lists the flags of a command.
`

// command is one subcommand; args come after its name.
type command struct {
	name string
	run  func(env environment, args []string) int
}

// environment is what a command touches of the process.
type environment struct {
	in       io.Reader
	out, err io.Writer
	commands []command           // all there are; for completion
	learn    func(*flag.FlagSet) // nil, or wants to know the flags; then nothing is done
}

var commands = []command{
	{"run", runCommand},
	{"init", initCommand},
	{"check", check},
	{"sample", printSample},
	{"passwd", passwd},
	{"version", printVersion},
	{"completion", printCompletion},
	{"hw scan", scanHardware},
	{"provision", provisionCommand},
	{"backup", makeBackup},
	{"restore", restoreBackup},
	{"edge check", checkEdge},
	{"update status", statusUpdate},
	{"update confirm", confirmUpdate},
	{"update rollback", rollbackUpdate},
	{"update boot", bootBackend},
	{"update serve", serveUpdate},
	{"update", installUpdate},
	{"status", showStatus},
	{"top", showTop},
	{"device add", addDevice},
	{"device list", listDevices},
	{"device remove", removeDevice},
	{"device passwd", renewDevice},
	{"device permit", permitDevice},
	{"doctor", examine},
	{"support", makeSupport},
	{"uplink test", testUplink},
	{"spool check", checkSpool},
	{"spool stat", statSpool},
	{"spool peek", peekSpool},
	{"spool export", exportSpool},
	{"spool dead list", listDead},
	{"spool dead retry", retryDead},
	{"spool dead drop", dropDead},
}

func main() {
	os.Exit(dispatch(environment{in: os.Stdin, out: os.Stdout, err: os.Stderr}, os.Args[1:]))
}

func dispatch(env environment, args []string) int {
	env.commands = commands
	line := strings.Join(args, " ")
	for _, c := range commands {
		if line == c.name || strings.HasPrefix(line, c.name+" ") {
			return c.run(env, args[strings.Count(c.name, " ")+1:])
		}
	}
	if line == "help" || line == "-h" || line == "-help" || line == "--help" {
		fmt.Fprint(env.out, usage)
		return exitOK
	}
	return unknown(env, args)
}

// unknown says what is wrong with a command line that names no command: with
// the commands that begin alike, or with all.
func unknown(env environment, args []string) int {
	if len(args) == 0 {
		fmt.Fprint(env.err, usage)
		return exitUsage
	}
	for n := len(args); n > 0; n-- {
		var lines []string
		for _, m := range usageLine.FindAllStringSubmatch(usage, -1) {
			if strings.HasPrefix(m[1], strings.Join(args[:n], " ")+" ") {
				lines = append(lines, m[0])
			}
		}
		if len(lines) == 0 {
			continue
		}
		group, out, code := strings.Join(args[:n], " "), env.err, exitUsage
		switch {
		case n == len(args):
			fmt.Fprintf(env.err, "tidegate %s: more is needed\n", group)
		case args[n] == "-h" || args[n] == "-help" || args[n] == "--help":
			out, code = env.out, exitOK
		default:
			fmt.Fprintf(env.err, "tidegate %s: there is no %q\n", group, args[n])
		}
		fmt.Fprintf(out, "usage:\n%s\n", strings.Join(lines, "\n"))
		return code
	}
	fmt.Fprintf(env.err, "tidegate: there is no command %q; tidegate help lists those that there are\n", args[0])
	return exitUsage
}

// failed reports an error that ends a command.
func failed(env environment, code int, err error) int {
	fmt.Fprintf(env.err, "tidegate: %v\n", err)
	return code
}

func check(env environment, args []string) int {
	f := newFlags(env, "check")
	if code, ok := f.parse(args, 0, 1); !ok {
		return code
	}
	file := cmp.Or(f.Arg(0), defaultConfig)
	_, problems, err := load(file, Config.checkAll)
	if err != nil {
		return failed(env, exitUsage, err)
	}
	if len(problems) > 0 {
		fmt.Fprint(env.err, report(file, problems))
		return exitBad
	}
	fmt.Fprintf(env.out, "%s: good\n", file)
	return exitOK
}

func printSample(env environment, args []string) int {
	if code, ok := newFlags(env, "sample").parse(args, 0, 0); !ok {
		return code
	}
	fmt.Fprint(env.out, sample)
	return exitOK
}

func passwd(env environment, args []string) int {
	f := newFlags(env, "passwd")
	generate := f.Bool("generate", false, "make a password that nobody can guess; it is checked a thousand times faster than one a person chose")
	if code, ok := f.parse(args, 0, 0); !ok {
		return code
	}
	if *generate {
		password, hash := edge.GeneratePassword()
		fmt.Fprintf(env.out, "password: %s\nhash: %s\n", password, hash)
		return exitOK
	}
	line, err := bufio.NewReader(io.LimitReader(env.in, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return failed(env, exitUsage, err)
	}
	password := strings.TrimRight(line, "\r\n")
	if password == "" {
		return f.misused("it reads the password from standard input, as one line that is not empty")
	}
	fmt.Fprintln(env.out, edge.HashPassword([]byte(password)))
	return exitOK
}

// version is set by the build: -ldflags "-X main.version=...".
var version = "development"

func printVersion(env environment, args []string) int {
	if code, ok := newFlags(env, "version").parse(args, 0, 0); !ok {
		return code
	}
	fmt.Fprintf(env.out, "tidegate %s %s/%s %s\n", version, runtime.GOOS, runtime.GOARCH, runtime.Version())
	return exitOK
}

func checkEdge(env environment, args []string) int {
	f := newFlags(env, "edge check")
	if code, ok := f.parse(args, 1, 1); !ok {
		return code
	}
	file := f.Arg(0)
	if _, err := os.Stat(file); err != nil {
		return failed(env, exitUsage, err)
	}
	debug.SetPanicOnFault(true)
	if err := edge.CheckStore(file); err != nil {
		return failed(env, exitBad, withSudo(fmt.Errorf("%s: %w", file, err)))
	}
	fmt.Fprintf(env.out, "%s: good\n", file)
	return exitOK
}
