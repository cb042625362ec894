package uplink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// Fault names what is wrong with a link or an endpoint, for programs: the
// words beside it may change, these do not.
type Fault string

// The faults.
const (
	FaultRefused        Fault = "refused"             // nobody listens there
	FaultUnreachable    Fault = "unreachable"         // no route, or no network
	FaultTimedOut       Fault = "timeout"             // no TCP connection in time
	FaultNoName         Fault = "dns"                 // the name is not resolved
	FaultHandshake      Fault = "tls"                 // TLS fails for another reason than those below
	FaultClock          Fault = "clock"               // the gateway's clock is not set, so no certificate is valid
	FaultProxy          Fault = "proxy"               // the HTTP proxy cannot be reached, or refuses
	FaultExpired        Fault = "certificate-expired" // the cloud's, or not yet valid by the gateway's clock
	FaultUntrusted      Fault = "certificate-unknown" // the cloud's: unknown authority, or another name
	FaultOwnCertificate Fault = "own-certificate"     // the gateway's is expired, unknown to the cloud, or missing
	FaultNoNode         Fault = "no-node"             // closed before CONNACK: a load balancer without nodes
	FaultNoAnswer       Fault = "no-connack"          // TCP is taken, CONNECT is not answered in time
	FaultWebSocket      Fault = "websocket"           // what answers is no WebSocket for MQTT
	FaultCredentials    Fault = "credentials"         // CONNACK 0x86
	FaultNotAuthorized  Fault = "not-authorized"      // CONNACK 0x87
	FaultWillRefused    Fault = "will-refused"        // CONNACK 0x87, 0x9A, 0x9B for a CONNECT with the will
	FaultBadClientID    Fault = "client-id"           // CONNACK 0x85
	FaultBanned         Fault = "banned"              // CONNACK 0x8A
	FaultVersion        Fault = "version"             // no MQTT 5 there
	FaultBusy           Fault = "busy"                // 0x88, 0x89, 0x97, 0x9F: not now
	FaultRedirected     Fault = "redirected"          // 0x9C, 0x9D
	FaultDeclined       Fault = "declined"            // any other reason of a CONNACK or DISCONNECT
	FaultClosed         Fault = "closed"              // the connection ended without DISCONNECT: a killed node
	FaultHalfOpen       Fault = "half-open"           // what is written arrives nowhere
	FaultSilent         Fault = "silent"              // TCP takes what is written, nobody answers: a stopped process
	FaultStuck          Fault = "stuck"               // answers pings, acknowledges nothing, for patience
	FaultLate           Fault = "slow"                // acknowledges late; the link stays
	FaultNotRouting     Fault = "not-routing"         // the canary does not come back
	FaultShutDown       Fault = "shutdown"            // DISCONNECT 0x8B
	FaultKicked         Fault = "kicked"              // DISCONNECT 0x98: an administrator
	FaultTakenOver      Fault = "taken-over"          // DISCONNECT 0x8E: another client has the client id
	FaultProtocol       Fault = "protocol"            // the cloud breaks the rules of MQTT
	FaultSubscription   Fault = "subscription"        // the cloud refuses to subscribe; the link stays
	FaultFiles          Fault = "files"               // a file that the configuration names cannot be used
	FaultMoving         Fault = "moving"              // no fault: the configuration changed, the link moves
	FaultUnknown        Fault = "unknown"
)

// faultError is what is wrong: a Fault for programs, the error for people.
type faultError struct {
	kind Fault
	err  error
}

func (f *faultError) Error() string { return f.err.Error() }
func (f *faultError) Unwrap() error { return f.err }

// fault marks err, unless it is marked already.
func fault(kind Fault, err error) error {
	if marked := (*faultError)(nil); err == nil || errors.As(err, &marked) {
		return err
	}
	return &faultError{kind, err}
}

// faultOf returns the kind of an error: as marked, else by what the standard
// library says.
func faultOf(err error) Fault {
	var marked *faultError
	var name *net.DNSError
	var op *net.OpError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &marked):
		return marked.kind
	case errors.As(err, &name):
		return FaultNoName
	case errors.Is(err, syscall.ECONNREFUSED):
		return FaultRefused
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETDOWN), errors.Is(err, syscall.EADDRNOTAVAIL):
		return FaultUnreachable
	case errors.Is(err, syscall.ETIMEDOUT):
		return FaultHalfOpen
	case errors.Is(err, errLost), errors.Is(err, errClosed), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return FaultClosed
	case errors.Is(err, errRolled):
		return FaultMoving
	case errors.As(err, &op):
		return FaultClosed
	}
	return FaultUnknown
}

// lossFault marks why a connection ended: what neither health nor the network
// explains, the cloud has sent.
func lossFault(err error) error {
	if faultOf(err) == FaultUnknown {
		return fault(FaultProtocol, err)
	}
	return err
}

// silence marks why health left a node. Lost: what was written has not even
// reached the other side's kernel.
func silence(why error, lost bool) error {
	switch {
	case errors.Is(why, errStuck):
		return fault(FaultStuck, why)
	case errors.Is(why, errDribble):
		return fault(FaultSilent, why)
	case lost:
		return fault(FaultHalfOpen, fmt.Errorf("%w; what is sent arrives nowhere: the connection is half open", why))
	}
	return fault(FaultSilent, fmt.Errorf("%w; what is sent is taken and not answered: the node is stopped or hangs", why))
}

