#!/bin/bash
# run: `mtrace run` must not be noticed by its command: stdio, statuses, signals both ways, job control, descriptors,
# environment; exec chains, commands that cannot be run, pid 1, and what becomes of a run that is itself killed.
. "$(dirname "$0")/../lib/suite.sh"
export MTRACE_OPTIONS="dir=$segments"
run() { bounded 60 "$mtrace" run -q -f -o "$work/rec.mtr" "$@"; }
# wait_for FILE: until it is there and not empty, 10 s at most
wait_for() { within 10 test -s "$1"; }
# plainly CMD…: with default signal dispositions (what bash starts in the background ignores SIGINT and SIGQUIT)
plainly() { exec env --default-signal=INT,QUIT "$@"; }

# ---- stdio ----
head -c 3000000 /dev/urandom >"$work/bytes"
run -- cat <"$work/bytes" >"$work/bytes.out"
cmp -s "$work/bytes" "$work/bytes.out" && pass "binary stdin and stdout" || fail "binary stdin and stdout"
expect "stderr" "to stderr" "$(run -- sh -c 'echo to stderr >&2' 2>&1 >/dev/null)"
expect "a pipe closes when the command closes it" closed \
	"$(run -- sh -c 'echo x; exec >&-; sleep 1; echo late >&2' 2>/dev/null | (cat >/dev/null; echo closed))"
(yes; echo "yes ended" >"$work/yes") 2>/dev/null | run -- head -1 >/dev/null
wait_for "$work/yes" && pass "a reader's end reaches the writer" || fail "a reader's end reaches the writer"
run -- sh -c 'test ! -e /proc/self/fd/0 && test ! -e /proc/self/fd/1' <&- >&- 2>/dev/null
expect "stdin and stdout may be closed" 0 $?
run -- sh -c 'exit 3' 2>&-
expect "stderr may be closed" 3 $?

# ---- statuses ----
bad=
for status in $(seq 0 15) 63 64 100 $(seq 124 130) 137 200 254 255; do
	run -- sh -c "exit $status" || :
	got=$?
	run -- sh -c "exit $status"
	got=$?
	[ "$got" = "$status" ] || bad="$bad $status:$got"
done
expect "exit statuses" "" "$bad"
bad=
for signal in 1 2 3 6 9 10 11 12 13 14 15 31 34 64; do
	run -- env --default-signal sh -c "ulimit -c 0; kill -$signal \$\$; sleep 1" 2>/dev/null
	got=$?
	[ "$got" = $((128 + signal)) ] || bad="$bad $signal:$got"
done
expect "128+N for every signal" "" "$bad"

# ---- who the command is ----
ln -s "$(command -v cat)" "$work/as-typed"
expect "argv[0] is as typed" "as-typed /proc/self/cmdline " "$(PATH=$work:$PATH; run -- as-typed /proc/self/cmdline | tr '\0' ' ')"
expect "working directory" /usr "$(cd /usr && run -- pwd)"
expect "umask, limits, nice" "$(umask 027; ulimit -n 77; nice -n 3 sh -c 'umask; ulimit -n; nice')" \
	"$(umask 027; ulimit -n 77; nice -n 3 "$mtrace" run -q -f -o "$work/rec.mtr" -- sh -c 'umask; ulimit -n; nice')"
(export ODD=$'a\nb=c' EMPTY=; env -0 | sort -z | tr '\0' '\n' | grep -v '^_=') >"$work/env.plain"
(export ODD=$'a\nb=c' EMPTY=; run -- env -0 | sort -z | tr '\0' '\n' | grep -Ev '^_=|^LD_PRELOAD=') >"$work/env.run"
sed -i 's/^\(MTRACE_OPTIONS=dir=[^:]*\).*/\1/' "$work/env.run"
cmp -s "$work/env.plain" "$work/env.run" && pass "environment" || fail "environment" "$(diff "$work/env.plain" "$work/env.run" | head -5)"
# ---- the user's own preload is the command's alone ----
printf 'int users_own_library;\n' >"$work/user.c"
gcc -shared -fPIC "$work/user.c" -o "$work/user.so"
env -i A=1 LD_PRELOAD="$work/user.so" MALLOC_ARENA_MAX=2 B=2 GLIBC_TUNABLES=glibc.malloc.check=0 PATH="$PATH" \
	MTRACE_OPTIONS="dir=$segments" "$mtrace" run -q -f -o "$work/rec.mtr" -- env >"$work/env.run"
