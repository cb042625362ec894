package edge

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// What a new argon2id hash costs: OWASP's smallest recommendation, because a
// Pi Zero has one slow core and 512 MB.
const (
	argonMemory = 19 << 10 // KiB
	argonTime   = 2        // passes
	argonLanes  = 1
	saltBytes   = 16
	sumBytes    = 32
)

// Limits on what a hash in a users file may ask for; a larger one would let a
// typing mistake take the Pi's memory, or the time of everybody who waits for
// this log-in to be checked. What RFC 9106 gives for little memory (64 MiB, three
// passes) is within them. A Pi Zero 2 takes some seconds for the most.
const (
	maxArgonMemory = 128 << 10 // KiB
	maxArgonTime   = 64
	maxArgonLanes  = 8
	maxArgonWork   = 256 << 10 // KiB times passes
	maxBcryptCost  = 13
)

const fastPrefix = "$tg-fast$"

// bcryptHash is what bcrypt hashes look like: 22 letters of salt, 31 of hash.
var bcryptHash = regexp.MustCompile(`^\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}$`)

var b64 = base64.RawStdEncoding

// HashPassword returns the argon2id hash of a password a person chose, in the
// PHC string format: $argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>.
func HashPassword(password []byte) string {
	return argonHash(password, argonMemory, argonTime, argonLanes)
}

func argonHash(password []byte, memory, passes uint32, lanes uint8) string {
	salt := randomBytes(saltBytes)
	sum := argon2.IDKey(password, salt, passes, memory, lanes, sumBytes)
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, memory, passes, lanes,
		b64.EncodeToString(salt), b64.EncodeToString(sum))
}

// GeneratePassword returns a random password of 160 bits, in 32 letters and
// digits, and its fast hash: $tg-fast$<salt>$<HMAC-SHA-256 with the salt as key>.
//
// The fast form costs microseconds where argon2id costs a Pi Zero about a
// second. It is as safe only because nobody can guess 160 random bits: never
// use it for a password that a person chose.
func GeneratePassword() (password, hash string) {
	password = rand.Text() + rand.Text()[:6]
	return password, fastHash(password)
}

// typed are what a person tells apart on paper and types on a telephone: no l like
// 1, no o like 0. There are 32.
const typed = "abcdefghijkmnpqrstuvwxyz23456789"

// typedPassword returns a random password of 100 bits that can be typed into a
// device, such as k7mq-2xvt-9hdp-4rwn-bu3e, and its fast hash. All of the world's
// machines for finding SHA-256 sums, together, would take decades to guess it.
func typedPassword() (password, hash string) {
	var b strings.Builder
	for i, r := range randomBytes(20) {
		if i > 0 && i%4 == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(typed[r%32])
	}
	return b.String(), fastHash(b.String())
}

func fastHash(password string) string {
	salt := randomBytes(saltBytes)
	return fastPrefix + b64.EncodeToString(salt) + "$" + b64.EncodeToString(fastSum(salt, []byte(password)))
}

func fastSum(salt, password []byte) []byte {
	mac := hmac.New(sha256.New, salt)
	mac.Write(password)
	return mac.Sum(nil)
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails (crypto/rand)
	return b
}

// passwordHash is one parsed hash of a users file.
type passwordHash struct {
	text   string
	fast   bool
	bcrypt bool   // text says all
	memory uint32 // KiB
	passes uint32
	lanes  uint8
	salt   []byte
	sum    []byte
}

var errHashForm = errors.New("must be an argon2id hash ($argon2id$v=19$m=...,t=...,p=...$salt$hash), a bcrypt one ($2b$10$...) or a fast one ($tg-fast$salt$hash); make one with: tidegate passwd")

// parseHash reads what HashPassword and GeneratePassword write, argon2id hashes of
// other programs in the same format, and bcrypt hashes, which end a password
// after 72 bytes. Its errors never show the hash.
func parseHash(text string) (*passwordHash, error) {
	h := &passwordHash{text: text}
	if rest, ok := strings.CutPrefix(text, fastPrefix); ok {
		h.fast = true
		return h, h.decode(strings.Split(rest, "$"))
	}
	if m := bcryptHash.FindStringSubmatch(text); m != nil {
		h.bcrypt = true
		if cost, _ := strconv.Atoi(m[1]); cost < bcrypt.MinCost || cost > maxBcryptCost {
			return nil, fmt.Errorf("bcrypt cost must be %d to %d, or each login would take the gateway's time", bcrypt.MinCost, maxBcryptCost)
		}
		return h, nil
	}
	part := strings.Split(text, "$")
	if len(part) != 6 || part[0] != "" || part[1] != "argon2id" || part[2] != "v=19" {
		return nil, errHashForm
	}
	if err := h.cost(part[3]); err != nil {
		return nil, err
	}
	return h, h.decode(part[4:])
}

