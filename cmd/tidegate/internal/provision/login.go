package provision

import "fmt"

// ssh lets in who has a key in authorized_keys, and nobody without that file. A
// boot partition that cannot be read changes nothing.
func (r *run) ssh() {
	kept := r.data("system/ssh/" + keysFile)
	text, e, ok := r.text(keysFile, codeOther)
	if !ok {
		if len(r.boot.find(keysFile)) == 0 && r.bootBad == "" && len(r.boot.all) > 0 && exists(kept) {
			if err := r.disk.remove(kept); err != nil {
				r.fail(r.cannotKeep(keysFile, err))
			}
			r.done("SSH is off: there is no authorized_keys any more.")
		}
		r.sshState(kept)
		return
	}
	good, n, found := parseKeys(text)
	r.fail(named(found, e.name)...)
	if n == 0 && len(found) == 0 {
		r.fail(Finding{File: e.name, What: "has no key in it", Do: "copy the line of your id_ed25519.pub there; SSH is off"})
		if err := r.disk.remove(kept); err != nil {
			r.fail(r.cannotKeep(e.name, err))
		}
	}
	if n > 0 {
		if err := r.allow(kept, good); err != nil {
			r.fail(r.cannotKeep(e.name, err))
		} else {
			keys := fmt.Sprint(n, " keys")
			if n == 1 {
				keys = "one key"
			}
			r.done("%s: SSH is on, for %s; log in as root.", e.name, keys)
		}
	}
	r.sshState(kept)
}

func (r *run) allow(kept, keys string) error {
	host := r.data("identity/ssh_host_ed25519_key")
	if hostFingerprint(readFile(host)) == "" { // none, or damaged: sshd would not start
		key, err := newHostKey()
		if err == nil {
			err = r.disk.write(host, key, r.root())
		}
		if err != nil {
			return err
		}
	}
	if string(readFile(kept)) == keys {
		return nil
	}
	return r.disk.write(kept, []byte(keys), r.root())
}

func (r *run) sshState(kept string) {
	if len(readFile(kept)) > 0 {
		r.out.SSH = hostFingerprint(readFile(r.data("identity/ssh_host_ed25519_key")))
	}
}
