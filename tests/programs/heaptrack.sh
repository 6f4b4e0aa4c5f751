#!/bin/bash
# heaptrack: allocation counts of the same deterministic program agree with heaptrack's within 0.01 %.
. "$(dirname "$0")/../lib/suite.sh"
cat >"$work/parse.py" <<'END'
import json
data = json.dumps([{"id": i, "name": f"n{i}", "tags": ["a", str(i), 1.5 * i]} for i in range(3000)])
for _ in range(20):
    json.loads(data)
END
cat >"$work/build.sql" <<'END'
CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
INSERT INTO t SELECT i, printf('name-%d', i * 7919 % 60000) FROM n;
CREATE INDEX by_name ON t(name);
SELECT count(*), length(group_concat(name)) FROM t;
END

# agree NAME COMMAND…
agree() {
	local name=$1 ours theirs off
	shift
	bounded 200 heaptrack -o "$work/ht" "$@" <"$work/input" >"$work/out" 2>&1
	theirs=$(bounded 200 heaptrack_print -f "$work"/ht.* 2>/dev/null | sed -n 's/^calls to allocation functions: \([0-9]*\).*/\1/p')
	rm -f "$work"/ht*
	traced "$work/rec.mtr" "$@" <"$work/input" >"$work/out" 2>"$work/err"
	json "$work/rec.mtr" "$work/report.json" >"$work/said"
	ours=$(query "$work/report.json" '.processes[0].totals.alloc_blocks')
	off=$((${ours:-0} - ${theirs:-0}))
	if [ "${theirs:-0}" -gt 10000 ] && [ $((${off#-} * 10000)) -le "$theirs" ]; then
		pass "$name: ours $ours, heaptrack's $theirs"
	else
		fail "$name" "ours $ours, heaptrack's $theirs: $(tail -c 200 "$work/err")"
	fi
}

: >"$work/input"
export PYTHONMALLOC=malloc PYTHONHASHSEED=0
agree "CPython parsing JSON" /usr/bin/python3 -S -B "$work/parse.py"
cp "$work/build.sql" "$work/input"
agree "sqlite" sqlite3 :memory:
suite_end
