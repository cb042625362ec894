package console

import (
	"io"
	"net/http"
	"testing"
)

func TestWhoMayReadMetrics(t *testing.T) {
	for _, c := range []struct {
		name, metrics, user, password string
		want                          int
	}{
		{"open", "open", "", "", http.StatusOK},
		{"off", "off", "", "", http.StatusNotFound},
		{"off for all", "off", "admin", adminPassword, http.StatusNotFound},
		{"nobody", "login", "", "", http.StatusUnauthorized},
		{"a wrong password", "login", "guest", "sesame", http.StatusUnauthorized},
		{"an unknown user", "login", "burglar", "sesame", http.StatusUnauthorized},
		{"a device", "login", "lamp", "a lamp's password", http.StatusForbidden},
		{"who may look", "login", "guest", readPassword, http.StatusOK},
		{"an administrator", "login", "admin", adminPassword, http.StatusOK},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, func(cfg *Config, o *Options) {
				cfg.Metrics, o.Open = c.metrics, nil
				o.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "up 1\n") })
			})
			r, err := http.NewRequest("GET", h.url+"/metrics", nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.user != "" {
				r.SetBasicAuth(c.user, c.password)
			}
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			answer, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(answer.Body)
			answer.Body.Close()
			if answer.StatusCode != c.want || (string(body) == "up 1\n") != (c.want == http.StatusOK) {
				t.Errorf("got %d %q, want %d", answer.StatusCode, body, c.want)
			}
			if asks := answer.Header.Get("WWW-Authenticate") != ""; asks != (c.want == http.StatusUnauthorized) {
				t.Errorf("asks for a password: got %v", asks)
			}
		})
	}
}

// Who guesses is slowed down, as at the page's log-in, however the right one
// comes in between from the same address.
func TestMetricsGuessesAreSlowed(t *testing.T) {
	h := newHouse(t, func(cfg *Config, o *Options) {
		cfg.Metrics, o.Open, o.Metrics = "login", nil, http.NotFoundHandler()
	})
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for range 100 {
		r, err := http.NewRequest("GET", h.url+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth("admin", "guess")
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode == http.StatusTooManyRequests {
			return
		}
	}
	t.Error("a hundred guesses were taken")
}