expect "preload, allocator settings and order of the environment" \
	"A=1 LD_PRELOAD=$shim:$work/user.so MALLOC_ARENA_MAX=2 B=2 GLIBC_TUNABLES=glibc.malloc.check=0" \
	"$(head -5 "$work/env.run" | tr '\n' ' ' | sed 's/ $//')"
cat >"$work/who.sh" <<'SCRIPT'
for pid in $PPID $(cat /proc/$PPID/task/$PPID/children); do
	grep -q user.so "/proc/$pid/maps" && with=with || with=without
	echo "$(cat "/proc/$pid/comm"):$with"
done | sort | tr '\n' ' '
tr '\0' ' ' <"/proc/$PPID/cmdline" | sed 's/.* run/run/'
SCRIPT
expect "in none of our own processes, which look as ever" \
	"mtrace-saves:without mtrace-witness:without mtrace:without sh:with run -q -f -o $work/rec.mtr -- sh $work/who.sh " \
	"$(LD_PRELOAD=$work/user.so "$mtrace" run -q -f -o "$work/rec.mtr" -- sh "$work/who.sh")"
LD_PRELOAD=$work/user.so run -- sh -c 'cat >"$0"; exit 9' "$work/bytes.out" <"$work/bytes"
expect "status and stdin with a preload" 9 $?
cmp -s "$work/bytes" "$work/bytes.out" || fail "stdin with a preload"
LD_PRELOAD=$work/user.so "$mtrace" run -- no-such-command-anywhere 2>"$work/err"
expect "no such command, with a preload" 127 $?
ls -l /proc/self/fd | awk 'NR > 1 { print $9 }' | sort >"$work/fd.plain"
run -- ls -l /proc/self/fd | awk 'NR > 1 { print $9 }' | sort >"$work/fd.run"
cmp -s "$work/fd.plain" "$work/fd.run" && pass "no descriptor leaks" || fail "no descriptor leaks" "$(tr '\n' ' ' <"$work/fd.run")"
expect "an inherited descriptor is handed on" inherited "$(run -- sh -c 'cat <&7' 7<<<inherited)"
exec 9>"$work/lock"
flock 9
"$mtrace" run -q -f -o "$work/rec.mtr" -- sh -c 'exec 9>&-; echo >"$0"; sleep 1' "$work/let-go" &
runner=$!
exec 9>&-
wait_for "$work/let-go"
flock -n "$work/lock" true && pass "a lock it lets go is free" || fail "a lock it lets go is free"
wait $runner

python3 - "$mtrace" "$work/rec.mtr" "$work/user.so" >"$work/said" <<'PYTHON'
import os, signal, subprocess, sys
mtrace, rec, user = sys.argv[1:]
def state(prefix, setup, env=None):
    show = prefix + ["grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status"]
    return subprocess.run(show, preexec_fn=setup, capture_output=True, text=True, restore_signals=False, env=env).stdout
def ignoring():
    for s in (signal.SIGCHLD, signal.SIGHUP, signal.SIGPIPE, signal.SIGTTOU): signal.signal(s, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGUSR1, signal.SIGALRM})
def plain():
    for s in (signal.SIGPIPE, signal.SIGXFSZ): signal.signal(s, signal.SIG_DFL)
for name, setup in (("ignoring", ignoring), ("plain", plain)):
    for env in None, dict(os.environ, LD_PRELOAD=user):
        a, b = state([], setup), state([mtrace, "run", "-q", "-f", "-o", rec, "--"], setup, env)
        if a != b or not a: print(f"{name}: untracked {a!r}, run {b!r}")
PYTHON
verdict "signal mask and dispositions" "$work/said"

# ---- signals to mtrace run ----
cat >"$work/trap.sh" <<'SCRIPT'
for s in TERM HUP INT USR1 USR2 WINCH ALRM URG; do trap "echo $s >>'$1.got'; [ $s != TERM ] || ended=1" $s; done
echo ready >"$1.ready"
while [ -z "$ended" ]; do sleep 0.05; done
exit 42
SCRIPT
(plainly setsid "$mtrace" run -q -f -o "$work/rec.mtr" -- bash "$work/trap.sh" "$work/trap") &
runner=$!
wait_for "$work/trap.ready"
# arrived SIGNAL: its handler has run; two that are pending together run in the order of their numbers
arrived() { grep -qx "$1" "$work/trap.got" 2>/dev/null; }
for signal in HUP INT USR1 USR2 WINCH ALRM URG TERM; do kill -$signal $runner; within 10 arrived $signal; done
wait $runner
expect "a handler's exit status after SIGTERM" 42 $?
expect "signals to us alone are passed on, once each" "HUP INT USR1 USR2 WINCH ALRM URG TERM" "$(tr '\n' ' ' <"$work/trap.got" | sed 's/ $//')"
rm -f "$work"/trap.*

