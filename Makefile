# libmtrace: `make` builds build/libmtrace.so and build/mtrace. See README.md.
VERSION := 0.1.0
PREFIX ?= /usr/local
DESTDIR ?=
BUILD ?= build
V ?= 0

CC ?= gcc
CSTD := -std=gnu11
WARN := -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wundef
ifeq ($(CI),true)
WARN += -Werror
endif
CFLAGS ?= -O2 -g
COMMON := $(CSTD) $(WARN) -D_GNU_SOURCE -DMTRACE_VERSION='"$(VERSION)"' -MMD -MP

SHIM_CFLAGS := $(COMMON) -Wconversion -Wno-sign-conversion -Wframe-larger-than=4400 -fPIC -fvisibility=hidden \
	-ftls-model=initial-exec -fno-plt -fno-stack-protector -fno-semantic-interposition -fno-tree-slp-vectorize -fasynchronous-unwind-tables \
	-Ilibmtrace
SHIM_LDFLAGS := -shared -Wl,-soname,libmtrace.so.0 -Wl,-z,nodelete -Wl,-z,relro -Wl,-z,now \
	-Wl,--version-script=libmtrace/libmtrace.map -Wl,--no-undefined -static-libgcc \
	-Wl,--push-state,--no-as-needed -l:libdl.so.2 -Wl,--pop-state
TOOL_CFLAGS := $(COMMON) -Ilibmtrace -Itools
TOOL_LIBS := -ldw -lelf -ljansson -lzstd -lz -liberty -lpthread

SHIM_SOURCES := $(wildcard libmtrace/*.c libmtrace/unwind/*.c libmtrace/lang/*.c)
TOOL_SOURCES := $(wildcard tools/*.c tools/read/*.c tools/model/*.c tools/emit/*.c tools/symbols/*.c tools/run/*.c tools/observe/*.c tools/attach/*.c tools/gate/*.c)
SHIM_OBJECTS := $(SHIM_SOURCES:%.c=$(BUILD)/%.o)
TOOL_OBJECTS := $(TOOL_SOURCES:%.c=$(BUILD)/%.o)

Q := $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),,@printf '  %-6s %s\n' $(1) $(2))

.DEFAULT_GOAL := all
.PHONY: all lib tools clean deps install check quickstart lint bench soak fuzz

all: lib tools
lib: $(BUILD)/libmtrace.so
tools: $(BUILD)/mtrace

$(BUILD)/libmtrace.so: $(SHIM_OBJECTS) libmtrace/libmtrace.map
	$(call say,LD,$@)
	$(Q)$(CC) $(SHIM_OBJECTS) $(SHIM_LDFLAGS) $(LDFLAGS) -o $@.new && mv -f $@.new $@

$(BUILD)/mtrace: $(TOOL_OBJECTS)
	$(call say,LD,$@)
	$(Q)$(CC) $(TOOL_OBJECTS) $(LDFLAGS) $(TOOL_LIBS) -o $@.new && mv -f $@.new $@

$(BUILD)/libmtrace/%.o: libmtrace/%.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(SHIM_CFLAGS) $(CFLAGS) -c $< -o $@

$(BUILD)/tools/%.o: tools/%.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(TOOL_CFLAGS) $(CFLAGS) -c $< -o $@

-include $(SHIM_OBJECTS:.o=.d) $(TOOL_OBJECTS:.o=.d)

clean:
	rm -rf $(BUILD)

-include tests/tests.mk
-include tests/long.mk
-include tests/lint/lint.mk
-include examples/examples.mk
-include tools/install.mk
-include tools/dist/dist.mk
