package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

func printCompletion(env environment, args []string) int {
	write := map[string]func([]choice) string{"bash": completeBash, "zsh": completeZsh, "fish": completeFish}
	if len(args) != 1 || write[args[0]] == nil {
		return misused(env, "completion takes one of bash, fish and zsh")
	}
	fmt.Fprint(env.out, write[args[0]](choices()))
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

// Where no word of ours may follow, each shell offers files.

func completeBash(all []choice) string {
	var b strings.Builder
	b.WriteString("# bash completion for tidegate\n_tidegate() {\n\tlocal next=\n\tcase \"${COMP_WORDS[*]:1:COMP_CWORD-1}\" in\n")
	for _, c := range all {
		var texts []string
		for _, w := range c.next {
			texts = append(texts, w.text)
		}
		fmt.Fprintf(&b, "\t%s) next=%s ;;\n", quoteShell(c.after), quoteShell(strings.Join(texts, " ")))
	}
	b.WriteString("\tesac\n\tmapfile -t COMPREPLY < <(compgen -W \"$next\" -- \"${COMP_WORDS[COMP_CWORD]}\")\n}\n" +
		"complete -o bashdefault -o default -F _tidegate tidegate\n")
	return b.String()
}

func completeZsh(all []choice) string {
	var b strings.Builder
	b.WriteString("#compdef tidegate\nlocal -a next\ncase \"${words[2,CURRENT-1]}\" in\n")
	for _, c := range all {
		fmt.Fprintf(&b, "%s) next=(\n", quoteShell(c.after))
		for _, w := range c.next {
			fmt.Fprintf(&b, "\t%s\n", quoteShell(w.text+":"+strings.ReplaceAll(w.about, ":", `\:`)))
		}
		b.WriteString(") ;;\n")
	}
	b.WriteString("esac\n((${#next})) && _describe command next || _files\n")
	return b.String()
}

func completeFish(all []choice) string {
	var b strings.Builder
	b.WriteString("# fish completion for tidegate\nfunction __tidegate_after\n\tset -l line (commandline -opc)\n\ttest \"$line[2..]\" = \"$argv\"\nend\n")
	for _, c := range all {
		for _, w := range c.next {
			fmt.Fprintf(&b, "complete -c tidegate -f -n %s -a %s -d %s\n", quoteShell("__tidegate_after "+c.after), w.text, quoteShell(w.about))
		}
	}
	return b.String()
}

func quoteShell(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
