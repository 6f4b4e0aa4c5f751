#!/bin/bash
# gate.sh CLASSES: the JUnit 5 tests in that directory, under the gate: with -Dtimes=20, 50 and 80. What is left at
# the end, and more of it with each more work, leaks; what the JVM itself keeps in pools does not come that evenly.
set -eu
console=${JUNIT_CONSOLE:-build/artifacts/junit-platform-console-standalone-1.11.4.jar}
exec build/mtrace gate --scale 'times={20,50,80}' --junit leaks.xml -n 1 -- \
	java -Xmx512m '-Dtimes=$times' -jar "$console" execute -cp "$1" --scan-classpath --details=none --disable-banner
