#!/bin/bash
# node: a script with JSON, buffers, zlib, workers and a child process: the same output and exit status.
. "$(dirname "$0")/../lib/suite.sh"
cat >"$work/script.js" <<'END'
const zlib = require('zlib'), { Worker, isMainThread, parentPort } = require('worker_threads');
const { execFileSync } = require('child_process');
if (isMainThread) {
	let sum = 0;
	for (let i = 0; i < 300; i++) {
		const text = JSON.stringify(Array.from({ length: 200 }, (_, k) => ({ id: k, name: 'n' + k * i })));
		sum += JSON.parse(zlib.gunzipSync(zlib.gzipSync(Buffer.from(text))).toString()).length;
	}
	console.log(sum, execFileSync('/bin/echo', ['child']).toString().trim());
	const kept = Array.from({ length: 100 }, () => Buffer.alloc(100000, 1));
	let left = 3;
	for (let i = 0; i < 3; i++)
		new Worker(__filename).on('message', (m) => { console.log(m); if (--left === 0) process.exit(kept.length - 96); });
} else {
	parentPort.postMessage(zlib.crc32 ? 'worker' : 'worker');
}
END
bounded 60 node "$work/script.js" >"$work/out.plain" 2>"$work/err.plain"
plain=$?
MTRACE_OPTIONS="dir=$segments" bounded 120 "$mtrace" run -f -o "$work/rec.mtr" -- node "$work/script.js" >"$work/out" 2>"$work/err"
status=$?
like_untracked "output and exit status" $status $plain 4
trusted "trust box" "$work/rec.mtr"
suite_end