cat >"$work/trap.sh" <<'SCRIPT'
for s in HUP INT USR1 TERM; do trap "echo $s >>'$1.got'; [ $s != TERM ] || ended=1" $s; done
echo ready >"$1.ready"
while [ -z "$ended" ]; do read -t 0.05 <>"$1.fifo"; done
exit 43
SCRIPT
mkfifo "$work/trap.fifo"
(plainly setsid "$mtrace" run -q -f -o "$work/rec.mtr" -- bash "$work/trap.sh" "$work/trap") &
runner=$!
wait_for "$work/trap.ready"
for signal in HUP INT USR1 TERM; do kill -$signal -- -$runner; within 10 arrived $signal; sleep 0.1; done
wait $runner
expect "status after a signal to the process group" 43 $?
expect "signals to the process group arrive once" "HUP INT USR1 TERM" "$(tr '\n' ' ' <"$work/trap.got" | sed 's/ $//')"

run -- sh -c 'echo $$ >"$0"; exec sleep 30' "$work/sleeper" &
runner=$!
wait_for "$work/sleeper"
child=$(cat "$work/sleeper")
kill -STOP "$child"; sleep 0.2; kill -CONT "$child"; sleep 0.2; kill -TERM "$child"
wait $runner
expect "a command stopped and continued by others" 143 $?

# ---- job control, on a terminal ----
cat >"$work/terminal.py" <<'PYTHON'
import fcntl, os, pty, select, signal, struct, sys, termios, time
mtrace, rec, work = sys.argv[1:]
def shell():
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.update(PS1="$ ", TERM="dumb", HISTFILE="")
        os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
    return pid, fd
def read_until(fd, word, limit=10):
    seen, end = b"", time.time() + limit
    while word not in seen and time.time() < end:
        if select.select([fd], [], [], 0.1)[0]:
            try: seen += os.read(fd, 65536)
            except OSError: break
    return seen
def say(fd, line): os.write(fd, line.encode() + b"\n")
def complain(text): print(text, flush=True)
def want(name, fd, word, limit=10):
    seen = read_until(fd, word, limit)
    if word not in seen: complain(f"{name}: wanted {word!r}, saw {seen[-300:]!r}")
    return seen
pid, fd = shell()
run = f"{mtrace} run -q -f -o {rec} -- "
read_until(fd, b"$ ")
say(fd, "stty -echo; echo be''gin"); want("shell", fd, b"begin")
say(fd, run + f"sh -c 'echo $$ >{work}/sleeper; exec sleep 50'"); time.sleep(0.7)
os.write(fd, b"\x1a"); want("^Z stops the job", fd, b"Stopped")
say(fd, f"jobs; echo st''at:$(ps -o stat= -p $(cat {work}/sleeper) | cut -c1)"); want("^Z stops the command", fd, b"stat:T")
say(fd, f"bg; sleep 0.3; echo st''at:$(ps -o stat= -p $(cat {work}/sleeper) | cut -c1)"); want("bg", fd, b"stat:S")
say(fd, "fg"); time.sleep(0.4)
os.write(fd, b"\x03"); time.sleep(0.3)
say(fd, "echo ec''ho:$?"); want("^C ends it with 130", fd, b"echo:130")
say(fd, run + "bash -c 'trap \"echo gotint\" INT; echo st\"\"arted; read -t 3 x; echo again:$x'"); want("handler", fd, b"started")
os.write(fd, b"\x03"); want("^C reaches a handler", fd, b"gotint")
time.sleep(0.3); read_until(fd, b"again", 5)
say(fd, "echo do''ne1"); want("after handler", fd, b"done1")
say(fd, run + "bash -c 'read x; echo li\"\"ne:$x' &"); time.sleep(0.6)
say(fd, "jobs; echo jo''bs"); want("a background read stops the job", fd, b"Stopped"); read_until(fd, b"jobs")
say(fd, "fg"); time.sleep(0.4); say(fd, "hello"); want("and reads in the foreground", fd, b"line:hello")
say(fd, run + "bash -c 'trap \"echo si\"\"ze\" WINCH; echo st\"\"arted2; for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.1; done'")
want("winch", fd, b"started2")
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
seen = read_until(fd, b"zzz", 2)
if seen.count(b"size") != 1: complain(f"SIGWINCH once: {seen!r}")
say(fd, run + "bash --norc --noprofile -i"); time.sleep(0.6)
say(fd, "sleep 60"); time.sleep(0.3); os.write(fd, b"\x1a"); want("a shell of its own has jobs", fd, b"Stopped")
say(fd, "kill -KILL %1; while jobs | grep -q Stopped; do sleep 0.05; done; exit 7"); time.sleep(1)
say(fd, "echo ou''ter:$?"); want("and its status comes back", fd, b"outer:7")
say(fd, run + f"sh -c 'echo $$ >{work}/hung; exec sleep 70'"); time.sleep(0.7)
os.close(fd)
time.sleep(1)
try:
    hung = int(open(f"{work}/hung").read())
    os.kill(hung, 9)
    complain("the command survived the terminal's hang-up")
