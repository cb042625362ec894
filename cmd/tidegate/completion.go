package main

import (
	"cmp"
	"flag"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

func printCompletion(env environment, args []string) int {
	f := newFlags(env, "completion")
	if code, ok := f.parse(args, 1, 1); !ok {
		return code
	}
	write := map[string]func([]choice, []command) string{"bash": completeBash, "zsh": completeZsh, "fish": completeFish}[f.Arg(0)]
	if write == nil {
		return f.misused("there is completion for bash, fish and zsh")
	}
	// The longest first: what begins like "update status" is no "update".
	known := slices.SortedStableFunc(slices.Values(env.commands), func(a, b command) int { return cmp.Compare(strings.Count(b.name, " "), strings.Count(a.name, " ")) })
	fmt.Fprint(env.out, write(choices(), known))
	return exitOK
}

// choice is what may follow some words of a command line: "list", "retry" and
// "drop" follow "spool dead".
type choice struct {
	after string
	next  []word
}

type word struct {
	text, about string // about: "" for a word that is no command by itself
}

// usageLine has the words of a command, its arguments, and what it does.
var usageLine = regexp.MustCompile(`(?m)^  tidegate ([a-z]+(?: [a-z]+)*)(?:((?: (?:\[[^\]]+\]|[A-Z]\S*))+) +| {2,})(.+)$`)

// choices come from the usage, in its order.
func choices() []choice {
	var all []choice
	for _, line := range usageLine.FindAllStringSubmatch(usage, -1) {
		words := strings.Fields(line[1])
		for i, text := range words {
			after := strings.Join(words[:i], " ")
			at := slices.IndexFunc(all, func(c choice) bool { return c.after == after })
			if at < 0 {
				at, all = len(all), append(all, choice{after: after})
			}
			about := ""
			if i == len(words)-1 {
				about = line[3]
			}
			if !slices.ContainsFunc(all[at].next, func(w word) bool { return w.text == text }) {
				all[at].next = append(all[at].next, word{text, about})
			}
		}
	}
	return all
}

// about says in short what a flag does.
func about(f *flag.Flag) string {
	_, text := flag.UnquoteUsage(f)
	short, _, _ := strings.Cut(text, ";")
	return short
}

// takesValue says whether a flag is followed by one.
func takesValue(f *flag.Flag) bool {
	b, ok := f.Value.(interface{ IsBoolFlag() bool })
	return !ok || !b.IsBoolFlag()
}

// Where no word of ours may follow, and behind a flag that takes a value, each
// shell offers files. A word that begins with "-" is a flag of the command.

func completeBash(all []choice, known []command) string {
	var b strings.Builder
	b.WriteString("# bash completion for tidegate\n_tidegate() {\n\tlocal next= line=\"${COMP_WORDS[*]:1:COMP_CWORD-1}\"\n\tcase \"$line\" in\n")
	for _, c := range all {
		var texts []string
		for _, w := range c.next {
			texts = append(texts, w.text)
		}
		fmt.Fprintf(&b, "\t%s) next=%s ;;\n", quoteShell(c.after), quoteShell(strings.Join(texts, " ")))
	}
	b.WriteString("\tesac\n\t[[ ${COMP_WORDS[COMP_CWORD]} == -* ]] && case \"$line \" in\n")
	for _, c := range known {
		var texts []string
		for _, f := range flagsOf(c) {
			texts = append(texts, "-"+f.Name)
		}
		fmt.Fprintf(&b, "\t%s*) next=%s ;;\n", quoteShell(c.name+" "), quoteShell(strings.Join(texts, " ")))
	}
	b.WriteString("\tesac\n\tmapfile -t COMPREPLY < <(compgen -W \"$next\" -- \"${COMP_WORDS[COMP_CWORD]}\")\n}\n" +
		"complete -o bashdefault -o default -F _tidegate tidegate\n")
	return b.String()
}

func completeZsh(all []choice, known []command) string {
	var b strings.Builder
	list := func(pattern, name string, words []word) {
		fmt.Fprintf(&b, "\t%s) %s=(\n", pattern, name)
		for _, w := range words {
			fmt.Fprintf(&b, "\t\t%s\n", quoteShell(w.text+":"+strings.ReplaceAll(w.about, ":", `\:`)))
		}
		b.WriteString("\t) ;;\n")
	}
	b.WriteString("#compdef tidegate\nlocal -a next flags\nlocal line=\"${words[2,CURRENT-1]}\"\ncase \"$line\" in\n")
	for _, c := range all {
		list(quoteShell(c.after), "next", c.next)
	}
	b.WriteString("esac\n[[ $PREFIX == -* ]] && case \"$line \" in\n")
	for _, c := range known {
		var words []word
		for _, f := range flagsOf(c) {
			words = append(words, word{"-" + f.Name, about(f)})
		}
		list(quoteShell(c.name+" ")+"*", "flags", words)
	}
	b.WriteString("esac\nif ((${#flags})); then _describe -o flag flags; elif ((${#next})); then _describe command next; else _files; fi\n")
	return b.String()
}

func completeFish(all []choice, known []command) string {
	var b strings.Builder
	b.WriteString("# fish completion for tidegate\nfunction __tidegate_after\n\tset -l line (commandline -opc)\n\ttest \"$line[2..]\" = \"$argv\"\nend\n" +
		"function __tidegate_in\n\tset -l line (commandline -opc)\n\tfor n in 3 2 1\n\t\tif contains -- \"$line[2..$(math $n + 1)]\"")
	for _, c := range known {
		fmt.Fprintf(&b, " %s", quoteShell(c.name))
	}
	b.WriteString("\n\t\t\ttest \"$line[2..$(math $n + 1)]\" = \"$argv\"\n\t\t\treturn\n\t\tend\n\tend\n\treturn 1\nend\n")
	for _, c := range all {
		for _, w := range c.next {
			fmt.Fprintf(&b, "complete -c tidegate -f -n %s -a %s -d %s\n", quoteShell("__tidegate_after "+c.after), w.text, quoteShell(w.about))
		}
	}
	for _, c := range known {
		for _, f := range flagsOf(c) {
			value := ""
			if takesValue(f) {
				value = " -rF"
			}
			fmt.Fprintf(&b, "complete -c tidegate -n %s -o %s%s -d %s\n", quoteShell("__tidegate_in "+c.name), f.Name, value, quoteShell(about(f)))
		}
	}
	return b.String()
}

func quoteShell(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
