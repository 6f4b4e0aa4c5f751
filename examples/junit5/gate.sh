#!/bin/bash
# gate.sh CLASSES: the JUnit 5 tests in that directory, under the gate: with -Dtimes=20, 50 and 80. What is left at
# the end, and more of it with each more work, leaks; what the JVM itself keeps in pools does not come that evenly. One compiler
# and a simple collector make the runs short.
set -eu
console=${JUNIT_CONSOLE:-build/artifacts/junit-platform-console-standalone-1.11.4.jar}
exec build/mtrace gate --scale 'times={20,50,80}' --junit leaks.xml -n 1 -- \
	java -Xmx512m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC '-Dtimes=$times' -jar "$console" execute -cp "$1" --scan-classpath --details=none --disable-banner
