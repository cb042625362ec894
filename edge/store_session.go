package edge

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"tidegate/internal/inorder"
	"tidegate/internal/wall"
)

// Two buckets hold the sessions. Software that knows only retained messages
// leaves them as they are.
//
//	sessions  number, 8 bytes big-endian -> session row
//	queues    number, position, 8 bytes each -> delivery row
//	sessions  "final" -> the transaction that a clean stop wrote last, 8 bytes little-endian
//
// A session's number is never used again, so that rows of an older session of
// the same client cannot be taken for its own. Positions count the deliveries
// of a session from its first.
var (
	sessionBucket = []byte("sessions")
	queueBucket   = []byte("queues")
	finalKey      = []byte("final")
)

// The session row and the delivery row, version 1; uvarints but where said
// otherwise. Both end with the complement of a CRC-32C of the key and
// all of the row before.
//
//	session:  version byte; seconds of its expiry; seconds left when written; wall clock when written, Unix seconds, 0 when
//	          not synchronised or the time did not run, since the client was connected;
//	          seconds left of the delay of a will;
//	          client id, user: length and bytes; subscriptions: count, and of each the filter, an options
//	          byte as in SUBSCRIBE, count of identifiers and these; position of the first delivery, its
//	          packet id less one; count of those sent, and a byte of state each; last exchange; count of
//	          received QoS 2 ids, and of each the id and whether PUBREC was due;
//	          1 and a will, or 0: QoS + 4 with RETAIN + 8 when its client was connected, expiry, topic, properties, payload
//	delivery: version byte; QoS + 4 with RETAIN; identifiers as above; filter of the shared subscription, or empty; topic; a row as of a retained message
const sessionVersion = 1

var errNewer = errors.New("written by newer software, which must read it; this one reads version 1 of sessions")

// savedSession is a session as its row has it.
type savedSession struct {
	number   uint64
	id, user string
	expiry   time.Duration
	left     time.Duration
	still    bool // its time does not run: its client is connected, or has left so lately that it is not worth a commit
	subs     []savedSub
	base     uint64
	first    uint16
	states   []byte
	serial   uint32
	received []savedExchange
	will     *savedWill      // nil: none
	queue    []savedDelivery // ascending positions
}

type savedSub struct {
	filter  string
	options byte
	ids     []uint32
}

type savedExchange struct {
	id, settled uint64
}

type savedWill struct {
	left time.Duration // of its delay
	shut bool          // its client was connected
	m    Message
}

type savedDelivery struct {
	at     uint64
	m      *Message
	over   bool // its expiry has passed: it is sent only to a client that it was sent to before
	qos    byte
	retain bool
	ids    []uint32
	shared string // filter of the shared subscription it came by; "": none
	size   int64  // of the row
}

func seal(key, row []byte) []byte { return binary.LittleEndian.AppendUint32(row, sessionSum(key, row)) }

// sessionSum is none that a retained message could have: its row is never taken
// for one of these, wherever in a damaged file it stands.
func sessionSum(key, row []byte) uint32 { return ^rowSum(key, row) }

// unseal returns a row without its checksum, and checks that and the version.
func unseal(key, row []byte) (*reader, error) {
	if len(row) < 1+rowTail {
		return nil, errRow
	}
	body := row[:len(row)-rowTail]
	if binary.LittleEndian.Uint32(row[len(body):]) != sessionSum(key, body) {
		return nil, errRow
	}
	if body[0] != sessionVersion {
		return nil, fmt.Errorf("version %d: %w", body[0], errNewer)
	}
	return &reader{rest: body[1:]}, nil
}

// reader takes a row apart; after a failure everything is zero.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) num() uint64 {
	n, used := binary.Uvarint(r.rest)
	if used <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[used:]
	return n
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) text() string { return string(r.bytes(r.num())) }

func (r *reader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) ids() (ids []uint32) {
	for range min(r.num(), uint64(len(r.rest))) {
		ids = append(ids, uint32(r.num()))
	}
	return ids
}

func appendIDs(b []byte, ids []uint32) []byte {
	b = binary.AppendUvarint(b, uint64(len(ids)))
	for _, id := range ids {
		b = binary.AppendUvarint(b, uint64(id))
	}
	return b
}

