# tests.mk: `make check` and its parts. Included by the Makefile; see README.md for what each target is for.
#   deps             installs the Debian packages of tests/deps.txt (quick when they are there)
#   check            everything: packages, build, unit tests (tools also under sanitizers), victims, programs, lint
#   unit, programs   parts of it, without installing anything; SUITES="truth kinds" picks programs
#   soak bench fuzz  bounded, longer; not part of check

TEST_CFLAGS := $(CSTD) -Wall -Wextra -D_GNU_SOURCE -Ilibmtrace -Itools -Itests/unit -O2 -g -MMD -MP
SANITIZE := -DPOOL_APART=1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -O1
UNIT := $(BUILD)/unit
VICTIM_CFLAGS := -O2 -g -fomit-frame-pointer -Wall -Wextra -Wshadow -D_GNU_SOURCE -Ilibmtrace -MMD -MP
VICTIMS_DIR := tests/programs/victims

# ---- unit tests -----------------------------------------------------------------------------------------
# A suite of the shim links every room but the entry points (hooks.o, boot.o); one of the tools (test_tools_*)
# every tool object but mtrace.o, and what of tests/unit is no suite. Objects are built once more under sanitizers.
UNIT_SHIM := $(filter-out tests/unit/test_tools_%,$(wildcard tests/unit/test_*.c))
UNIT_TOOLS := $(wildcard tests/unit/test_tools_*.c)
UNIT_SHARED := $(patsubst tests/unit/%.c,$(UNIT)/%.o,$(filter-out tests/unit/test_%,$(wildcard tests/unit/*.c)))
UNIT_SHIM_OBJECTS := $(filter-out %/hooks.o %/boot.o,$(SHIM_OBJECTS))
UNIT_TOOL_OBJECTS := $(filter-out $(BUILD)/tools/mtrace.o,$(TOOL_OBJECTS))
SAN_TOOL_OBJECTS := $(UNIT_TOOL_OBJECTS:$(BUILD)/%=$(UNIT)/san/%)
SAN_SHARED := $(UNIT_SHARED:$(UNIT)/%=$(UNIT)/san/%)

UNIT_PROGRAMS := $(UNIT_SHIM:tests/unit/%.c=$(UNIT)/%) $(UNIT_TOOLS:tests/unit/%.c=$(UNIT)/%)
SAN_PROGRAMS := $(UNIT_TOOLS:tests/unit/%.c=$(UNIT)/san/%)
CHECK_LIBS := $(shell pkg-config --libs check 2>/dev/null || echo -lcheck -lsubunit -lm -lrt) -lpthread -ldl

$(UNIT)/libmtrace-unit.a: $(UNIT_SHIM_OBJECTS)
	$(call say,AR,$@)
	$(Q)mkdir -p $(@D) && rm -f $@ && ar rcs $@ $^

$(UNIT)/%.o: tests/unit/%.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(TEST_CFLAGS) -c $< -o $@

$(UNIT)/san/%.o: tests/unit/%.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(TEST_CFLAGS) $(SANITIZE) -c $< -o $@

$(UNIT)/san/tools/%.o: tools/%.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(TOOL_CFLAGS) -g $(SANITIZE) -c $< -o $@

$(UNIT)/test_tools_%: $(UNIT)/test_tools_%.o $(UNIT_TOOL_OBJECTS) $(UNIT_SHARED)
	$(call say,LD,$@)
	$(Q)$(CC) $^ $(LDFLAGS) $(CHECK_LIBS) $(TOOL_LIBS) -o $@

$(UNIT)/san/test_tools_%: $(UNIT)/san/test_tools_%.o $(SAN_TOOL_OBJECTS) $(SAN_SHARED)
	$(call say,LD,$@)
	$(Q)$(CC) $(SANITIZE) $^ $(LDFLAGS) $(CHECK_LIBS) $(TOOL_LIBS) -o $@

$(UNIT)/test_%: $(UNIT)/test_%.o $(UNIT)/libmtrace-unit.a
	$(call say,LD,$@)
	$(Q)$(CC) $^ $(LDFLAGS) $(CHECK_LIBS) -o $@

.SECONDARY: $(UNIT_PROGRAMS:=.o) $(SAN_PROGRAMS:=.o) $(UNIT_SHARED) $(SAN_SHARED) $(SAN_TOOL_OBJECTS)
-include $(UNIT_PROGRAMS:=.d) $(SAN_PROGRAMS:=.d) $(SAN_TOOL_OBJECTS:.o=.d) $(UNIT_SHARED:.o=.d) $(SAN_SHARED:.o=.d)

# ---- victims and benchmark programs ------------------------------------------------------------------------
VICTIMS := $(patsubst $(VICTIMS_DIR)/%.c,$(BUILD)/tests/victims/%,$(wildcard $(VICTIMS_DIR)/victim_*.c)) \
	$(BUILD)/tests/victims/victim_truth_cxx $(BUILD)/tests/victims/scribbler $(BUILD)/tests/victims/plugin_a.so $(BUILD)/tests/victims/plugin_b.so
BENCH_PROGRAMS := $(patsubst tests/bench/%.c,$(BUILD)/tests/bench/%,$(filter-out tests/bench/floor.c,$(wildcard tests/bench/*.c))) \
	$(BUILD)/tests/bench/floor.so $(BUILD)/tests/bench/hotspot

$(BUILD)/tests/victims/%_cxx: $(VICTIMS_DIR)/%_cxx.cc
	$(call say,CXX,$<)
	$(Q)mkdir -p $(@D) && g++ -std=gnu++17 $(VICTIM_CFLAGS) $< -o $@ -lpthread -ldl

$(BUILD)/tests/victims/%: $(VICTIMS_DIR)/%.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(CSTD) $(VICTIM_CFLAGS) $< -o $@ -lpthread -ldl -lrt

$(BUILD)/tests/victims/plugin_a.so: $(VICTIMS_DIR)/plugin.c
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(CSTD) $(VICTIM_CFLAGS) -fPIC -shared -DPLUGIN_LEAK=truth_leak_a -DPLUGIN_PADDING=1 $< -o $@

$(BUILD)/tests/victims/plugin_b.so: $(VICTIMS_DIR)/plugin.c
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(CSTD) $(VICTIM_CFLAGS) -fPIC -shared -DPLUGIN_LEAK=truth_leak_b -DPLUGIN_PADDING=60 $< -o $@

$(BUILD)/tests/bench/libjvm.so: tests/bench/hotspot/libjvm.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(CSTD) $(VICTIM_CFLAGS) -fPIC -shared $< -o $@

$(BUILD)/tests/bench/hotspot: tests/bench/hotspot/hotspot.c $(BUILD)/tests/bench/libjvm.so
	$(call say,CC,$<)
	$(Q)$(CC) $(CSTD) $(VICTIM_CFLAGS) $^ -lm '-Wl,-rpath,$$ORIGIN' -o $@

$(BUILD)/tests/bench/floor.so: tests/bench/floor.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(CSTD) $(VICTIM_CFLAGS) -fPIC -shared -fno-plt -fno-semantic-interposition $< -o $@ -ldl

$(BUILD)/tests/bench/%: tests/bench/%.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(CSTD) $(VICTIM_CFLAGS) $< -o $@ -lpthread

-include $(wildcard $(BUILD)/tests/*/*.d)

# ---- suites --------------------------------------------------------------------------------------------------
# The longest first, since two run side by side. tests/lint's suites (LINT_SUITES of lint.mk) are among them.
LONGEST := cpython differential cc1plus agent java gate_real truth killed kinds host jvm allocators redis instructions matrix faults model
PROGRAM_SUITES := $(notdir $(basename $(wildcard tests/programs/*.sh)))
SUITES ?= $(filter $(PROGRAM_SUITES),$(LONGEST)) $(filter-out $(LONGEST),$(PROGRAM_SUITES))
programs_of = $(foreach s,$(SUITES),$(s)=tests/programs/$(s).sh)
units_of = $(foreach u,$(UNIT_PROGRAMS) $(SAN_PROGRAMS),$(subst /,-,$(u:$(UNIT)/%=%))='$(u)')
run_suites = @BUILD=$(BUILD) tests/run.sh $(BUILD)/tests/logs

export ASAN_OPTIONS := detect_leaks=1:abort_on_error=0
.PHONY: deps deps-quickstart deps-fuzz check check-built unit programs tests-build

deps:
	@tests/deps.sh check

deps-quickstart:
	@tests/deps.sh quickstart

deps-fuzz:
	@tests/deps.sh fuzz

tests-build: all examples $(UNIT_PROGRAMS) $(SAN_PROGRAMS) $(VICTIMS) $(BENCH_PROGRAMS)

# Packages first: pkg-config and the compiler itself may be missing when this file is read, so the rest is another make.
check:
	@tests/deps.sh check
	@$(MAKE) --no-print-directory -j2 tests-build
	@$(MAKE) --no-print-directory check-built

check-built:
	$(run_suites) $(programs_of) $(units_of) $(LINT_SUITES)

unit: all $(UNIT_PROGRAMS) $(SAN_PROGRAMS) $(BUILD)/tests/victims/victim_step
	$(run_suites) $(units_of)

programs: all $(VICTIMS) $(BENCH_PROGRAMS)
	$(run_suites) $(programs_of)
