# tsan.mk: `make tsan`: the suites of the shim's stores under gcc's ThreadSanitizer, their own build in $(BUILD)/tsan.
# Bounded: half the rounds that the suites do without it (TSAN_DIVISOR=2). `make soak` runs it, `make check` a short form
# (tests/programs/tsan.sh). What it sees and what it cannot see: tests/tsan/tsan.sh.

TSAN := $(BUILD)/tsan
TSAN_FLAGS := -fsanitize=thread -O1 -g -Wno-tsan -Wno-frame-larger-than -Wno-invalid-memory-model
TSAN_SUITES := counts stacks modules live regions segment slots ring stream
TSAN_WEAKENED := stacks modules regions slots stream # rooms without their releases
TSAN_PLAIN := counts live segment ring     # rooms whose atomic loads and stores are plain
TSAN_PROGRAMS := $(TSAN_SUITES:%=$(TSAN)/test_%) $(TSAN_WEAKENED:%=$(TSAN)/weakened/test_%) $(TSAN_PLAIN:%=$(TSAN)/plain/test_%)
TSAN_OBJECTS := $(UNIT_SHIM_OBJECTS:$(BUILD)/%=$(TSAN)/%)

$(TSAN)/libmtrace-unit.a: $(TSAN_OBJECTS)
	$(call say,AR,$@)
	$(Q)mkdir -p $(@D) && rm -f $@ && ar rcs $@ $^

$(TSAN)/libmtrace/%.o: libmtrace/%.c
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(SHIM_CFLAGS) $(TSAN_FLAGS) -c $< -o $@

$(TSAN)/weakened/%.o: libmtrace/%.c tests/tsan/weakened.h
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(SHIM_CFLAGS) $(TSAN_FLAGS) -include tests/tsan/weakened.h -c $< -o $@

$(TSAN)/plain/%.o: libmtrace/%.c tests/tsan/plain.h
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(SHIM_CFLAGS) $(TSAN_FLAGS) -include tests/tsan/plain.h -c $< -o $@

$(TSAN)/%.o: tests/unit/%.c
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(TEST_CFLAGS) $(TSAN_FLAGS) -c $< -o $@

# The room in which a race is planted stands before the library, which has the sound one.
$(TSAN)/weakened/test_%: $(TSAN)/test_%.o $(TSAN)/weakened/%.o $(TSAN)/libmtrace-unit.a
	$(call say,LD,$@)
	$(Q)$(CC) $(TSAN_FLAGS) $^ $(LDFLAGS) $(CHECK_LIBS) -o $@

$(TSAN)/plain/test_%: $(TSAN)/test_%.o $(TSAN)/plain/%.o $(TSAN)/libmtrace-unit.a
	$(call say,LD,$@)
	$(Q)$(CC) $(TSAN_FLAGS) $^ $(LDFLAGS) $(CHECK_LIBS) -o $@

$(TSAN)/test_%: $(TSAN)/test_%.o $(TSAN)/libmtrace-unit.a
	$(call say,LD,$@)
	$(Q)$(CC) $(TSAN_FLAGS) $^ $(LDFLAGS) $(CHECK_LIBS) -o $@

.SECONDARY: $(TSAN_OBJECTS) $(TSAN_SUITES:%=$(TSAN)/test_%.o) $(TSAN_WEAKENED:%=$(TSAN)/weakened/%.o) $(TSAN_PLAIN:%=$(TSAN)/plain/%.o)
-include $(TSAN_OBJECTS:.o=.d) $(wildcard $(TSAN)/*.d $(TSAN)/weakened/*.d $(TSAN)/plain/*.d)

tests-build programs soak: $(TSAN_PROGRAMS)

.PHONY: tsan
tsan: $(TSAN_PROGRAMS)
	@BUILD=$(BUILD) tests/tsan/tsan.sh | $(sum_up)