func sessionKey(number uint64) []byte { return binary.BigEndian.AppendUint64(nil, number) }

func queueKey(number, at uint64) []byte {
	return binary.BigEndian.AppendUint64(sessionKey(number), at)
}

// encodeSession writes the row. It depends on the time only through left.
func encodeSession(key []byte, v *savedSession, now time.Time, synchronised bool) []byte {
	stamp := uint64(0)
	if synchronised && !v.still {
		stamp = uint64(now.Unix())
	}
	b := []byte{sessionVersion}
	b = binary.AppendUvarint(b, uint64(seconds(v.expiry)))
	b = binary.AppendUvarint(b, uint64(seconds(v.left)))
	b = binary.AppendUvarint(b, stamp)
	if v.will != nil {
		b = binary.AppendUvarint(b, uint64(seconds(v.will.left)))
	} else {
		b = append(b, 0)
	}
	b = v.appendState(b)
	return seal(key, b)
}

// appendState is the part of the row in which no time is.
func (v *savedSession) appendState(b []byte) []byte {
	b = appendField(b, v.id)
	b = appendField(b, v.user)
	b = binary.AppendUvarint(b, uint64(len(v.subs)))
	for _, sub := range v.subs {
		b = append(appendField(b, sub.filter), sub.options)
		b = appendIDs(b, sub.ids)
	}
	b = binary.AppendUvarint(b, v.base)
	b = binary.AppendUvarint(b, uint64(v.first))
	b = appendField(b, string(v.states))
	b = binary.AppendUvarint(b, uint64(v.serial))
	b = binary.AppendUvarint(b, uint64(len(v.received)))
	for _, e := range v.received {
		b = binary.AppendUvarint(binary.AppendUvarint(b, e.id), e.settled)
	}
	if v.will == nil {
		return append(b, 0)
	}
	return v.will.append(b)
}

// append writes a will, but for the time.
func (w *savedWill) append(b []byte) []byte {
	b = append(b, 1, w.m.QoS+4*b2u(w.m.Retain)+8*b2u(w.shut))
	b = binary.AppendUvarint(b, uint64(w.m.Expiry))
	b = appendField(b, w.m.Topic)
	b = appendField(b, string(w.m.Properties))
	return appendField(b, string(w.m.Payload))
}

func b2u(yes bool) byte {
	if yes {
		return 1
	}
	return 0
}

// will reads what append has written.
func (r *reader) will(left uint64) *savedWill {
	if r.byte() == 0 {
		return nil
	}
	flags := r.byte()
	w := &savedWill{left: time.Duration(min(left, never)) * time.Second, shut: flags&8 != 0}
	w.m = Message{QoS: flags & 3, Retain: flags&4 != 0, Expiry: uint32(r.num()), Topic: r.text()}
	if p := r.bytes(r.num()); len(p) > 0 {
		w.m.Properties = bytes.Clone(p)
	}
	w.m.Payload = bytes.Clone(r.bytes(r.num()))
	r.bad = r.bad || w.m.Topic == "" || w.m.QoS > 2
	return w
}

// decodeSession reads a row back. Time between the two runs counts only when
// the clock was synchronised at both ends. A session whose time is over has
// nothing left.
func decodeSession(key, row []byte, now time.Time, synchronised bool) (*savedSession, error) {
	r, err := unseal(key, row)
	if err != nil || len(key) != 8 {
		return nil, errors.Join(err, badKey(key, 8))
	}
	v := &savedSession{number: binary.BigEndian.Uint64(key)}
	expiry, left := r.num(), r.num()
	if max(expiry, left) > never {
		return nil, errRow
	}
	v.expiry, v.left = time.Duration(expiry)*time.Second, time.Duration(left)*time.Second
	stamp := int64(r.num())
	if away := now.Unix() - stamp; synchronised && stamp > 0 && away > 0 {
		v.left -= min(v.left, time.Duration(min(away, never))*time.Second)
	}
	delay := r.num()
	v.id, v.user = r.text(), r.text()
	for range min(r.num(), uint64(len(r.rest))) {
		v.subs = append(v.subs, savedSub{r.text(), r.byte(), r.ids()})
	}
	v.base, v.first, v.states = r.num(), uint16(r.num()), []byte(r.text())
	v.serial = uint32(r.num())
	for range min(r.num(), uint64(len(r.rest))) {
		v.received = append(v.received, savedExchange{r.num(), r.num()})
	}
	v.will = r.will(delay)
	if r.bad || len(r.rest) > 0 || v.first >= packetIDs || len(v.states) > packetIDs {
		return nil, errRow
	}
	return v, nil
}