except ProcessLookupError: pass
PYTHON
bounded 120 python3 "$work/terminal.py" "$mtrace" "$work/rec.mtr" "$work" >"$work/said" 2>&1
[ $? != 124 ] || echo "it took more than 120 s" >>"$work/said"
verdict "job control" "$work/said"

# ---- commands that cannot be run, options that are wrong ----
# refused NAME STATUS WORDS ARGS…: that status, and one line on stderr with those words
refused() {
	local name=$1 status=$2 words=$3 got
	shift 3
	bounded 20 "$mtrace" run "$@" >"$work/out" 2>"$work/err"
	got=$?
	[ "$got" = "$status" ] && [ "$(wc -l <"$work/err")" = 1 ] && grep -qF -- "$words" "$work/err" && pass "$name" ||
		fail "$name" "status $got: $(head -3 "$work/err")"
}
printf '#!/no/such/interpreter\n' >"$work/orphan"
printf 'not a program' >"$work/plain"
printf 'echo ran by sh $0\n' >"$work/noshebang"
chmod 755 "$work/orphan" "$work/noshebang"
refused "no such command" 127 "not found" -- no-such-command-anywhere
refused "no such file" 127 "not found" -- /no/such/file
refused "not executable" 126 "cannot be executed" -- "$work/plain"
refused "a directory" 126 "cannot be executed" -- /usr
refused "no interpreter" 127 "interpreter" -- "$work/orphan"
refused "empty name" 127 "not found" -- ""
refused "no command" 125 "no command" -q
refused "sample mode" 125 "not in this version" --mode sample=512k -- true
refused "events for no time" 125 "it must be from 1s to 12h" --events=0s -- true
refused "allocator" 125 "not in this version" --allocator jemalloc -- true
refused "unknown mode" 125 "no such mode" --mode exat -- true
refused "unknown option" 125 "--no-symbols" --no-symbol -- true
refused "unknown shim option" 125 "did you mean depth" --option dept=3 -- true
refused "bad depth" 125 "1 to 256" --depth 0 -- true
refused "bad size" 125 "512m" --memory 1x -- true
refused "value with a colon" 125 "':'" --dir /a:b -- true
touch "$work/there.mtr"
refused "-o that exists" 125 "-f overwrites" -o "$work/there.mtr" -- touch "$work/started"
refused "-o in no directory" 125 "does not exist" -o "$work/no/dir.mtr" -- touch "$work/started"
refused "-o a directory" 125 "is a directory" -o "$work" -- touch "$work/started"
refused "-o to stdout" 125 "needs a file" -o - -- touch "$work/started"
[ ! -e "$work/started" ] && pass "refused before the start" || fail "refused before the start"
expect "a script without #!" "ran by sh $work/noshebang" "$(run -- "$work/noshebang")"
expect "a script found in PATH" "ran by sh $work/noshebang" "$(PATH=$work:$PATH; run -- noshebang)"

# ---- recordings ----
# said_of CMD…: the closing line
mkdir -p "$work/cwd" && cd "$work/cwd"
"$mtrace" run -- ls >/dev/null 2>"$work/err"
[ "$(wc -l <"$work/err")" = 1 ] && grep -Eq 'saved ls\.[0-9]+\.mtr; next: mtrace leaks ls\.[0-9]+\.mtr' "$work/err" &&
	[ "$(ls ls.*.mtr | wc -l)" = 1 ] && pass "default name and one closing line" || fail "default name and one closing line" "$(cat "$work/err")"
