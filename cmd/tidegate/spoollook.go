package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"tidegate/cmd/tidegate/internal/show"
	"tidegate/uplink/spool"
)

// look is a command that shows something of each spool.
func (f *spoolFlags) look(args []string, show func(out io.Writer, p spoolPlace, v *spool.View) error) int {
	if code, ok := f.parse(args, 0, 1); !ok {
		return code
	}
	f.dir = f.Arg(0)
	places, err := f.places()
	if err != nil {
		return failed(f.env, exitUsage, err)
	}
	out := bufio.NewWriter(f.env.out)
	for _, p := range places {
		v, err := spool.Look(p.path)
		if err == nil {
			err = errors.Join(show(out, p, v), v.Close())
		}
		if err != nil {
			out.Flush()
			return failed(f.env, exitBad, withSudo(err))
		}
	}
	if err := out.Flush(); err != nil {
		return failed(f.env, exitBad, err)
	}
	return exitOK
}

func statSpool(env environment, args []string) int {
	f := newSpoolFlags(env, "spool stat")
	return f.look(args, func(out io.Writer, p spoolPlace, v *spool.View) error {
		dead, again, err := spool.Letters(p.path)
		if err != nil && len(v.Files) != 1 {
			return err
		}
		messages, bytes, onDisk, lost := 0, int64(0), int64(0), 0
		for _, st := range v.Streams {
			messages += st.Messages
			bytes += st.Bytes
		}
		for _, file := range v.Files {
			onDisk += file.Bytes
			lost += file.Lost
		}
		fmt.Fprintf(out, "uplink %s: %d messages (%s) wait in %d files (%s); %d dead letters\n", p.uplink, messages, show.Size(bytes), len(v.Files), show.Size(onDisk), len(dead))
		if len(again) > 0 {
			fmt.Fprintf(out, "%d dead letters are being sent again\n", len(again))
		}
		if lost > 0 {
			fmt.Fprintf(out, "%d pages cannot be read: look for errors of the card in the kernel's log\n", lost)
		}
		if r, ok := f.replay(p); ok {
			fmt.Fprintln(out, drains(r))
		}
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		if messages > 0 {
			fmt.Fprintln(w, "link\tclass\tmessages\tbytes\toldest\tfirst id\tlast id")
		}
		for _, st := range v.Streams {
			fmt.Fprintf(w, "u%d\t%s\t%d\t%s\t%s\t%s\t%s\n", st.Link, st.Class, st.Messages, show.Size(st.Bytes), ago(st.Oldest, v.At), st.First, st.Last)
		}
		if err := w.Flush(); err != nil || messages == 0 {
			return err
		}
		_, err = fmt.Fprintf(out, "as of %s; what the cloud acknowledged in the last seconds may still be counted\n", v.At.Format(time.TimeOnly))
		return err
	})
}

func peekSpool(env environment, args []string) int {
	f := newSpoolFlags(env, "spool peek")
	most := f.Int("n", 10, "so many messages of each link and class")
	link := f.Int("link", -1, "only what waits for this link: 0 for the first")
	class := f.String("class", "", "only this class: urgent, normal or bulk")
	return f.look(args, func(out io.Writer, p spoolPlace, v *spool.View) error {
		var only spool.Class
		if *class != "" {
			if err := only.UnmarshalText([]byte(*class)); err != nil {
				return err
			}
		}
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "link\tclass\tid\tage\tsize\ttopic\tpayload")
		for i, st := range v.Streams {
			if *link >= 0 && st.Link != *link || *class != "" && st.Class != only {
				continue
			}
			left := *most
			for m, err := range v.Rows(i) {
				if err != nil {
					return err
				}
				if left--; left < 0 {
					break
				}
				fmt.Fprintf(w, "u%d\t%s\t%s\t%s\t%d\t%s\t%s\n", m.Link, m.Class, m.ID, ago(m.Accepted, v.At), len(m.Message.Payload), plain(m.Message.Topic), begins(m.Message.Payload))
			}
		}
		return w.Flush()
	})
}

// exported is one line of spool export. A payload that is no text stands in
// payload-base64.
type exported struct {
	Uplink     string      `json:"uplink"`
	Link       int         `json:"link"`
	Class      spool.Class `json:"class"`
	Epoch      uint64      `json:"epoch"` // with seq the message's id
	Seq        uint64      `json:"seq"`
	Topic      string      `json:"topic"` // in the cloud
	From       string      `json:"from,omitempty"`
	QoS        byte        `json:"qos"`
	Retain     bool        `json:"retain,omitempty"`
	Expiry     uint32      `json:"expiry,omitempty"`   // seconds from accepted on
	Accepted   string      `json:"accepted,omitempty"` // RFC 3339; left out if no clock was synchronised
	Properties []byte      `json:"properties-base64,omitempty"`
	Payload    *string     `json:"payload,omitempty"`
	Binary     []byte      `json:"payload-base64,omitempty"`
}

func exportSpool(env environment, args []string) int {
	f := newSpoolFlags(env, "spool export")
	return f.look(args, func(out io.Writer, p spoolPlace, v *spool.View) error {
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		for i := range v.Streams {
			for m, err := range v.Rows(i) {
				if err != nil {
					return err
				}
				if err := enc.Encode(newExported(p.uplink, m)); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func newExported(uplink string, s spool.Stored) exported {
	m := &s.Message
	x := exported{Uplink: uplink, Link: s.Link, Class: s.Class, Epoch: s.ID.Epoch, Seq: s.ID.Seq, Topic: m.Topic, From: m.From,
		QoS: m.QoS, Retain: m.Retain, Expiry: m.Expiry, Properties: m.Properties}
	if !s.Accepted.IsZero() {
		x.Accepted = s.Accepted.UTC().Format(time.RFC3339Nano)
	}
	if text := string(m.Payload); utf8.ValidString(text) {
		x.Payload = &text
	} else {
		x.Binary = m.Payload
	}
	return x
}