// written is a time before which this program did not exist.
var written = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// dialFault puts the failure of TCP or TLS into words.
func dialFault(err error, now time.Time) error {
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	var authority x509.UnknownAuthorityError
	var verify *tls.CertificateVerificationError
	var name *net.DNSError
	switch {
	case faultOf(err) == FaultProxy:
		return err
	case errors.As(err, &name):
		return noAnswer(name.Name, err)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		if now.Before(written) {
			return fault(FaultClock, fmt.Errorf("the clock says %s, so no certificate is valid: it is not set; the link waits until the gateway has the time from the network (NTP) (%w)", date(now), err))
		} else if c := invalid.Cert; c != nil && now.Before(c.NotBefore) {
			return fault(FaultExpired, fmt.Errorf("the cloud's certificate is valid from %s on and the clock says %s: is the clock right? (%w)", date(c.NotBefore), date(now), err))
		} else if c != nil {
			return fault(FaultExpired, fmt.Errorf("the cloud's certificate has expired on %s: it must be renewed there (%w)", date(c.NotAfter), err))
		}
		return fault(FaultExpired, err)
	case errors.As(err, &authority):
		return fault(FaultUntrusted, fmt.Errorf("the cloud's certificate is of an authority that is not trusted; look at ca-file (%w)", err))
	case errors.As(err, &host):
		return fault(FaultUntrusted, fmt.Errorf("the cloud's certificate is for another name than the endpoint's (%w)", err))
	case errors.As(err, &verify):
		return fault(FaultUntrusted, err)
	case ownCertificate(err):
		return fault(FaultOwnCertificate, err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), isTimeout(err):
		return fault(FaultTimedOut, fmt.Errorf("no answer from there (%w)", err))
	}
	return err
}

func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// ownCertificate says whether the cloud sent a TLS alert that speaks of the
// client's certificate [RFC 8446, 6.2]. With TLS 1.3 it comes after the
// handshake, in the first read.
func ownCertificate(err error) bool {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" {
		return false
	}
	for _, alert := range []string{"bad certificate", "unsupported certificate", "revoked certificate", "expired certificate",
		"unknown certificate", "unknown certificate authority", "certificate required", "access denied"} {
		if strings.HasSuffix(op.Err.Error(), alert) {
			return true
		}
	}
	return false
}

// connectFault puts the failure of CONNECT into words, for an error other than
// a CONNACK's.
func connectFault(err error, c Config, now time.Time) error {
	switch {
	case ownCertificate(err):
		return fault(FaultOwnCertificate, fmt.Errorf("the cloud does not accept this gateway's certificate%s (%w)", c.certificateState(now), err))
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return fault(FaultNoAnswer, errors.New("the connection was taken, and no CONNACK came in time: the node hangs, or its load balancer waits for one"))
	case faultOf(err) == FaultClosed:
		return fault(FaultNoNode, errors.New("the connection was closed before CONNACK: is there a node behind the load balancer? Does it speak MQTT 5?"))
	}
	return fault(FaultProtocol, err)
}

// certificateState says in a few words what is wrong with the client
// certificate, as far as the gateway can see.
func (c Config) certificateState(now time.Time) string {
	if c.CertFile == "" {
		return ": it asks for one; look at cert-file and key-file"
	}
	pair, err := c.pair()
	if err != nil || len(pair) == 0 || len(pair[0].Certificate) == 0 {
		return "; look at cert-file"
	}
	leaf, err := x509.ParseCertificate(pair[0].Certificate[0])
	switch {
	case err != nil:
		return "; look at cert-file"
	case now.After(leaf.NotAfter):
		return fmt.Sprintf(": it has expired on %s; renew cert-file", date(leaf.NotAfter))
	case now.Before(leaf.NotBefore):
		return fmt.Sprintf(": it is valid from %s on and the clock says %s", date(leaf.NotBefore), date(now))
	}
	return fmt.Sprintf(" of %q; does it know the authority %q?", leaf.Subject.CommonName, leaf.Issuer.CommonName)
}

// connackFaults and disconnectFaults name what a reason code means.
var connackFaults = map[byte]Fault{
	0x84: FaultVersion, 0x85: FaultBadClientID, 0x86: FaultCredentials, 0x87: FaultNotAuthorized, 0x88: FaultBusy, 0x89: FaultBusy, 0x8A: FaultBanned,
	0x97: FaultBusy, 0x9C: FaultRedirected, 0x9D: FaultRedirected, 0x9F: FaultBusy,
}

var disconnectFaults = map[byte]Fault{
	0x87: FaultNotAuthorized, 0x89: FaultBusy, 0x8B: FaultShutDown, 0x8D: FaultHalfOpen, 0x8E: FaultTakenOver, 0x93: FaultProtocol, 0x95: FaultProtocol,
	0x96: FaultBusy, 0x97: FaultBusy, 0x98: FaultKicked, 0x9C: FaultRedirected, 0x9D: FaultRedirected,
}

// byReason returns the fault of a reason code, Declined when the table has none.
func byReason(table map[byte]Fault, reason byte) Fault {
	if f, ok := table[reason]; ok {
		return f
	}
	return FaultDeclined
}

// tlsFault puts the failure of a TLS handshake into words.
func tlsFault(err error, c Config, now time.Time) error {
	if ownCertificate(err) {
		return connectFault(err, c, now)
	}
	if strings.Contains(err.Error(), "no application protocol") {
		return fault(FaultHandshake, fmt.Errorf("the cloud does not speak the protocols %q; look at alpn (%w)", c.ALPN, err))
	}
	if marked := dialFault(err, now); marked != err {
		return marked
	}
	if faultOf(err) == FaultClosed {
		return fault(FaultNoNode, errors.New("the connection was closed in the TLS handshake: is there a node behind the load balancer? Does it speak TLS?"))
	}
	return fault(FaultHandshake, fmt.Errorf("TLS: %w", err))
}