expect "mode 0600" 600 "$(stat -c %a ls.*.mtr)"
"$mtrace" report last >"$work/report" 2>&1 && grep -q ls "$work/report" && pass "last points at it" || fail "last points at it" "$(head -3 "$work/report")"
expect "segments that are saved are removed" "" "$(ls "$segments")"

# ---- snapshots ----
# held FILE: what the victim held then
held() { json "$1" "$work/report.json" && query "$work/report.json" '[.processes[0].stacks[] | select(any(.frames[]; .function == "hold")) | .live_bytes] | add'; }
snapshots() { bounded 90 "$mtrace" run "$@" >"$work/out" 2>"$work/err"; }
victim=$victims/victim_snapshot
snapshots -o "$work/shot.mtr" -- "$victim" one "$work/shot.one.mtr" 'a/b "c"' "$work/shot.a_b__c_.mtr" one "$work/shot.one.2.mtr" last
expect "snapshots: status" 0 $?
expect "the state at each mark" "1000 2000 3000 3000" \
	"$(held "$work/shot.one.mtr") $(held "$work/shot.a_b__c_.mtr") $(held "$work/shot.one.2.mtr") $(held "$work/shot.mtr")"
expect "of a process that runs, private" "running 600" \
	"$(json "$work/shot.one.mtr" "$work/report.json"; query "$work/report.json" .processes[0].end.reason) $(stat -c %a "$work/shot.one.mtr")"
expect "nothing on stdout" "went on" "$(cat "$work/out")"
grep -q 'and 3 snapshots; 1 snapshot not saved: asked for too shortly before the end; next' "$work/err" &&
	pass "the closing line counts them" || fail "the closing line counts them" "$(cat "$work/err")"
echo mine >"$work/kept.one.mtr"
snapshots -q -o "$work/kept.mtr" -- "$victim" one "$work/kept.one.2.mtr"
expect "a file of that name is kept" "mine 1000" "$(cat "$work/kept.one.mtr") $(held "$work/kept.one.2.mtr")"
(sleep 3; echo >"$work/go") &
snapshots -q -f -o "$work/kept.mtr" -- "$victim" one "$work/go"
expect "but with -f replaced" 1000 "$(held "$work/kept.one.mtr")"
(cd "$work/cwd" && snapshots -q -- sh -c 'exec "$0" t "$1.$$.t.mtr"' "$victim" sh)
expect "beside a default name" 1000 "$(held "$work"/cwd/sh.*.t.mtr)"
cd "$work/cwd"
# ends NAME END EXPRESSION CMD…: how the recording says it ended
ends() {
	local name=$1 end=$2 got
	shift 2
	run -- "$@" >/dev/null 2>&1
	json "$work/rec.mtr" "$work/report.json" >"$work/said" 2>&1
	got=$(query "$work/report.json" '.processes[0] | [.end.reason, .end.status, (.exe | split("/") | last)] | join(" ")')
	expect "$name" "$end" "$got"
}
ends "an end by exit" "exit 9 dash" sh -c 'exit 9'
ends "an end by a signal" "signal 15 dash" sh -c 'kill -TERM $$'
ends "an end by SIGKILL" "killed 9 dash" sh -c 'kill -KILL $$'
ends "env is followed" "exit 0 ls" env X=1 ls
ends "sh -c exec is followed" "exit 0 ls" sh -c 'exec ls'
ends "a chain of exec" "exit 5 bash" env A=1 nice -n 1 sh -c 'exec env B=2 bash -c "exit 5"'
expect "every image of a chain is kept" "bash env dash nice env" "$(query "$work/report.json" '[.processes[] | .exe | split("/") | last] | join(" ")')"
# The image before is another user's, who may not even look at it.
chmod 1777 "$segments"
if setpriv --reuid nobody --clear-groups true 2>/dev/null; then
	ends "an exec that gives up its rights" "exit 0 ls" setpriv --reuid nobody --clear-groups env ls
else
	skip "an exec that gives up its rights" "this is not root"
