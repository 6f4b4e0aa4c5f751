# model.mk: the ring's and the fold's protocols in every order of their steps (interleave.h), and copies of both rooms with
# one fault each (mutants.def), in which an order must be found that shows it. `make check` runs them by
# tests/programs/model.sh.

MODEL := $(BUILD)/model
MODEL_MUTANTS := $(shell sed -n 's/^\([a-z]*\) \([a-z_]*\) .*/\1-\2/p' tests/model/mutants.def)
MODEL_PROGRAMS := $(MODEL)/ring $(MODEL)/counts $(MODEL_MUTANTS:%=$(MODEL)/%)
MODEL_CFLAGS = $(TEST_CFLAGS) -Itests/model -Wno-unused-function

# A line of mutants.def that changes nothing any more is an error.
$(MODEL)/%.mutant.c: tests/model/mutants.def tests/model/mutate.sh libmtrace/ring.c libmtrace/counts.c
	$(Q)mkdir -p $(@D) && tests/model/mutate.sh $* >$@

$(MODEL)/ring $(MODEL)/counts: $(MODEL)/%: tests/model/model_%.c tests/model/interleave.c tests/model/interleave.h $(UNIT)/libmtrace-unit.a
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(MODEL_CFLAGS) -D$(if $(filter ring,$*),RING,COUNTS)_SOURCE='"../../libmtrace/$*.c"' $< tests/model/interleave.c \
		$(UNIT)/libmtrace-unit.a $(CHECK_LIBS) -o $@

$(MODEL)/ring-%: $(MODEL)/ring-%.mutant.c tests/model/model_ring.c $(MODEL)/ring
	$(call say,CC,$@)
	$(Q)$(CC) $(MODEL_CFLAGS) -DRING_SOURCE='"$(abspath $<)"' tests/model/model_ring.c tests/model/interleave.c $(UNIT)/libmtrace-unit.a $(CHECK_LIBS) -o $@

$(MODEL)/counts-%: $(MODEL)/counts-%.mutant.c tests/model/model_counts.c $(MODEL)/counts
	$(call say,CC,$@)
	$(Q)$(CC) $(MODEL_CFLAGS) -DCOUNTS_SOURCE='"$(abspath $<)"' tests/model/model_counts.c tests/model/interleave.c $(UNIT)/libmtrace-unit.a $(CHECK_LIBS) -o $@

.SECONDARY: $(MODEL_MUTANTS:%=$(MODEL)/%.mutant.c)
tests-build programs: $(MODEL_PROGRAMS)
