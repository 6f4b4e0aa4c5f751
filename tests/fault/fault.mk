# fault.mk: a test build of the shim in which calls of plat fail (faulty.c), the driver that goes through all of them
# (matrix.c), and its victim. `make check` runs it by tests/programs/matrix.sh.

FAULT := $(BUILD)/fault
FAULT_NAMES := $(sort $(shell grep '^[A-Z]' tests/fault/faults.def | grep -o 'plat_[a-z_]*'))
comma := ,

$(FAULT)/faulty.o: tests/fault/faulty.c tests/fault/faults.def libmtrace/plat.h
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(SHIM_CFLAGS) $(CFLAGS) -Wno-missing-prototypes -c $< -o $@

$(FAULT)/libmtrace.so: $(SHIM_OBJECTS) $(FAULT)/faulty.o
	$(call say,LD,$@)
	$(Q)$(CC) $^ $(SHIM_LDFLAGS) $(FAULT_NAMES:%=-Wl$(comma)--wrap=%) $(LDFLAGS) -o $@

$(FAULT)/matrix: tests/fault/matrix.c tests/fault/faults.def $(UNIT_TOOL_OBJECTS)
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(TEST_CFLAGS) $< $(UNIT_TOOL_OBJECTS) $(LDFLAGS) $(TOOL_LIBS) -o $@

FAULT_PROGRAMS := $(FAULT)/libmtrace.so $(FAULT)/matrix
tests-build programs: $(FAULT_PROGRAMS)
-include $(wildcard $(FAULT)/*.d)
