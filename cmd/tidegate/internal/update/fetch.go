package update

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Bounds of a download.
const (
	mostBundle  = 1 << 30          // bytes
	spare       = 32 << 20         // bytes that stay free on the data partition
	silence     = 60 * time.Second // without a byte: the connection is dead
	fetchTime   = 12 * time.Hour
	firstPause  = 2 * time.Second // between tries; doubles
	mostPause   = 5 * time.Minute
	redirects   = 5
	downloading = "bundle.part"
	mostAnew    = 10 // downloads begun again from the first byte: each wears the card
)

// download brings a bundle to the data partition and returns its path. What an
// earlier try has left is gone on with, if the server has the same file still;
// sum, the SHA-256 in hexadecimal, is checked when it is not "".
type download struct {
	dir, url, sum string
	say           func(percent int, what string)
	client        *http.Client
	pause         time.Duration                // the first
	free          func(string) (uint64, error) // bytes on the disk

	anew     int   // times that the server began again
	furthest int64 // byte that was reached
}

func (s System) newDownload(url, sum string, say func(int, string)) *download {
	return &download{dir: s.State, url: url, sum: strings.ToLower(sum), say: say, pause: firstPause, free: freeBytes, client: &http.Client{
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: 30 * time.Second, TLSHandshakeTimeout: 30 * time.Second,
			DialContext: (&net.Dialer{Timeout: 30 * time.Second}).DialContext},
		CheckRedirect: func(_ *http.Request, via []*http.Request) error {
			if len(via) > redirects {
				return errors.New("too many redirects")
			}
			return nil
		},
	}}
}

// isURL says whether a source is to be downloaded.
func isURL(source string) bool {
	return strings.HasPrefix(source, "http://") || strings.HasPrefix(source, "https://")
}

func freeBytes(dir string) (uint64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return st.Bavail * uint64(st.Bsize), nil
}

// hopeless is an error that another try would meet again.
type hopeless struct{ error }

func (h hopeless) Unwrap() error { return h.error }

func (d *download) run(ctx context.Context) (path string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, fetchTime, fmt.Errorf("not downloaded after %v", fetchTime))
	defer cancel()
	path = filepath.Join(d.dir, downloading)
	if err := d.sameSource(path); err != nil {
		return "", err
	}
	for pause := d.pause; ; pause = min(2*pause, mostPause) {
		reached, err := d.attempt(ctx, path)
		if err == nil {
			break
		}
		var no hopeless
		if errors.As(err, &no) {
			return "", errors.Join(fmt.Errorf("download %s: %w", d.url, err), os.Remove(path))
		}
		if reached > d.furthest {
			pause, d.furthest = d.pause, reached
		}
		d.say(-1, fmt.Sprintf("download interrupted, going on in %v: %v", pause, err))
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("download %s: %w (%w)", d.url, context.Cause(ctx), err)
		case <-time.After(pause):
		}
	}
	if err := d.verify(path); err != nil {
		return "", errors.Join(err, os.Remove(path))
	}
	return path, nil
}

// sameSource throws away what another download has left.
func (d *download) sameSource(path string) error {
	name := path + ".source"
	source := d.url + "\n" + d.sum + "\n"
	if was, err := os.ReadFile(name); err == nil && string(was) == source {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.WriteFile(name, []byte(source), 0o600)
}

// attempt goes on with the download and returns how far it came, in bytes.
func (d *download) attempt(ctx context.Context, path string) (have int64, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return 0, hopeless{err}
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	before, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, hopeless{err}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	quiet := time.AfterFunc(silence, func() { cancel(fmt.Errorf("nothing came for %v", silence)) })
	defer quiet.Stop()
	body, total, have, err := d.ask(ctx, before)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	if have < before {
		if d.anew++; d.anew > mostAnew {
			return 0, hopeless{fmt.Errorf("the server broke off %d times and cannot go on where it did: take one that knows ranges", d.anew)}
		}
	}
	if err := d.room(total - have); err != nil {
		return 0, err
	}
	if err := f.Truncate(have); err != nil {
		return 0, hopeless{err}
	}
	if _, err := f.Seek(have, io.SeekStart); err != nil {
		return 0, hopeless{err}
	}
	if have == total {
		return have, f.Sync()
	}
	buf := make([]byte, 64<<10)
	for last := -1; have < total; {
		n, err := body.Read(buf[:min(int64(len(buf)), total-have)])
		quiet.Reset(silence)
		if _, werr := f.Write(buf[:n]); werr != nil {
			return have, hopeless{werr}
		}
		have += int64(n)
		if percent := int(have * 100 / total); percent != last {
			last = percent
			d.say(percent, "downloading")
		}
		if err != nil && have < total {
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			return have, err
		}
	}
	return have, f.Sync()
}

// ask requests the bytes from have on. It returns the size of the whole file
// and where the answer begins: at 0 when the server does not continue.
func (d *download) ask(ctx context.Context, have int64) (body io.ReadCloser, total, from int64, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url, nil)
	if err != nil {
		return nil, 0, 0, hopeless{err}
	}
	if have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}
	res, err := d.client.Do(req)
	if err != nil {
		return nil, 0, 0, err
	}
	var first, last int64
	switch res.StatusCode {
	case http.StatusOK:
		total = res.ContentLength
	case http.StatusPartialContent:
		if _, err := fmt.Sscanf(res.Header.Get("Content-Range"), "bytes %d-%d/%d", &first, &last, &total); err != nil || first != have {
			res.Body.Close()
			return nil, 0, 0, hopeless{fmt.Errorf("the server answers with %q to a request from byte %d", res.Header.Get("Content-Range"), have)}
		}
		from = have
	case http.StatusRequestedRangeNotSatisfiable:
		res.Body.Close()
		if _, err := fmt.Sscanf(res.Header.Get("Content-Range"), "bytes */%d", &total); err == nil && total == have {
			return http.NoBody, total, have, nil // it is all here
		}
		if have == 0 {
			return nil, 0, 0, hopeless{fmt.Errorf("the server says %s to a request for all", res.Status)}
		}
		return d.ask(ctx, 0)
	default:
		res.Body.Close()
		err := fmt.Errorf("the server says %s", res.Status)
		if res.StatusCode >= 400 && res.StatusCode < 500 && res.StatusCode != http.StatusTooManyRequests && res.StatusCode != http.StatusRequestTimeout {
			err = hopeless{err}
		}
		return nil, 0, 0, err
	}
	if total <= 0 || total > mostBundle {
		res.Body.Close()
		return nil, 0, 0, hopeless{fmt.Errorf("a file of %d bytes: a bundle has a size that the server says, and at most %d", total, mostBundle)}
	}
	return res.Body, total, from, nil
}

// room refuses to begin what would fill the data partition.
func (d *download) room(want int64) error {
	free, err := d.free(d.dir)
	if err != nil {
		return hopeless{err}
	}
	if uint64(want)+spare > free {
		return hopeless{fmt.Errorf("%d MB are missing on the data partition (%s has %d MB free, the rest of the bundle is %d MB, %d MB stay free for the gateway)",
			(uint64(want)+spare-free)>>20+1, d.dir, free>>20, want>>20, spare>>20)}
	}
	return nil
}

func (d *download) verify(path string) error {
	if d.sum == "" {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != d.sum {
		return fmt.Errorf("what was downloaded from %s is not what was announced: SHA-256 %s instead of %s", d.url, got, d.sum)
	}
	return nil
}
