package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"tidegate/uplink/spool"
)

// answerTime is how long a gateway that runs may take to do what it is asked.
const answerTime = 10 * time.Second

func listDead(env environment, args []string) int {
	f := newSpoolFlags(env, "spool dead list")
	if code, ok := f.parse(args, 0, 1); !ok {
		return code
	}
	f.dir = f.Arg(0)
	places, err := f.places()
	if err != nil {
		return failed(env, exitUsage, err)
	}
	w := tabwriter.NewWriter(env.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "uplink\tid\trefused\treason\tclass\tsize\ttopic\tpayload")
	now := time.Now()
	for _, p := range places {
		letters, again, err := spool.Letters(p.path)
		if err != nil {
			return failed(env, exitBad, withSudo(err))
		}
		for i, l := range append(letters, again...) {
			when := "-"
			if l.At != 0 {
				when = ago(time.UnixMilli(l.At), now) + " ago"
			}
			if i >= len(letters) {
				when = "sent again"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", p.uplink, l.ID(), when, meaning(l.Reason), l.Class, len(l.Payload), plain(l.Topic), begins(l.Payload))
		}
	}
	if err := w.Flush(); err != nil {
		return failed(env, exitBad, err)
	}
	return exitOK
}

// meaning puts the name of MQTT 5 to a reason code [MQTT 5, 3.4.2.1].
func meaning(reason string) string {
	names := map[string]string{"0x87": "not authorized", "0x90": "topic name invalid", "0x95": "packet too large", "0x99": "payload format invalid"}
	if name, ok := names[reason]; ok {
		return reason + " " + name
	}
	return plain(reason)
}

func retryDead(env environment, args []string) int {
	return decideDead(env, "spool dead retry", args, spool.SendAgain, "go back into the spool", "They arrive after what was sent since, under their old ids.")
}

func dropDead(env environment, args []string) int {
	return decideDead(env, "spool dead drop", args, spool.DropDead, "are removed", "")
}

type decision func(ctx context.Context, dir string, ids []spool.ID) (int, error)

// decideDead does with some dead letters what do does, and says how many.
func decideDead(env environment, name string, args []string, do decision, done, note string) int {
	f := newSpoolFlags(env, name)
	all := f.Bool("all", false, "all of them")
	f.StringVar(&f.dir, "dir", "", "the data `DIR`, instead of the configuration's")
	if code, ok := f.parse(args, 0, anyNumber); !ok {
		return code
	}
	if (f.NArg() == 0) != *all {
		return f.misused("which? The ids of dead letters (tidegate spool dead list), or -all")
	}
	var ids []spool.ID
	for _, text := range f.Args() {
		id, err := spool.ParseID(text)
		if err != nil {
			return f.misused(err.Error())
		}
		ids = append(ids, id)
	}
	places, err := f.places()
	if err != nil {
		return failed(env, exitUsage, err)
	}
	total, found := 0, map[spool.ID]bool{}
	for _, p := range places {
		n, err := decideAt(p.path, ids, *all, do, found)
		if total += n; err != nil {
			return failed(env, exitBad, fmt.Errorf("uplink %s: %w", p.uplink, withSudo(err)))
		}
	}
	fmt.Fprintf(env.out, "%d dead letters %s\n", total, done)
	if note != "" && total > 0 {
		fmt.Fprintln(env.out, note)
	}
	var missing error
	for _, id := range ids {
		if !found[id] {
			missing = errors.Join(missing, fmt.Errorf("no dead letter %s; tidegate spool dead list names them", id))
		}
	}
	if missing != nil {
		return failed(env, exitBad, missing)
	}
	return exitOK
}

// decideAt handles one spool: those of ids that lie there, or all that do now.
func decideAt(dir string, ids []spool.ID, all bool, do decision, found map[spool.ID]bool) (int, error) {
	letters, _, err := spool.Letters(dir)
	if err != nil {
		return 0, err
	}
	wanted := map[spool.ID]bool{}
	for _, id := range ids {
		wanted[id] = true
	}
	var here []spool.ID
	for _, l := range letters {
		if id := l.ID(); all || wanted[id] {
			here, found[id] = append(here, id), true
		}
	}
	if len(here) == 0 {
		return 0, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	return do(ctx, dir, here)
}
