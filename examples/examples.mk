# examples: builds the example programs into $(BUILD)/examples and runs the quickstart. Included by the Makefile.
# They are built as users build theirs: optimised, with debug information, without frame pointers.
EXAMPLE_CFLAGS := -O2 -g -Wall -Wextra
EXAMPLES := $(addprefix $(BUILD)/examples/,leak cache host plugin.so leak_module.so)

.PHONY: examples

examples: $(EXAMPLES)

$(BUILD)/examples/leak: examples/c-leak/leak.c
$(BUILD)/examples/host: examples/plugin-dlclose/host.c
$(BUILD)/examples/plugin.so: examples/plugin-dlclose/plugin.c
$(BUILD)/examples/leak_module.so: examples/redis-leak/leak_module.c

$(BUILD)/examples/leak $(BUILD)/examples/host:
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && $(CC) -std=gnu11 $(EXAMPLE_CFLAGS) $< -o $@ -ldl

$(BUILD)/examples/%.so:
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && $(CC) -std=gnu11 $(EXAMPLE_CFLAGS) -fPIC -shared $< -o $@

$(BUILD)/examples/cache: examples/cpp-cache/cache.cc
	$(call say,CXX,$@)
	$(Q)mkdir -p $(@D) && $(CXX) -std=c++17 $(EXAMPLE_CFLAGS) $< -o $@

# Packages first, then the build: on a fresh machine the compiler itself may be missing.
quickstart:
	@$(MAKE) --no-print-directory deps-quickstart
	@$(MAKE) --no-print-directory all $(BUILD)/examples/leak_module.so
	@BUILD=$(BUILD) examples/quickstart.sh
