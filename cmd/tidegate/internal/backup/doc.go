// Package backup keeps the configuration and the identity of a gateway in one
// file, from which another card becomes the same gateway.
//
//	/data/config    tidegate.toml, secrets      --Write--> tidegate-backup: tar, gzip,
//	/data/identity  id, CA, keys, passwords     <--Open---   and age where there is a
//	/data/system    Wi-Fi, host name, SSH key                passphrase
//	/data/tidegate  the users that people added
//
// On a machine without /data (the Debian package) it is /etc/tidegate, and of the
// data directory the users: users.toml, and the console's administrator.
// Messages, meters and what waits for the cloud are not in it: a copy of them
// would be old when it is needed. Of the boot epochs the restored gateway skips
// what the other may have used (epoch-floor), so that no id of a message comes
// twice.
//
// # The file
//
// A gzip'ed tar whose first entry, tidegate-backup.json, is a Manifest; the
// others are config/..., identity/..., system/... and state/..., files and folders
// only, with their modes and the names of their owners. With a passphrase all that is
// the payload of an age file (age-encryption.org/v1, scrypt), which `age -d`
// opens too. Without one the file has secrets in plain: whoever has it is the
// gateway.
//
// # Promises
//
// Nothing is written before all is read and checked: the version, every name
// and size, the check sum (of gzip; of age an authentication), and the
// configuration, by the rules of `tidegate check`. A file of a newer version is
// refused. A file from an enemy can at worst be refused: names cannot leave
// their folder, there are no links, and sizes and numbers are bounded.
//
// Restoring is all or nothing, at any power cut: everything is first on disk in
// a folder of its own (tidegate-restore.ready), and is copied from there; what a power
// cut interrupts, Finish does at the next start.
//
// Files that a backup lacks stay: restoring replaces, it does not tidy up.
package backup