func (h *passwordHash) cost(text string) error {
	var n [3]uint64
	field := strings.Split(text, ",")
	if len(field) != len(n) {
		return errHashForm
	}
	for i, name := range []string{"m=", "t=", "p="} {
		digits, ok := strings.CutPrefix(field[i], name)
		v, err := strconv.ParseUint(digits, 10, 32)
		if !ok || err != nil || v == 0 {
			return errHashForm
		}
		n[i] = v
	}
	if n[0] > maxArgonMemory || n[1] > maxArgonTime || n[2] > maxArgonLanes || n[0]*n[1] > maxArgonWork {
		return fmt.Errorf("argon2id cost must be at most m=%d,t=%d,p=%d, and m times t at most %d, or logins would take the gateway's memory and time", maxArgonMemory, maxArgonTime, maxArgonLanes, maxArgonWork)
	}
	h.memory, h.passes, h.lanes = uint32(n[0]), uint32(n[1]), uint8(n[2])
	return nil
}

func (h *passwordHash) decode(part []string) error {
	if len(part) != 2 {
		return errHashForm
	}
	var err1, err2 error
	h.salt, err1 = b64.Strict().DecodeString(part[0])
	h.sum, err2 = b64.Strict().DecodeString(part[1])
	if err1 != nil || err2 != nil || len(h.salt) < 8 || len(h.sum) < 16 || len(h.sum) > 64 || h.fast && len(h.sum) != sha256.Size {
		return errHashForm
	}
	return nil
}

func (h *passwordHash) verify(password []byte) bool {
	if h.fast {
		return subtle.ConstantTimeCompare(fastSum(h.salt, password), h.sum) == 1
	}
	if h.bcrypt {
		return bcrypt.CompareHashAndPassword([]byte(h.text), password) == nil
	}
	sum := argon2.IDKey(password, h.salt, h.passes, h.memory, h.lanes, uint32(len(h.sum)))
	return subtle.ConstantTimeCompare(sum, h.sum) == 1
}

// verifier checks passwords so that 500 devices returning at once do not take
// a small Pi down: one argon2id or bcrypt at a time, and what was once computed is
// remembered, in RAM only, as a MAC under a key that dies with the process.
type verifier struct {
	guesses guesses

	key  []byte
	turn chan struct{} // holds one token: whose turn it is to compute

	mu       sync.Mutex // guards what follows
	computed int        // argon2id and bcrypt sums so far
	good     map[[sha256.Size]byte]struct{}
	bad      map[[sha256.Size]byte]struct{} // apart, so that guessing does not push out good ones
}

// maxVerified bounds each of the two sets; a full one forgets any entry. It is
// more than the default of connections, and 0.5 MB.
const maxVerified = 8192

func newVerifier() *verifier {
	return &verifier{key: randomBytes(sha256.Size), turn: make(chan struct{}, 1),
		good: map[[sha256.Size]byte]struct{}{}, bad: map[[sha256.Size]byte]struct{}{}}
}

// knows says that password belongs to hash, if that is known or quickly found out.
func (v *verifier) knows(user string, hash *passwordHash, password []byte) bool {
	if hash.fast {
		return hash.verify(password)
	}
	ok, _ := v.recall(v.mark(user, hash, password))
	return ok
}

// check says whether password belongs to hash. It waits its turn for as long
// as ctx allows and returns ctx's error when that was too short.
func (v *verifier) check(ctx context.Context, user string, hash *passwordHash, password []byte) (bool, error) {
	if hash.fast {
		return hash.verify(password), nil
	}
	mark := v.mark(user, hash, password)
	if ok, known := v.recall(mark); known {
		return ok, nil
	}
	select {
	case v.turn <- struct{}{}:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	defer func() { <-v.turn }()
	// Another connection with the same name and password may have just had
	// its turn.
	if ok, known := v.recall(mark); known {
		return ok, nil
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	ok := hash.verify(password)
	v.remember(mark, ok)
	return ok, nil
}

// mark binds all that decides the outcome, so that a changed hash is never
// answered from memory.
func (v *verifier) mark(user string, hash *passwordHash, password []byte) (sum [sha256.Size]byte) {
	mac := hmac.New(sha256.New, v.key)
	var size [4]byte
	for _, part := range [][]byte{[]byte(user), []byte(hash.text), password} {
		binary.LittleEndian.PutUint32(size[:], uint32(len(part)))
		mac.Write(size[:])
		mac.Write(part)
	}
	mac.Sum(sum[:0])
	return sum
}

func (v *verifier) recall(mark [sha256.Size]byte) (ok, known bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, good := v.good[mark]; good {
		return true, true
	}
	_, bad := v.bad[mark]
	return false, bad
}

func (v *verifier) remember(mark [sha256.Size]byte, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.computed++
	set := v.bad
	if ok {
		set = v.good
	}
	if len(set) >= maxVerified {
		for any := range set {
			delete(set, any)
			break
		}
	}
	set[mark] = struct{}{}
}

// pick chooses one of n from a name, always the same one in this process.
func (v *verifier) pick(name string, n int) int {
	mac := hmac.New(sha256.New, v.key)
	mac.Write([]byte(name))
	return int(binary.LittleEndian.Uint64(mac.Sum(nil)) % uint64(n))
}
