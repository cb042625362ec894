package provision

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// machineID is what machine-id(5) takes; the initrd looks for the same.
var machineID = regexp.MustCompile(`^[0-9a-f]{32}$`)

// identity makes what this gateway is known by, once: its id, the machine's, and
// the authority of its certificates. Each file is made only when it is missing,
// so that a cut in between goes on where it was.
func (r *run) identity() {
	const damaged = "replace the card, and put your files on the new one"
	id := strings.TrimSpace(r.readData("identity/id"))
	if !hostOK(id) {
		id = newID()
		if err := r.disk.write(r.data("identity/id"), []byte(id+"\n"), r.public()); err != nil {
			r.fail(Finding{File: "identity", What: err.Error(), Do: damaged, Code: codeData})
		} else {
			r.done("Made the identity of this gateway: %s.", id)
		}
	}
	r.out.ID, r.out.Host = id, id
	if machine := strings.TrimSpace(r.readData("identity/machine-id")); !machineID.MatchString(machine) {
		b := make([]byte, 16)
		rand.Read(b)
		b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // a version 4 UUID, as machine-id(5) wants
		if err := r.disk.write(r.data("identity/machine-id"), []byte(hex.EncodeToString(b)+"\n"), r.public()); err != nil {
			r.fail(Finding{File: "identity", What: err.Error(), Do: damaged, Code: codeData})
		}
	}
	if err := r.authority(); err != nil {
		r.fail(Finding{File: "identity", What: err.Error(), Do: damaged, Code: codeData})
	}
}

// authority makes the key first: one without a certificate is made use of.
func (r *run) authority() error {
	cert, key := []byte(r.readData("identity/ca.pem")), []byte(r.readData("identity/ca.key"))
	if ca, ok := parsePair(cert, key); ok {
		r.ca = ca
		return nil
	}
	private, err := newKey()
	if err != nil {
		return err
	}
	ca, err := newAuthority(private, r.out.ID)
	if err != nil {
		return err
	}
	text, err := keyPEM(private)
	if err != nil {
		return err
	}
	if err := r.disk.write(r.data("identity/ca.key"), text, r.root()); err != nil {
		return err
	}
	if err := r.disk.write(r.data("identity/ca.pem"), ca.certPEM(), r.public()); err != nil {
		return err
	}
	r.ca = ca
	r.done("Made an authority that signs the certificate of this gateway.")
	return nil
}

// server keeps the certificate of the gateway's own listeners. The key stays the
// same: then a new certificate is one file, and never the wrong one for its key.
func (r *run) server() error {
	if r.ca.cert == nil {
		return nil
	}
	keyText := []byte(r.readData("identity/server.key"))
	now, names := r.opt.Now(), serverNames(r.out.Host)
	have, ok := parsePair([]byte(r.readData("identity/server.pem")), keyText)
	why := renewal(have.cert, r.ca.cert, names, now, r.opt.Synced())
	if why == "" {
		return nil
	}
	if !ok {
		if have.key = serverKey(keyText); have.key == nil {
			key, err := newKey()
			if err != nil {
				return err
			}
			have.key = key
			text, err := keyPEM(key)
			if err != nil {
				return err
			}
			if err := r.disk.write(r.data("identity/server.key"), text, r.secret()); err != nil {
				return err
			}
		}
	}
	made, err := newServer(r.ca, have.key, names, now, r.opt.Synced())
	if err != nil {
		return err
	}
	text := append(made.certPEM(), r.ca.certPEM()...)
	if err := r.disk.write(r.data("identity/server.pem"), text, r.secret()); err != nil {
		return err
	}
	r.done("Made a TLS certificate for %s (%s).", strings.Join(names, ", "), why)
	return nil
}

// host gives the gateway its name: that of hostname.txt, else its id.
func (r *run) host() {
	kept := r.data("system/hostname")
	if text, e, ok := r.text(hostFile, codeOther); ok {
		name, found := parseHost(text)
		r.fail(named(found, e.name)...)
		if name != "" && name != strings.TrimSpace(r.readData("system/hostname")) {
			if err := r.disk.write(kept, []byte(name+"\n"), r.public()); err != nil {
				r.fail(r.cannotKeep(e.name, err))
			} else {
				r.done("%s: this gateway is called %s.", e.name, name)
			}
			r.out.Host = name
		}
	}
	if name := strings.TrimSpace(r.readData("system/hostname")); hostOK(name) {
		r.out.Host = name
	}
	if r.opt.SetHostname == nil {
		return
	}
	if err := r.opt.SetHostname(r.out.Host); err != nil {
		r.fail(Finding{What: fmt.Sprintf("the host name %s could not be set: %v", r.out.Host, err), Code: codeOther})
	}
}

func (r *run) readData(name string) string {
	text, err := os.ReadFile(r.data(name))
	if err != nil {
		return ""
	}
	return string(text)
}

func (r *run) data(name string) string { return filepath.Join(r.opt.Data, name) }

// named puts the name that the user's file really has into findings.
func named(found []Finding, name string) []Finding {
	for i := range found {
		found[i].File = name
	}
	return found
}

// certificate makes what the default configuration's TLS listener shows.
func (r *run) certificate() {
	if err := r.server(); err != nil {
		r.fail(r.cannotKeep("certificate", err))
	}
	if r.ca.cert == nil {
		return
	}
	r.out.CA = fingerprint(r.ca.cert)
	if text := r.ca.certPEM(); r.bootBad == "" && len(r.boot.all) > 0 && !bytes.Equal(readFile(filepath.Join(r.opt.Boot, authority)), text) {
		if err := r.disk.write(filepath.Join(r.opt.Boot, authority), text, owner{}); err != nil {
			r.fail(Finding{File: authority, What: "could not be written: " + plain(err), Code: codeBoot})
		}
	}
}
