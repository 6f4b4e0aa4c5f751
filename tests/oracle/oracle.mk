# oracle.mk: the unwinder inside real programs, beside libunwind (tests/oracle/differential.c). Included by long.mk.
#   differential  ten million stacks, some minutes; writes tests/bench/DIFFERENTIAL.md. `make check` has a short form:
#                 tests/programs/differential.sh
DIFFERENTIAL := $(BUILD)/tests/oracle/differential.so $(BUILD)/tests/oracle/shapes $(BUILD)/tests/oracle/coroutines
DIFFERENTIAL_STACKS ?= 10000000
DIFFERENTIAL_REPORT ?= tests/bench/DIFFERENTIAL.md

$(BUILD)/tests/oracle/differential.so: tests/oracle/differential.c tests/oracle/differential.map $(UNIT)/libmtrace-unit.a
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(TEST_CFLAGS) -fPIC -shared -fno-builtin $< $(UNIT)/libmtrace-unit.a \
		-Wl,--version-script=tests/oracle/differential.map -Wl,-z,nodelete -o $@ -lpthread -ldl

$(BUILD)/tests/oracle/shapes: tests/oracle/shapes.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(CSTD) $(VICTIM_CFLAGS) -fno-builtin -fno-optimize-sibling-calls $< -o $@ -lpthread

$(BUILD)/tests/oracle/coroutines: tests/oracle/coroutines.cc
	$(call say,CXX,$<)
	$(Q)mkdir -p $(@D) && g++ -std=c++20 $(VICTIM_CFLAGS) -fno-builtin $< -o $@ -lpthread

tests-build programs: $(DIFFERENTIAL)

.PHONY: differential
differential: all $(DIFFERENTIAL)
	@BUILD=$(BUILD) DIFFERENTIAL_STACKS=$(DIFFERENTIAL_STACKS) DIFFERENTIAL_REPORT=$(DIFFERENTIAL_REPORT) \
		tests/programs/differential.sh | $(sum_up)

soak: differential