fi
chmod 700 "$segments"
# execs: the programs in the recording, forks of one that did not exec left out
execs() { query "$work/report.json" '[.processes[] | .exe | split("/") | last] | sort | .[]' | uniq -c | awk '$2 != "dash" { print $2 ":" $1 }' | tr '\n' ' '; }
run --follow 'ls,head' -- sh -c 'ls / | head -1 | cat; true' >/dev/null
json "$work/rec.mtr" "$work/report.json" >"$work/said"
expect "--follow takes children by name" "head:1 ls:1 " "$(execs)"
run --follow '*' -- sh -c 'for i in $(seq 40); do ls / >/dev/null; done'
json "$work/rec.mtr" "$work/report.json" >"$work/said"
expect "40 children, all kept" "ls:40 seq:1 " "$(execs)"
run --follow '*' -- sh -c 'for i in 1 2 3; do ls / >/dev/null; sleep 0.6; done; exec ls' >/dev/null
json "$work/rec.mtr" "$work/report.json" >"$work/said"
expect "what ended long before is kept" "ls:4 sleep:3 " "$(execs)"
expect "and nothing is left over" "" "$(ls "$segments")"
# What nobody runs lies where nobody may go: a clone in root's home is not.
mkdir -p "$work/bin" && cp "$mtrace" "$shim" "$work/bin/"
if [ "$(id -u)" = 0 ] && su -s /bin/sh nobody -c true 2>/dev/null; then
	chmod 711 "$work" 2>/dev/null; chmod 777 "$segments"; mkdir -p "$work/locked" "$work/nobody"; chmod 755 "$work/locked"; chmod 777 "$work/nobody"
	(cd "$work/locked" && su -s /bin/sh nobody -c "XDG_STATE_HOME=$work/nobody HOME=$work/nobody MTRACE_OPTIONS=dir=$segments '$work/bin/mtrace' run -- ls" >/dev/null 2>"$work/err")
	grep -q "saved $work/nobody/mtrace/ls" "$work/err" && pass "cwd not writable: the state directory" || fail "cwd not writable: the state directory" "$(cat "$work/err")"
else
	skip "cwd not writable: the state directory" "needs root"
fi

# ---- what cannot be traced ----
printf 'int main(void) { return 3; }\n' >"$work/three.c"
gcc -static "$work/three.c" -o "$work/static" 2>/dev/null
gcc "$work/three.c" -o "$work/musl" -Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1
printf '#include <stdlib.h>\nvoid *malloc(size_t n) { static char b[1 << 20], *p = b; return p += (n + 31) & ~15ul, p - ((n + 31) & ~15ul); }\nvoid free(void *p) { (void)p; }\nint main(void) { return malloc(5) ? 3 : 4; }\n' >"$work/own.c"
gcc -fno-builtin "$work/own.c" -o "$work/own"
gcc -fsanitize=address "$work/three.c" -o "$work/asan" 2>/dev/null
# untracked NAME WORDS PROGRAM: runs all the same, says why at once and at the end, leaves no segment
untracked() {
	local name=$1 words=$2 got
	shift 2
	bounded 20 "$mtrace" run -f -o "$work/none.mtr" -- "$@" >"$work/out" 2>"$work/err"
	got=$?
	[ "$got" = 3 ] && head -1 "$work/err" | grep -q "runs untraced: .*$words" && tail -1 "$work/err" | grep -q "error: nothing was recorded: .*$words" &&
		[ "$(grep -c '^mtrace:' "$work/err")" = 2 ] && pass "$name" || fail "$name" "status $got: $(head -4 "$work/err")"
}
untracked "static" "statically linked" "$work/static"
untracked "own allocator" "allocator linked into it" "$work/own"
[ -x "$work/asan" ] && untracked "sanitizer" "AddressSanitizer" "$work/asan"
"$mtrace" run -f -o "$work/none.mtr" -- "$work/musl" 2>"$work/err"
grep -q 'musl' "$work/err" && pass "musl" || fail "musl" "$(cat "$work/err")"
expect "what could not be traced left nothing" "" "$(ls "$segments")"
"$mtrace" run -q --mode off -f -o "$work/rec.mtr" -- sh -c 'exit 4' 2>"$work/err"
[ $? = 4 ] && grep -q 'error: nothing was recorded: .*off' "$work/err" && pass "mode off" || fail "mode off" "$(cat "$work/err")"
MTRACE_OPTIONS="dir=$work/nowhere" "$mtrace" run -- sh -c 'exit 4' 2>"$work/err"
[ $? = 4 ] && grep -q "error: nothing was recorded: .*nowhere, does not exist" "$work/err" && pass "no segment directory" || fail "no segment directory" "$(cat "$work/err")"
mkdir -p "$work/a b" && cp "$mtrace" "$shim" "$work/a b/"
"$work/a b/mtrace" run -- sh -c 'exit 4' 2>"$work/err"
[ $? = 4 ] && grep -q 'spaces or colons' "$work/err" && pass "a path that LD_PRELOAD cannot hold" || fail "a path that LD_PRELOAD cannot hold" "$(cat "$work/err")"

