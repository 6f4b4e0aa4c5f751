# long.mk: what takes its time, bounded all the same: included by the Makefile, after tests.mk.
#   soak   storms against the shim, SOAK_SECONDS=60 in all (SOAK_ROUNDS=1000: each so many rounds at least); a short form is
#          part of `make check` (tests/programs/storms.sh);
#          then each call of the host's that fails, every order of the protocols' steps, real faults (tests/programs/matrix.sh,
#          model.sh, faults.sh), every change of every byte of a segment (tests/unit/test_tools_flips.c);
#          then fourteen kinds of programs judged LEAKS_TIMES=20 times each (tests/programs/leaks.sh; twice in `make check`), and
#          HISTORY_TIMES=20 from history alone; nine for ten minutes with the standard windows (tests/soak/unwatched.sh);
#          KILLS=10000 kills at random, KILL_SECONDS=600 at most (tests/soak/kills.sh);
#          those of the gate GATE_TIMES=20 times each (tests/programs/gate.sh; twice in `make check`), and
#          what a gate costs around a minute of redis (tests/soak/gate_cost.sh: GATE_COST_PAIRS=3, GATE_COST_SECONDS=60);
#          then a compiler on a real code base, on each JDK, under each collector and compiler of the JVM (tests/soak/java.sh),
#          and sixty javacs in the interpreter, each stack taken twice (tests/programs/java_memo.sh);
#          then Netty under load for NETTY_SECONDS=900, and RocksDB writing ROCKS_KEYS=5000000 keys (tests/soak/libraries.sh),
#          on the JDK of javac, and for a minute each on JDK 21 and 25;
#          then redis, Netty and CPython for SERVICE_SECONDS=3600, redis and Netty beside untracked twins: memory, truth, latency
#          (tests/soak/services.sh, also `make services`; it writes tests/bench/SERVICES.md: SERVICE_REPORT=FILE);
#          then the tarball of `make dist` in Debian's oldest and newest, and in Alpine (tests/soak/dist.sh:
#          DIST_ROOTS="bullseye forky alpine");
#          some seventy real programs of Debian's archive, the same traced as not (tests/soak/programs.sh: PROGRAMS="perl ruby");
#          then JVMs under load attached to and detached from ATTACH_TIMES=200 times (ten times in `make check`)
#          and JVMs in which libraries, threads and classes come and go (tests/programs/jvm_churn.sh); then the incidents of JVMs on
#          each of JDKS="17 21 25" (tests/programs/incidents_jvm.sh, incidents_jdk.sh; in `make check` on that of javac)
#   bench  what tracking costs, beside other trackers: writes tests/bench/RESULTS.md and its plots. BENCH_PAIRS=20,
#          BENCH_SECONDS=6000 for all, BENCH_SIZE=1, BENCH="micro sqlite" picks some, BENCH_PEERS="heaptrack" or none,
#          BENCH_MERGE=1 keeps the rest, BENCH_RESULTS=FILE; tests/bench/bench.py --help has all. bench-page: page only
#   floors what those rows cost at the least, whoever tracks: tests/bench/floor.c's stages, into tests/bench/floors.txt;
#          BENCH_PAIRS, BENCH_SIZE and BENCH as above, BENCH_FLOORS=FILE
#   differential  ten million stacks of real programs, walked by our rules, the memo and libunwind: DIFFERENTIAL_STACKS=N;
#          writes tests/bench/DIFFERENTIAL.md; part of soak
#   tsan   the suites of the shim's stores under ThreadSanitizer, two minutes; part of soak (tests/tsan)
#   fuzz   every reader of files under libFuzzer and sanitizers, FUZZ_SECONDS=30 each; FUZZ="segment cfi" picks some; what each
#          had so far adds up in tests/fuzz/RESULTS.md (FUZZ_RESULTS=FILE)

SOAK_PROGRAMS := $(BUILD)/tests/victims/storm $(BUILD)/tests/victims/async_malloc.so $(BUILD)/tests/soak/pace
SOAK_SECONDS ?= 60
LEAKS_TIMES ?= 20
HISTORY_TIMES ?= 20
ATTACH_TIMES ?= 200
JDKS ?= 17 21 25
GATE_TIMES ?= 20
SERVICE_SECONDS ?= 3600
SERVICE_REPORT ?= tests/bench/SERVICES.md

