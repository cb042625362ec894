package edge

import (
	"fmt"
	"strings"
	"testing"
)

func TestHashes(t *testing.T) {
	generated, fast := GeneratePassword()
	for _, c := range []struct{ what, password, hash string }{
		{"full cost", "correct horse", HashPassword([]byte("correct horse"))},
		{"empty", "", cheapHash("")},
		{"long", strings.Repeat("x", 65535), cheapHash(strings.Repeat("x", 65535))},
		{"generated", generated, fast},
		// Written by the reference implementation: echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1 -l 32
		{"another program's", "password", "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"},
		// Written by libxcrypt.
		{"bcrypt", "password", "$2b$05$CCCCCCCCCCCCCCCCCCCCC.aDV7CQarKHMuNfh2oJkFzsHZya4whFe"},
		{"bcrypt as Apache marks it", "pässword", "$2y$06$CCCCCCCCCCCCCCCCCCCCC.qfU9IhG/uGXS6NNr2kcaioRxwFs.CVm"},
	} {
		h, err := parseHash(c.hash)
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		if !h.verify([]byte(c.password)) {
			t.Errorf("%s: the password does not fit its hash", c.what)
		}
		if h.verify([]byte(c.password + "x")) {
			t.Errorf("%s: another password fits the hash", c.what)
		}
	}
	if other, _ := GeneratePassword(); len(generated) != 32 || other == generated {
		t.Errorf("generated: got %q and %q", generated, other)
	}
}

func TestBadHashes(t *testing.T) {
	good := cheapHash("pw")
	for _, text := range []string{
		"", "secret", "$", "$argon2id$", good[:len(good)-2], good + "=", good + "$", strings.Replace(good, "argon2id", "argon2i", 1),
		strings.Replace(good, "v=19", "v=16", 1), strings.Replace(good, "m=8", "m=0", 1), strings.Replace(good, "m=8", "m=99999999", 1),
		strings.Replace(good, "t=1", "t=65", 1), strings.Replace(good, "p=1", "p=9", 1), strings.Replace(good, "t=1,", "", 1),
		strings.Replace(good, "m=8", "m=-8", 1), strings.Replace(good, "m=8,t=1", "m=131072,t=3", 1), strings.Replace(good, "m=8", "m=4194304", 1),
		"$2b$14$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "$2b$03$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
		"$2b$05$CCCC", "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOe\n", "$2b$31$",
		"$tg-fast$", "$tg-fast$c2FsdHNhbHQ$c2hvcnQ", "$tg-fast$c2FsdHNhbHQ",
	} {
		h, err := parseHash(text)
		if err == nil {
			t.Errorf("%q: got %+v, want an error", text, h)
		} else if len(text) > 20 && strings.Contains(err.Error(), text) {
			t.Errorf("%q: the error shows the hash: %v", text, err)
		}
	}
}

func FuzzParseHash(f *testing.F) {
	f.Add(cheapHash("pw"))
	_, fast := GeneratePassword()
	f.Add(fast)
	f.Add("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parseHash(text)
		if err == nil && !h.fast && !h.bcrypt && (h.memory == 0 || h.memory > maxArgonMemory || h.passes == 0 || h.lanes == 0) {
			t.Errorf("%q: got cost m=%d,t=%d,p=%d", text, h.memory, h.passes, h.lanes)
		}
	})
}

func TestMemoryOfVerifiedPasswordsIsBounded(t *testing.T) {
	v := newVerifier()
	h := &passwordHash{text: "x"}
	for i := range maxVerified + 100 {
		v.remember(v.mark("u", h, fmt.Append(nil, i)), i%2 == 0)
		v.remember(v.mark("v", h, fmt.Append(nil, i)), true)
		v.remember(v.mark("w", h, fmt.Append(nil, i)), false)
	}
	if got := len(v.good); got != maxVerified {
		t.Errorf("good: got %d, want %d", got, maxVerified)
	}
	if got := len(v.bad); got != maxVerified {
		t.Errorf("bad: got %d, want %d", got, maxVerified)
	}
	// A hash that was changed is another question.
	v.remember(v.mark("u", h, []byte("pw")), true)
	if ok, known := v.recall(v.mark("u", &passwordHash{text: "y"}, []byte("pw"))); ok || known {
		t.Error("a changed hash was answered from memory")
	}
}

func BenchmarkFullCostHash(b *testing.B) {
	for b.Loop() {
		HashPassword([]byte("correct horse"))
	}
}
