# Of the log of `go test -v` it leaves what belongs to no test that passed in a
# package that passed, and ends with the names of what failed.

/^=== (RUN|NAME|CONT|PAUSE)/ { test = $3; next }
/^ *--- (PASS|SKIP): / { passed[$3] = 1; next }
/^ok  |^\?  / { forget(); next }
/^ *--- FAIL: / { failed = failed "\n" $3; add($3, $0); next }
/^FAIL\t/ { tell($0); forget(); next }
{ add(test, $0) }
END { tell(""); if (failed != "") print "\nfailed:" failed }

function add(name, line) { lines++; of[lines] = name; text[lines] = line }
function forget() { split("", passed); split("", of); split("", text); lines = 0; test = "" }
function tell(end, i) {
	for (i = 1; i <= lines; i++) if (!(of[i] in passed)) print text[i]
	print end
}