func badKey(key []byte, want int) error {
	if len(key) != want {
		return errRow
	}
	return nil
}

func encodeDelivery(key []byte, d *savedDelivery, commit uint64, now time.Time, synchronised bool) []byte {
	flags := d.qos
	if d.retain {
		flags |= 4
	}
	b := appendIDs([]byte{sessionVersion, flags}, d.ids)
	b = appendField(b, d.shared)
	b = appendField(b, d.m.Topic)
	return seal(key, append(b, encodeRow(rowKey(d.m.Topic), d.m, commit, now, synchronised)...))
}

func decodeDelivery(key, row []byte, now time.Time, synchronised bool) (d savedDelivery, err error) {
	r, err := unseal(key, row)
	if err != nil || len(key) != 16 {
		return d, errors.Join(err, badKey(key, 16))
	}
	flags := r.byte()
	d = savedDelivery{at: binary.BigEndian.Uint64(key[8:]), qos: flags & 3, retain: flags&4 != 0, ids: r.ids(), size: int64(len(row))}
	d.shared = r.text()
	topic := r.text()
	if r.bad || topic == "" || d.qos == 0 || d.qos > 2 {
		return d, errRow
	}
	if d.m, d.over, _, err = decodeAnyRow(rowKey(topic), r.rest, now, synchronised); d.m != nil {
		d.m.Retain = d.retain
	}
	return d, err
}

// savedSessions puts rows together, in any order.
type savedSessions struct {
	sessions map[uint64]*savedSession
	queues   map[uint64][]savedDelivery
}

func (a *savedSessions) session(key, row []byte, now time.Time, synchronised bool) error {
	if string(key) == string(finalKey) {
		return nil
	}
	v, err := decodeSession(key, row, now, synchronised)
	if err != nil {
		return err
	}
	if a.sessions == nil {
		a.sessions = map[uint64]*savedSession{}
	}
	a.sessions[v.number] = v
	return nil
}

func (a *savedSessions) delivery(key, row []byte, now time.Time, synchronised bool) error {
	d, err := decodeDelivery(key, row, now, synchronised)
	if err != nil {
		return err
	}
	if a.queues == nil {
		a.queues = map[uint64][]savedDelivery{}
	}
	number := binary.BigEndian.Uint64(key)
	a.queues[number] = append(a.queues[number], d)
	return nil
}

// list returns the sessions with their queues in order. Of two sessions of a
// client the later one holds, and comes last.
func (a *savedSessions) list() []*savedSession {
	all := slices.SortedFunc(maps.Values(a.sessions), func(x, y *savedSession) int { return cmp.Compare(x.number, y.number) })
	for _, v := range all {
		v.queue = a.queues[v.number]
		inorder.Sort(v.queue, func(x, y savedDelivery) int { return cmp.Compare(x.at, y.at) })
	}
	return all
}

// readSessions returns the sessions of a file with their queues, and whether a
// clean stop wrote them last. A row that cannot be read is left out and makes
// the error.
func readSessions(tx *bbolt.Tx) (all []*savedSession, final bool, err error) {
	sessions, queues := tx.Bucket(sessionBucket), tx.Bucket(queueBucket)
	if sessions == nil || queues == nil {
		return nil, false, nil
	}
	now, synchronised := wall.Now()
	var found savedSessions
	var bad []error
	each := func(take func(key, row []byte, now time.Time, synchronised bool) error) func(key, row []byte) error {
		return func(key, row []byte) error {
			if err := take(key, row, now, synchronised); err != nil && len(bad) < 3 {
				bad = append(bad, &damage{what: fmt.Errorf("session row: %w", err)})
			}
			return nil
		}
	}
	err = errors.Join(sessions.ForEach(each(found.session)), queues.ForEach(each(found.delivery)))
	last := sessions.Get(finalKey)
	final = len(last) == 8 && binary.LittleEndian.Uint64(last) == uint64(tx.ID())
	return found.list(), final, errors.Join(append(bad, err)...)
}
