package main

import (
	"errors"
	"flag"

	"tidegate/hw"
)

// scanHardware lists buses and chips. Exit code 1: something could not be
// looked at; 2: a name is wrong.
func scanHardware(env environment, args []string) int {
	flags := flag.NewFlagSet("hw scan", flag.ContinueOnError)
	flags.SetOutput(env.err)
	asJSON := flags.Bool("json", false, "as one JSON object")
	if err := flags.Parse(args); err != nil {
		return exitUsage
	}
	switch err := hw.Scan(env.out, *asJSON, flags.Args()...); {
	case errors.Is(err, hw.ErrHidden):
		return failed(env, exitBad, err)
	case err != nil:
		return failed(env, exitUsage, err)
	}
	return exitOK
}
