// outputs_gate.js CORE FILE: takes each command apart as GitHub's runner does, and has GitHub's own writer put it together again:
// it must come out as it was. Prints what is wrong.
const fs = require('fs');
const { issueCommand } = require(process.argv[2] + '/lib/command.js');
const data = (s) => s.replace(/%0D/g, '\r').replace(/%0A/g, '\n').replace(/%25/g, '%');
const property = (s) => data(s.replace(/%3A/g, ':').replace(/%2C/g, ','));
const levels = {};
for (const line of fs.readFileSync(process.argv[3], 'utf8').split('\n').slice(0, -1)) {
	const match = /^::(error|warning|notice) (.*?)::(.*)$/.exec(line);
	if (!match) {
		console.log('no command: ' + line.slice(0, 100));
		continue;
	}
	const properties = {};
	for (const pair of match[2].split(',')) {
		const at = pair.indexOf('=');
		properties[pair.slice(0, at)] = property(pair.slice(at + 1));
	}
	for (const name of Object.keys(properties))
		if (!['file', 'line', 'title'].includes(name))
			console.log('unknown property ' + name);
	if (properties.file && (properties.file.startsWith('/') || !/^[1-9][0-9]*$/.test(properties.line)))
		console.log('no place: ' + properties.file + ':' + properties.line);
	let written = '';
	const write = process.stdout.write;
	process.stdout.write = (s) => (written += s, true);
	issueCommand(match[1], properties, data(match[3]));
	process.stdout.write = write;
	if (written !== line + '\n')
		console.log('not as GitHub writes it: ' + written.slice(0, 200));
	levels[match[1]] = (levels[match[1]] || 0) + 1;
	if (levels[match[1]] > 10)
		console.log('more than ten of a kind');
}
if (Object.keys(levels).length === 0 && fs.statSync(process.argv[3]).size > 0)
	console.log('nothing was read');
