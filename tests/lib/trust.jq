# trust.jq: what must hold for every process of a report, whatever program it traced. Prints one line per breach.
# --argjson unknown N: unknown frees that are explained (blocks born before the shim was there).
def sum(f): map(f) | add // 0;

.processes[] | . as $p |
"\(.exe | split("/") | last)[\(.pid).\(.image)]" as $who |
(
	(select(.totals.alloc_blocks == 0 and .end.reason != "killed") | "no allocation recorded"), # a child may be killed in its first event
	(select(.mode != "exact") | "mode is \(.mode)"),
	(select(.trust.unknown_frees > $unknown) | "unknown_frees \(.trust.unknown_frees)"),
	(select(.trust.implicit_frees != 0) | "implicit_frees \(.trust.implicit_frees)"),
	(.trust.drops | to_entries[] | select(.value != 0) | "drop \(.key) \(.value)"),
	(select(.end.in_tracker and .end.reason != "killed") | "ended inside the tracker"),
	(["alloc_blocks", "alloc_bytes", "live_blocks", "live_bytes"][] as $f |
		([$p.stacks[] | select(.kind == "malloc") | .[$f]] | add // 0) as $s |
		select($s != $p.totals[$f]) | "stacks add up to \($f) \($s), totals say \($p.totals[$f])"),
	(["blocks", "bytes"][] as $f |
		($p.totals["alloc_" + $f] - $p.totals["freed_" + $f]) as $d |
		select($d != $p.totals["live_" + $f]) |
		"alloc - freed \($f) is \($d), live is \($p.totals["live_" + $f])")
) | "\($who): \(.)"
