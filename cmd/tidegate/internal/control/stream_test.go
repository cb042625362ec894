package control

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/uplink"
)

// oneConn is a listener with one connection.
type oneConn struct {
	conn  chan net.Conn
	ended chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.ended:
		return nil, net.ErrClosed
	}
}
func (l *oneConn) Close() error   { close(l.ended); return nil }
func (l *oneConn) Addr() net.Addr { return &net.UnixAddr{} }

// A stream on which nothing happens stays, in HTTP/1 and in HTTP/2, where the
// deadline of a write ends a stream that writes nothing, too.
func TestQuietStreamStays(t *testing.T) {
	for _, name := range []string{"HTTP/1", "HTTP/2"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { quietStream(t, name == "HTTP/2") })
		})
	}
}

func quietStream(t *testing.T, two bool) {
	ctx, stop := context.WithCancel(t.Context())
	a := New(quiet())
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!two)
	protocols.SetUnencryptedHTTP2(two)
	here, there := net.Pipe()
	l := &oneConn{make(chan net.Conn, 1), make(chan struct{})}
	l.conn <- there
	srv := &http.Server{Protocols: protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.ServeHTTP(w, r.WithContext(WithRole(r.Context(), Read)))
	})}
	go srv.Serve(l)
	client := &http.Transport{Protocols: protocols, DialContext: func(context.Context, string, string) (net.Conn, error) { return here, nil }}
	req, err := http.NewRequestWithContext(ctx, "GET", "http://gateway/v1/tail?filter=nothing", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(res.Body)
	for begin := time.Now(); time.Since(begin) < time.Hour; {
		if _, err := lines.ReadString('\n'); err != nil {
			t.Fatalf("after %v: %v", time.Since(begin), err)
		}
	}
	stop()
	res.Body.Close()
	client.CloseIdleConnections()
	srv.Close()
}

// stalled is somebody who takes nothing of the answer until open is closed.
type stalled struct {
	http.ResponseWriter
	asked, open chan struct{}
}

func (s *stalled) Write(b []byte) (int, error) {
	close(s.asked)
	<-s.open
	return s.ResponseWriter.Write(b)
}

// Who takes nothing of an answer holds up nobody else.
func TestStalledListenerHoldsUpNobody(t *testing.T) {
	o := quiet()
	o.Spools = map[string]string{"cloud": t.TempDir()}
	a := New(o)
	for _, path := range []string{"/v1/history", "/v1/sensors/history", "/v1/status", "/v1/topics", "/v1/log", "/v1/dead"} {
		w := &stalled{httptest.NewRecorder(), make(chan struct{}), make(chan struct{})}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			r := httptest.NewRequest("GET", path, nil)
			a.ServeHTTP(w, r.WithContext(WithRole(r.Context(), Read)))
		}()
		<-w.asked
		for _, other := range []string{"/v1/status", "/v1/history", "/v1/sensors/history", "/v1/topics", "/v1/log", "/v1/dead"} {
			done := make(chan struct{})
			go func() { defer close(done); request(a, Read, "GET", other, "") }()
			select {
			case <-done:
			case <-time.After(patient):
				t.Fatalf("%s waits for somebody who takes nothing of %s", other, path)
			}
		}
		close(w.open)
		<-ended
	}
	a.topics.rest(true)
}

// What is shown of a payload ends between letters, of dead letters too.
func TestTextIsNotCutWithinALetter(t *testing.T) {
	long := strings.Repeat("ä", 200)
	for most, want := range map[int]int{1: 0, 2: 2, 199: 198, 1000: 400} {
		if got, encoding := text([]byte(long), most); len(got) != want || encoding != "text" {
			t.Errorf("%d: got %d bytes as %s, want %d", most, len(got), encoding, want)
		}
	}
	if got, encoding := text([]byte("a\xff\xfe"), 2); got != "Yf8=" || encoding != "base64" {
		t.Errorf("got %s, %s", got, encoding)
	}
}

// One walk to the cloud is under way at a time; it ends with the listener.
func TestOneWalkAtATime(t *testing.T) {
	o := quiet()
	o.Spools = map[string]string{"cloud": t.TempDir()}
	walks := make(chan bool)
	o.Probe = func(ctx context.Context, _ string, report func(uplink.ProbeStep)) (bool, error) {
		report(uplink.ProbeStep{Name: "tcp"})
		walks <- true
		<-ctx.Done()
		return false, ctx.Err()
	}
	a := New(o)
	const path = "/v1/uplinks/cloud/test"
	if w := request(a, Read, "POST", path, ""); w.Code != http.StatusForbidden {
		t.Errorf("who may only look: got %d", w.Code)
	}
	for range 2 {
		ctx, leave := context.WithCancel(WithRole(t.Context(), Admin))
		w, ended := httptest.NewRecorder(), make(chan struct{})
		go func() {
			defer close(ended)
			a.ServeHTTP(w, httptest.NewRequest("POST", path, nil).WithContext(ctx))
		}()
		<-walks
		if w := request(a, Admin, "POST", path, ""); w.Code != http.StatusConflict {
			t.Errorf("another one: got %d %s", w.Code, w.Body)
		}
		leave()
		<-ended
		if got := w.Body.String(); !strings.HasPrefix(got, "event: step\n") || !strings.Contains(got, `event: end
data: {"well":false,"error":"context canceled"}`) {
			t.Errorf("got %s", got)
		}
	}
}
