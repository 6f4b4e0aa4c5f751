# lint: `make lint` says nothing against the tree, or says what. Included by the Makefile; `make check` runs the same
# suites with the others. Two minutes at most. Each one can be run by itself: BUILD=build tests/lint/NAME.sh
LINT_SUITES := $(foreach name,layers headers text analyse stack symbols man install readme examples,\
	lint-$(name)=tests/lint/$(name).sh)

.PHONY: lint format

lint:
	@$(MAKE) --no-print-directory deps
	@$(MAKE) --no-print-directory all examples
	@BUILD=$(BUILD) SUITE_SECONDS=120 tests/run.sh $(BUILD)/tests/lint $(LINT_SUITES)

# make format FILES="tools/mtrace.c …": rewrites these in the style of .clang-format
format:
	$(if $(FILES),clang-format -i $(FILES),@echo 'make format FILES="…"' && exit 2)