# ---- targets that are none: one line each ----
# told NAME STATUS WORDS COMMAND…: that status, and one line on stderr with those words
told() {
	local name=$1 status=$2 words=$3 got
	shift 3
	bounded 20 "$@" >"$work/out" 2>"$work/err"
	got=$?
	[ "$got" = "$status" ] && [ "$(wc -l <"$work/err")" = 1 ] && grep -qF -- "$words" "$work/err" && pass "$name" ||
		fail "$name" "status $got: $(head -3 "$work/err")"
}
clear_segments
preload mode=off -- true
: >"$work/empty"
chmod 755 "$work"
for command in report leaks "report --json" "export --to folded"; do
	told "$command: mode=off" 1 "mode=off" "$mtrace" $command "$segments"/mtrace.*
	told "$command: an empty file" 2 "is empty" "$mtrace" $command "$work/empty"
	told "$command: a directory" 2 "not a regular file" "$mtrace" $command "$work"
	told "$command: a text" 2 "neither a segment nor a recording" "$mtrace" $command "$tests/run.sh"
	told "$command: /dev/null" 2 "not a regular file" "$mtrace" $command /dev/null
	told "$command: no such process" 2 "no such process" "$mtrace" $command 4194303
	told "$command: no such file" 2 "no such file" "$mtrace" $command "$work/nothing"
	[ "$(cat /proc/2/comm 2>/dev/null)" != kthreadd ] ||
		told "$command: a kernel thread" 2 "no memory of its own" "$mtrace" $command 2
done
if [ "$(id -u)" = 0 ] && su -s /bin/sh nobody -c true 2>/dev/null; then
	told "a file that may not be read" 2 "as its owner or as root" su -s /bin/sh nobody -c "'$work/bin/mtrace' report '$(ls "$segments"/mtrace.*)'"
	told "a process of another user" 2 "belongs to user root" su -s /bin/sh nobody -c "'$work/bin/mtrace' report $$"
else
	skip "targets of another user" "needs root"
fi
clear_segments

# ---- pid 1, orphans, daemons ----
if unshare -fp --mount-proc true 2>/dev/null; then
	unshare -fp --mount-proc "$mtrace" run -q -f -o "$work/rec.mtr" -- sh -c '
		for i in 1 2 3; do (sleep 0.2 & ) ; done
		sleep 1; ps -A -o pid= -o stat= -o comm= | grep -c Z; exit 6' >"$work/out" 2>"$work/err"
	expect "as pid 1: status" 6 $?
	expect "as pid 1 orphans are reaped" 0 "$(cat "$work/out")"
	unshare -fp --mount-proc "$mtrace" run -q -f -o "$work/rec.mtr" -- sh -c 'trap "exit 8" TERM; kill -TERM 1; while :; do sleep 0.05; done' 2>"$work/err"
	expect "as pid 1 SIGTERM is passed on" 8 $?
	expect "as pid 1 it records" dash "$(json "$work/rec.mtr" "$work/report.json" && query "$work/report.json" '.processes[0].exe | split("/") | last')"
else
	skip "pid 1" "no new pid namespace here"
fi
setsid "$mtrace" run -q -f -o "$work/rec.mtr" -- sh -c '(setsid sh -c "sleep 1; ps -o ppid= -p \$\$ >\$0" "$0" & )' "$work/ppid"
expect "a daemon's parent is init, not mtrace" "$(wait_for "$work/ppid"; tr -d ' ' <"$work/ppid")" "$(sh -c '(setsid sh -c "sleep 0.3; ps -o ppid= -p \$\$" & )' | tr -d ' ')"

# ---- mtrace run itself is killed ----
cd "$work"
setsid "$mtrace" run -f -o "$work/killed.mtr" -- sh -c 'echo $$ >"$0"; sleep 2; echo survived >"$0.2"' "$work/cmd" 2>"$work/err" &
wait_for "$work/cmd"
sleep 0.5
runner=$(ps -o ppid= -p "$(cat "$work/cmd")" | tr -d ' ')
kill -KILL "$runner"
wait_for "$work/cmd.2" && pass "the command outlives mtrace run" || fail "the command outlives mtrace run"
wait_for "$work/killed.mtr" && json "$work/killed.mtr" "$work/report.json" >/dev/null &&
	expect "and what was recorded until then is saved" running "$(query "$work/report.json" '.processes[0].end.reason')"
