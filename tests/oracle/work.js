// work: node at work for differential.sh: JSON, zlib, hashes, regular expressions, clones, workers.
const zlib = require('zlib'), crypto = require('crypto'), { Worker, isMainThread } = require('worker_threads');
function work(rounds) {
	for (let i = 0; i < rounds; i++) {
		const text = JSON.stringify(Array.from({ length: 100 }, (_, k) => ({ id: k, name: 'n' + k * i })));
		JSON.parse(zlib.gunzipSync(zlib.gzipSync(Buffer.from(text))).toString());
		crypto.createHash('sha256').update(text).digest('hex');
		new Function('a', `return a.replace(/n(\\d+)/g, "$1${i}")`)(text);
		structuredClone(new Map([[text, new Uint8Array(100)]]));
	}
}
work(20);
if (isMainThread)
	for (let i = 0; i < 2; i++)
		new Worker(__filename);
