package main

import (
	"errors"

	"tidegate/hw"
)

// scanHardware lists buses and chips. Exit code 1: something could not be
// looked at; 2: a name is wrong.
func scanHardware(env environment, args []string) int {
	f := newFlags(env, "hw scan")
	asJSON := f.Bool("json", false, "as one JSON object")
	if code, ok := f.parse(args, 0, anyNumber); !ok {
		return code
	}
	switch err := hw.Scan(env.out, *asJSON, f.Args()...); {
	case errors.Is(err, hw.ErrHidden):
		return failed(env, exitBad, err)
	case err != nil:
		return failed(env, exitUsage, err)
	}
	return exitOK
}
