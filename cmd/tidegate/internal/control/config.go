package control

import (
	"io"
	"net/http"

	"tidegate/cmd/tidegate/internal/redact"
)

// ConfigText is the body of /v1/config.
type ConfigText struct {
	File string `json:"file"`
	Text string `json:"text"` // secrets hidden
}

// Problem is something wrong with a configuration.
type Problem struct {
	Line  int    `json:"line"` // from 1; 0: no line is to blame
	Key   string `json:"key"`
	Value string `json:"value"` // never a secret
	Rule  string `json:"rule"`
	Hint  string `json:"hint"`
	Words string `json:"words"` // all of it, as tidegate check says it
}

// Checked is the answer of POST /v1/config/check.
type Checked struct {
	Good     bool      `json:"good"`
	Problems []Problem `json:"problems"`
}

func (a *API) config(w http.ResponseWriter, _ *http.Request) error {
	file, text := a.opt.Config()
	return answer(w, ConfigText{File: file, Text: redact.Config(text)})
}

func (a *API) check(w http.ResponseWriter, r *http.Request) error {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostBody))
	if err != nil {
		return bad("the text is too large", "1 MiB at most")
	}
	problems := a.opt.Check(data)
	if problems == nil {
		problems = []Problem{}
	}
	return answer(w, Checked{Good: len(problems) == 0, Problems: problems})
}
