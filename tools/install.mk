# install: `make install [PREFIX=/usr/local] [DESTDIR=…]`, `make uninstall`. Included by the Makefile.
#
# Every file appears under its own name by rename, so that a process that runs or maps the old one keeps it whole.
# mtrace finds the library beside itself or in ../lib, so that a whole prefix can be moved; what is installed also knows
# LIBDIR, for a LIBDIR elsewhere: one file of it is compiled anew, into $(BUILD)/installed.
# lib/libmtrace.so is the stable path to preload; the real file bears the version, the middle link the soname.
# On Debian the package libc-devtools owns /usr/bin/mtrace (glibc's malloc trace reader, a perl script) and its page
# mtrace(1). With the default PREFIX ours comes first in PATH and in man's; PREFIX=/usr is refused where theirs is.
LIBDIR ?= $(PREFIX)/lib
MANDIR ?= $(PREFIX)/share/man
SOVERSION := 0
MAN_PAGES := $(sort $(wildcard man/*.[1-9]))

INSTALLED := $(BUILD)/installed
LOCATE := tools/run/locate

installed_files = $(PREFIX)/bin/mtrace $(LIBDIR)/libmtrace.so.$(VERSION) $(LIBDIR)/libmtrace.so.$(SOVERSION) \
	$(LIBDIR)/libmtrace.so $(PREFIX)/include/mtrace.h $(LIBDIR)/pkgconfig/libmtrace.pc \
	$(foreach page,$(MAN_PAGES),$(MANDIR)/man$(subst .,,$(suffix $(page)))/$(notdir $(page)))

# What is installed, and what the pkg-config file says of it: `make dist` has others.
INSTALL_SHIM ?= $(BUILD)/libmtrace.so
PC_PREFIX ?= $(PREFIX)
PC_LIBDIR ?= $(LIBDIR)

# put MODE SOURCE TARGET: by way of a name beside it
put = install -D -m $(1) $(2) '$(DESTDIR)$(3).new' && mv -fT '$(DESTDIR)$(3).new' '$(DESTDIR)$(3)'
put_link = ln -sfn $(1) '$(DESTDIR)$(2).new' && mv -fT '$(DESTDIR)$(2).new' '$(DESTDIR)$(2)'

.PHONY: uninstall refuse-foreign-mtrace install-files

refuse-foreign-mtrace:
	@f='$(DESTDIR)$(PREFIX)/bin/mtrace'; \
	if [ -e "$$f" ] && [ "$$(dd if="$$f" bs=1 skip=1 count=3 2>/dev/null)" != ELF ]; then \
		echo "install: $$f is another program (Debian's libc-devtools has one of that name);" \
			"choose another PREFIX, for example make install PREFIX=/opt/libmtrace" >&2; exit 2; \
	fi

install: refuse-foreign-mtrace all
	$(Q)mkdir -p $(INSTALLED)
	$(Q)$(CC) $(TOOL_CFLAGS) $(CFLAGS) -DMTRACE_LIBDIR='"$(LIBDIR)"' -c $(LOCATE).c -o $(INSTALLED)/locate.o
	$(Q)$(CC) $(filter-out %/$(LOCATE).o,$(TOOL_OBJECTS)) $(INSTALLED)/locate.o $(LDFLAGS) $(TOOL_LIBS) -o $(INSTALLED)/mtrace
	$(Q)$(call put,755,$(INSTALLED)/mtrace,$(PREFIX)/bin/mtrace)
	$(Q)$(MAKE) -s install-files
	@echo "installed in $(DESTDIR)$(PREFIX); preload $(LIBDIR)/libmtrace.so, or: mtrace run -- PROGRAM"

# All but the program itself.
install-files:
	$(Q)$(call put,755,$(INSTALL_SHIM),$(LIBDIR)/libmtrace.so.$(VERSION))
	$(Q)$(call put_link,libmtrace.so.$(VERSION),$(LIBDIR)/libmtrace.so.$(SOVERSION))
	$(Q)$(call put_link,libmtrace.so.$(SOVERSION),$(LIBDIR)/libmtrace.so)
	$(Q)$(call put,644,libmtrace/mtrace.h,$(PREFIX)/include/mtrace.h)
	$(Q)mkdir -p $(BUILD) && sed -e 's|@PREFIX@|$(PC_PREFIX)|; s|@LIBDIR@|$(PC_LIBDIR)|; s|@VERSION@|$(VERSION)|' tools/libmtrace.pc.in \
		>$(BUILD)/libmtrace.pc && $(call put,644,$(BUILD)/libmtrace.pc,$(LIBDIR)/pkgconfig/libmtrace.pc)
	$(Q)$(foreach page,$(MAN_PAGES),$(call put,644,$(page),$(MANDIR)/man$(subst .,,$(suffix $(page)))/$(notdir $(page))) &&) :

uninstall:
	$(Q)rm -f $(foreach file,$(installed_files),'$(DESTDIR)$(file)')