STORM := $(wildcard tests/soak/storm/*.c)
$(BUILD)/tests/victims/storm: $(STORM) tests/soak/storm/storm.h $(VICTIMS_DIR)/truth.h
	$(call say,CC,tests/soak/storm)
	$(Q)mkdir -p $(@D) && $(CC) $(CSTD) $(filter-out -MMD -MP,$(VICTIM_CFLAGS)) -I$(VICTIMS_DIR) $(STORM) -o $@ -lpthread -ldl

$(BUILD)/tests/victims/async_malloc.so: tests/soak/async_malloc.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(CSTD) $(VICTIM_CFLAGS) -fno-builtin -fPIC -shared $< -o $@

$(BUILD)/tests/soak/pace: tests/soak/pace.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(CSTD) $(VICTIM_CFLAGS) $< -o $@

tests-build programs: $(SOAK_PROGRAMS)

# A suite's lines as they come, then its sum; status 1 when anything failed or nothing was checked.
sum_up := awk '{ print; fflush() } match($$0, /^[0-9]+%: Checks: /) { gsub(/[^0-9 ]/, ""); split($$0, n, " "); seen = 1; bad = n[3] } \
	END { if (!seen) bad = 1; printf "%d passed, %d failed\n", n[2] - n[3], bad; exit bad > 0 }'

soak: all $(VICTIMS) $(SOAK_PROGRAMS) $(UNIT)/san/test_tools_flips
	@BUILD=$(BUILD) tests/deps.sh soak
	@BUILD=$(BUILD) SOAK_SECONDS=$(SOAK_SECONDS) tests/soak/soak.sh | $(sum_up)
	@BUILD=$(BUILD) SEGFORKS=500 tests/programs/hazards.sh | $(sum_up)
	@BUILD=$(BUILD) tests/tsan/tsan.sh | $(sum_up)
	@BUILD=$(BUILD) FAULT_STRIDE=1 tests/programs/matrix.sh | $(sum_up)
	@FLIPS_STRIDE=1 CK_DEFAULT_TIMEOUT=3000 $(UNIT)/san/test_tools_flips | $(sum_up)
	@BUILD=$(BUILD) MODEL_MORE=1 tests/programs/model.sh | $(sum_up)
	@BUILD=$(BUILD) SCRIBBLERS=40 tests/programs/faults.sh | $(sum_up)
	@BUILD=$(BUILD) LEAKS_TIMES=$(LEAKS_TIMES) HISTORY_TIMES=$(HISTORY_TIMES) tests/programs/leaks.sh | $(sum_up)
	@BUILD=$(BUILD) tests/soak/unwatched.sh | $(sum_up)
	@BUILD=$(BUILD) tests/soak/kills.sh | $(sum_up)
	@BUILD=$(BUILD) GATE_TIMES=$(GATE_TIMES) tests/programs/gate.sh | $(sum_up)
	@BUILD=$(BUILD) tests/soak/gate_cost.sh | $(sum_up)
	@BUILD=$(BUILD) tests/soak/java.sh | $(sum_up)
	@BUILD=$(BUILD) XINT_JAVACS=60 tests/programs/java_memo.sh | $(sum_up)
	@BUILD=$(BUILD) tests/soak/libraries.sh | $(sum_up)
	@BUILD=$(BUILD) JDKS="21 25" NETTY_SECONDS=60 ROCKS_KEYS=500000 tests/soak/libraries.sh | $(sum_up)
	@$(MAKE) --no-print-directory services
	@BUILD=$(BUILD) tests/soak/dist.sh | $(sum_up)
	@BUILD=$(BUILD) tests/soak/programs.sh | $(sum_up)
	@BUILD=$(BUILD) ATTACH_TIMES=$(ATTACH_TIMES) tests/programs/attach.sh | $(sum_up)
	@BUILD=$(BUILD) CHURN_THREADS=10000 CHURN_ATTACH=$(ATTACH_TIMES) CHURN_FRESH=30 tests/programs/jvm_churn.sh | $(sum_up)
	@BUILD=$(BUILD) JDKS="$(JDKS)" tests/programs/incidents_jvm.sh | $(sum_up)
	@BUILD=$(BUILD) JDKS="$(JDKS)" tests/programs/incidents_jdk.sh | $(sum_up)

.PHONY: services
services: all $(SOAK_PROGRAMS)
	@BUILD=$(BUILD) tests/deps.sh soak
	@BUILD=$(BUILD) SERVICE_SECONDS=$(SERVICE_SECONDS) SERVICE_REPORT=$(SERVICE_REPORT) tests/soak/services.sh | $(sum_up)

bench:
	@BUILD=$(BUILD) tests/deps.sh bench
	@$(MAKE) --no-print-directory -j2 all $(BENCH_PROGRAMS)
	@BUILD=$(BUILD) tests/bench/bench.py $(BENCH_ARGS)

.PHONY: floors
floors:
	@BUILD=$(BUILD) tests/deps.sh bench
	@$(MAKE) --no-print-directory -j2 $(BENCH_PROGRAMS)
	@BUILD=$(BUILD) tests/bench/floors.py $(BENCH_ARGS)

.PHONY: bench-page
bench-page:
	@BUILD=$(BUILD) tests/bench/bench.py --page $(BENCH_ARGS)

# ---- fuzz: built with clang, apart from everything else -----------------------------------------------------
FUZZ_CC := $(BUILD)/fuzz
FUZZ_FLAGS := -DPOOL_APART=1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -O1 -g
FUZZ_TARGETS := $(patsubst tests/fuzz/%.c,$(FUZZ_CC)/%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_TOOL_OBJECTS := $(patsubst $(BUILD)/%,$(FUZZ_CC)/%,$(filter-out $(BUILD)/tools/mtrace.o,$(TOOL_OBJECTS)))
FUZZ_SHIM_OBJECTS := $(patsubst $(BUILD)/%,$(FUZZ_CC)/%,$(filter-out %/hooks.o %/boot.o,$(SHIM_OBJECTS)))
FUZZ_SECONDS ?= 30

$(FUZZ_CC)/tools/%.o: tools/%.c
	$(call say,CLANG,$<)
	$(Q)mkdir -p $(@D) && clang $(TOOL_CFLAGS) -Wno-unknown-warning-option $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -c $< -o $@

$(FUZZ_CC)/libmtrace/%.o: libmtrace/%.c
	$(call say,CLANG,$<)
	$(Q)mkdir -p $(@D) && clang $(TOOL_CFLAGS) -Wno-unknown-warning-option $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -c $< -o $@

$(FUZZ_CC)/tools.a: $(FUZZ_TOOL_OBJECTS)
	$(Q)rm -f $@ && ar rcs $@ $^

$(FUZZ_CC)/shim.a: $(FUZZ_SHIM_OBJECTS)
	$(Q)rm -f $@ && ar rcs $@ $^

$(FUZZ_CC)/fuzz_%: tests/fuzz/fuzz_%.c tests/fuzz/fuzz.h tests/fuzz/fuzz_profile.h $(FUZZ_CC)/tools.a $(FUZZ_CC)/shim.a
	$(call say,CLANG,$<)
	$(Q)clang $(TOOL_CFLAGS) -Itests/fuzz $(FUZZ_FLAGS) -fsanitize=fuzzer $< \
		$(if $(filter %_options %_cfi,$@),$(FUZZ_CC)/shim.a,$(FUZZ_CC)/tools.a) $(TOOL_LIBS) -ldl -Wl,-Map=$@.map -o $@

.SECONDARY: $(FUZZ_TOOL_OBJECTS) $(FUZZ_SHIM_OBJECTS)
-include $(FUZZ_TOOL_OBJECTS:.o=.d) $(FUZZ_SHIM_OBJECTS:.o=.d)

fuzz:
	@tests/deps.sh fuzz
	@$(MAKE) --no-print-directory -j2 fuzz-built

.PHONY: fuzz-built
fuzz-built: all $(VICTIMS) $(FUZZ_TARGETS)
	@BUILD=$(BUILD) FUZZ_SECONDS=$(FUZZ_SECONDS) tests/fuzz/fuzz.sh | $(sum_up)

-include tests/oracle/oracle.mk
-include tests/tsan/tsan.mk
-include tests/fault/fault.mk
-include tests/model/model.mk