setsid "$mtrace" run -f -o "$work/group.mtr" -- sh -c 'echo $$ >"$0"; sleep 100' "$work/cmd3" 2>"$work/err" &
wait_for "$work/cmd3"
sleep 0.5
kill -KILL -- "-$(ps -o pgid= -p "$(cat "$work/cmd3")" | tr -d ' ')"
wait_for "$work/group.mtr" && json "$work/group.mtr" "$work/report.json" >/dev/null &&
	expect "SIGKILL to the whole process group: still saved" sh "$(query "$work/report.json" '.processes[0].args[0]')" ||
	fail "SIGKILL to the whole process group: still saved" "$(cat "$work/err")"

# ---- in a hurry: SIGINT while the recording is made costs the names, not the recording ----
python3 - "$mtrace" "$work/hurry.mtr" "$XDG_CACHE_HOME" >"$work/said" <<'PYTHON'
import os, shutil, signal, subprocess, sys
mtrace, rec, cache = sys.argv[1:]
def children(pid):
    found = {}
    for child in open(f"/proc/{pid}/task/{pid}/children").read().split():
        try: found[open(f"/proc/{child}/comm").read().strip()] = int(child)
        except FileNotFoundError: pass
    return found
for attempt in range(10):
    shutil.rmtree(cache, ignore_errors=True)
    run = subprocess.Popen([mtrace, "run", "-f", "-o", rec, "--", "sqlite3", ":memory:", "select 7"],
                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    stopped = False
    while run.poll() is None and not stopped:
        try:
            mine = children(run.pid)
            if "mtrace-saves" in mine and "sqlite3" not in mine:
                for worker in children(mine["mtrace-saves"]).values():
                    os.kill(worker, signal.SIGSTOP)
                    stopped = True
        except (FileNotFoundError, ProcessLookupError): pass
    if stopped: run.send_signal(signal.SIGINT)
    said = run.communicate(timeout=20)[1]
    if stopped and "without names: interrupted" in said: break
else: print(f"never interrupted: {said!r}")
PYTHON
verdict "SIGINT while saving" "$work/said"

# ---- ps ----
clear_segments
preload -- sh -c 'kill -KILL $$' 2>/dev/null
preload -- ls / >/dev/null
in_background preload -- sleep 100
sleep 0.5
MTRACE_OPTIONS= "$mtrace" ps --dir "$segments" >"$work/ps"
expect "ps: live, killed, exit" "exit killed live" "$(awk 'NR > 1 { print $3 }' "$work/ps" | sort | tr '\n' ' ' | sed 's/ $//')"
"$mtrace" ps --dir "$segments" --json >"$work/ps.json"
expect "ps --json" "dash ls sleep" "$(jq -r '[.segments[].exe | split("/") | last] | sort | join(" ")' "$work/ps.json")"
"$mtrace" ps --dir "$segments" --prune 2>/dev/null
expect "ps --prune leaves the live one" 1 "$(ls "$segments" | wc -l)"

# ---- doctor ----
"$mtrace" doctor ls >"$work/out"
[ $? = 0 ] && [ "$(tail -1 "$work/out")" = "ready: mtrace run -- ls" ] && pass "doctor: ready" || fail "doctor: ready" "$(cat "$work/out")"
for one in "static:statically linked" "musl:musl" "own:allocator" "asan:AddressSanitizer"; do
	[ -x "$work/${one%%:*}" ] || continue
	"$mtrace" doctor "$work/${one%%:*}" >"$work/out"
	[ $? = 1 ] && tail -1 "$work/out" | grep -q "^will not work: .*${one#*:}" && pass "doctor: ${one%%:*}" || fail "doctor: ${one%%:*}" "$(cat "$work/out")"
done
"$mtrace" doctor no-such-command-anywhere >"$work/out" 2>&1
expect "doctor: nothing of that name" 2 $?
"$mtrace" doctor $$ >"$work/out"
[ $? = 1 ] && tail -1 "$work/out" | grep -q '^not traced' && pass "doctor: a process that is not traced" || fail "doctor: a process that is not traced" "$(cat "$work/out")"
suite_end
