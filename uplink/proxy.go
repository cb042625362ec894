package uplink

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// noProxy is the value of the key proxy that shuts out the environment's.
const noProxy = "none"

// way finds the way to host:port: the HTTP proxy to go through, nil for
// straight on.
type way func(host string) (*url.URL, error)

// way reads the key proxy, or the environment as it was at the start:
// HTTPS_PROXY and NO_PROXY, since what crosses is not HTTP.
func (c Config) way() way {
	switch c.Proxy {
	case noProxy:
		return func(string) (*url.URL, error) { return nil, nil }
	case "":
		return func(host string) (*url.URL, error) {
			p, err := http.ProxyFromEnvironment(&http.Request{URL: &url.URL{Scheme: "https", Host: host}})
			if err != nil || p == nil {
				return nil, err
			}
			return p, checkProxy(p)
		}
	}
	p, err := url.Parse(c.Proxy)
	if err == nil {
		err = checkProxy(p)
	}
	return func(string) (*url.URL, error) { return p, err }
}

func checkProxy(p *url.URL) error {
	switch {
	case p.Scheme != "http" && p.Scheme != "https":
		return errors.New("only HTTP proxies are supported: begin it with http:// or https://")
	case p.Hostname() == "":
		return errors.New("the host is missing")
	}
	return nil
}

// straight says whether host is reached without a proxy, so that its addresses
// are the gateway's to find.
func (w way) straight(host string) bool {
	p, err := w(host)
	return p == nil && err == nil
}

// tunnel connects to host:port through proxy p.
func (s *settings) tunnel(ctx context.Context, p *url.URL, host string) (net.Conn, error) {
	port := "80"
	if p.Scheme == "https" {
		port = "443"
	}
	at := net.JoinHostPort(p.Hostname(), cmp.Or(p.Port(), port))
	nc, err := s.tcp(ctx, at)
	if err == nil && p.Scheme == "https" {
		nc, err = s.secureProxy(ctx, nc, p.Hostname())
	}
	if err != nil {
		return nil, fault(FaultProxy, fmt.Errorf("the proxy %s cannot be reached: %w", at, err))
	}
	secret, err := s.cfg.proxyPassword(p)
	if err == nil {
		err = ask(ctx, nc, at, host, p.User.Username(), secret)
	}
	if err != nil {
		nc.Close()
		return nil, fault(FaultProxy, err)
	}
	return nc, nil
}

// secureProxy speaks TLS with the proxy itself, which an authority of the
// system or of ca-file vouches for.
func (s *settings) secureProxy(ctx context.Context, nc net.Conn, name string) (net.Conn, error) {
	pool, err := x509.SystemCertPool()
	if err == nil && s.cfg.CAFile != "" {
		pool, err = s.cfg.addRoots(pool)
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	tc := tls.Client(nc, &tls.Config{MinVersion: tls.VersionTLS12, ServerName: name, RootCAs: pool, Time: s.now})
	if err := tc.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, dialFault(err, s.now())
	}
	return tc, nil
}

// proxyPassword is the file's, or for a proxy from the environment the URL's.
func (c Config) proxyPassword(p *url.URL) (string, error) {
	if c.ProxyPasswordFile == "" {
		secret, _ := p.User.Password()
		return secret, nil
	}
	secret, err := firstLine(c.ProxyPasswordFile)
	if err != nil {
		return "", fmt.Errorf("read proxy-password-file: %w", err)
	}
	return string(secret), nil
}

// ask speaks CONNECT [RFC 9110, 9.3.6] over nc.
func ask(ctx context.Context, nc net.Conn, at, host, user, secret string) error {
	defer context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })()
	head := "CONNECT " + host + " HTTP/1.1\r\nHost: " + host + "\r\n"
	if user != "" {
		head += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+secret)) + "\r\n"
	}
	if _, err := io.WriteString(nc, head+"\r\n"); err != nil {
		return fmt.Errorf("the proxy %s: %w", at, err)
	}
	r := bufio.NewReader(io.LimitReader(nc, 16<<10))
	answer, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("the proxy %s takes the connection and does not answer CONNECT to %s in time", at, host)
	case err != nil:
		return fmt.Errorf("the proxy %s answers CONNECT with something else than HTTP: %w", at, err)
	}
	answer.Body.Close()
	if answer.StatusCode/100 == 2 {
		if r.Buffered() > 0 {
			return fmt.Errorf("the proxy %s sent more than its answer to CONNECT", at)
		}
		return nil
	}
	return refusedTunnel(answer.StatusCode, at, host)
}

func refusedTunnel(code int, at, host string) error {
	status := fmt.Sprintf("%d %s", code, http.StatusText(code))
	switch code {
	case http.StatusProxyAuthRequired:
		return fmt.Errorf("the proxy %s does not accept this user and password, or wants some (%s); look at proxy and proxy-password-file", at, status)
	case http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusUnauthorized:
		return fmt.Errorf("the proxy %s does not allow CONNECT to %s (%s); have it allowed there", at, host, status)
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusNotFound:
		return fmt.Errorf("the proxy %s does not reach %s (%s)", at, host, status)
	}
	return fmt.Errorf("the proxy %s refuses CONNECT to %s (%s)", at, host, status)
}
