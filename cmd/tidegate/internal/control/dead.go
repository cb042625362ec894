package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"tidegate/uplink/spool"
)

const mostPreview = 200 // bytes of a dead letter's payload that are shown

// DeadLetter is a message that the cloud refused for good.
type DeadLetter struct {
	ID       string `json:"id"`
	Topic    string `json:"topic"` // in the cloud
	From     string `json:"from"`
	Class    string `json:"class"`
	Size     int    `json:"size"`
	Reason   string `json:"reason"` // MQTT 5 reason code, 0x87
	Words    string `json:"words"`
	Time     Time   `json:"time"` // of the refusal; null when the clock was not set
	Preview  string `json:"payload_preview"`
	Encoding string `json:"encoding"`
	Again    bool   `json:"again"` // on its way back into the spool
}

// DeadLetters is the body of /v1/dead.
type DeadLetters struct {
	Total    int          `json:"total"`
	Messages []DeadLetter `json:"messages"` // the newest first
}

// Decision is the body of POST /v1/dead/retry and /v1/dead/drop.
type Decision struct {
	Uplink string   `json:"uplink"` // may be empty when there is one
	IDs    []string `json:"ids"`
	All    bool     `json:"all"`
}

// Count is an answer.
type Count struct {
	Count int `json:"count"`
}

// Reasons of PUBACK that are for good [MQTT 5, 3.4.2.1].
var refusals = map[string]string{
	"0x87": "the cloud does not permit this topic",
	"0x90": "the cloud does not take a topic of this name",
	"0x95": "it is larger than the cloud takes",
	"0x99": "the cloud does not take this format of the payload",
}

func deadLetterOf(l *spool.Letter, again bool) DeadLetter {
	out := DeadLetter{ID: l.ID().String(), Topic: l.Topic, From: l.From, Class: l.Class.String(), Size: len(l.Payload), Reason: l.Reason, Words: refusals[l.Reason], Again: again}
	if out.Words == "" {
		out.Words = "the cloud refused it"
	}
	if l.At != 0 {
		out.Time = Time(time.UnixMilli(l.At))
	}
	out.Preview, out.Encoding = text(l.Payload, mostPreview)
	return out
}

// spoolOf returns the directory of an uplink's spool; "" names the only one.
func (a *API) spoolOf(name string) (string, error) {
	if name == "" && len(a.opt.Spools) == 1 {
		for _, dir := range a.opt.Spools {
			return dir, nil
		}
	}
	dir, ok := a.opt.Spools[name]
	if !ok {
		return "", nothing(fmt.Sprintf("there is no uplink %q", name), "name one of [[uplink]]")
	}
	return dir, nil
}

// listDead is GET /v1/dead.
func (a *API) listDead(w http.ResponseWriter, r *http.Request) error {
	p, err := pageOf(r)
	if err != nil {
		return err
	}
	dir, err := a.spoolOf(r.URL.Query().Get("uplink"))
	if err != nil {
		return err
	}
	letters, again, err := spool.Letters(dir)
	if err != nil {
		return broken("read the dead letters", err)
	}
	out := DeadLetters{Total: len(letters) + len(again), Messages: []DeadLetter{}}
	for i, l := range cut(slices.Concat(again, backwards(letters)), p) {
		out.Messages = append(out.Messages, deadLetterOf(&l, p.offset+i < len(again)))
	}
	return answer(w, out)
}

func backwards(l []spool.Letter) []spool.Letter {
	slices.Reverse(l)
	return l
}

// decideTime is how long the spool may take to do what it is asked.
const decideTime = 10 * time.Second

// decideDead is POST /v1/dead/retry and /v1/dead/drop.
func (a *API) decideDead(do func(context.Context, string, []spool.ID) (int, error)) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		var d Decision
		if err := body(w, r, &d); err != nil {
			return err
		}
		dir, err := a.spoolOf(d.Uplink)
		if err != nil {
			return err
		}
		ids, err := d.picks(dir)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(r.Context(), decideTime)
		defer cancel()
		n, err := do(ctx, dir, ids)
		if errors.Is(err, spool.ErrWaiting) {
			return &Error{http.StatusServiceUnavailable, "the spool has not done it yet", "it will do it soon; look again in a while"}
		}
		if err != nil {
			return broken("decide about dead letters", err)
		}
		return answer(w, Count{n})
	}
}

// picks returns the ids that are meant.
func (d *Decision) picks(dir string) (ids []spool.ID, err error) {
	if d.All == (len(d.IDs) > 0) {
		return nil, bad("say which: ids, or all", "")
	}
	for _, text := range d.IDs {
		id, err := spool.ParseID(text)
		if err != nil {
			return nil, bad(err.Error(), "/v1/dead lists them")
		}
		ids = append(ids, id)
	}
	if !d.All {
		return ids, nil
	}
	letters, _, err := spool.Letters(dir)
	for _, l := range letters {
		ids = append(ids, l.ID())
	}
	return ids, err
}

// graves counts dead letters, and reads them only when they have changed.
type graves struct {
	of map[string]grave // by directory
}

type grave struct {
	mark string
	dead Dead
}

func (g *graves) count(dir string) Dead {
	mark := spool.LettersMark(dir)
	if have, ok := g.of[dir]; ok && have.mark == mark {
		return have.dead
	}
	letters, _, err := spool.Letters(dir)
	if err != nil {
		return Dead{}
	}
	d := Dead{Count: len(letters)}
	for _, l := range letters {
		d.Bytes += int64(len(l.Payload))
	}
	if g.of == nil {
		g.of = map[string]grave{}
	}
	g.of[dir] = grave{mark, d}
	return d
}
