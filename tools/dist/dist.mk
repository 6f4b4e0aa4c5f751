# dist: `make dist` packs build/libmtrace-VERSION-linux-x86_64.tar.gz: unpacked anywhere, bin/mtrace runs and finds its library
# beside itself. Included by the Makefile, after tools/install.mk, whose layout it has.
#
# libmtrace.so needs glibc alone, GLIBC_OLDEST or newer. mtrace is one static file: carrying its libraries beside it would
# tie it to the glibc that these were built with, and a container to be looked into may have an older one, or none.
# What a static program must not do, load parts of the glibc that it finds, it does not: see tools/dist/static.c.
# The same commit, built by the same packages, gives the same bytes: no debug information (which knows where it was
# built), names in order, and one time for all files, that of the commit (or SOURCE_DATE_EPOCH).
GLIBC_OLDEST := 2.31
DIST := $(BUILD)/dist
DIST_NAME := libmtrace-$(VERSION)-linux-x86_64
DIST_TARBALL := $(BUILD)/$(DIST_NAME).tar.gz
DIST_ROOT = $(DIST)/$(DIST_NAME)
DIST_DOC = $(DIST_ROOT)/share/doc/libmtrace
STATIC_LIBS := $(TOOL_LIBS) -llzma -lbz2 -ldl
STATIC_ARCHIVES := libdw libelf libjansson libzstd libz liblzma libbz2 libiberty libc libgcc
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || date +%s)

.PHONY: dist dist-always
# The packages of the libraries to link may be missing when this file is read, so the rest is another make.
dist:
	@tests/deps.sh dist
	@$(MAKE) --no-print-directory $(DIST_TARBALL)

$(DIST)/libmtrace.so: $(SHIM_OBJECTS) libmtrace/libmtrace.map
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(SHIM_OBJECTS) $(SHIM_LDFLAGS) $(LDFLAGS) -Wl,-S -o $@.new
	$(Q)tools/dist/oldest.sh $@.new $(GLIBC_OLDEST) && mv -f $@.new $@

$(DIST)/static.o: tools/dist/static.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(TOOL_CFLAGS) $(CFLAGS) -c $< -o $@

$(DIST)/mtrace: $(TOOL_OBJECTS) $(DIST)/static.o
	$(call say,LD,$@)
	$(Q)$(CC) -static-pie $^ $(LDFLAGS) -Wl,-S -Wl,--wrap=dlopen $(STATIC_LIBS) -o $@.new && mv -f $@.new $@

# Packed anew each time: it bears the time of the commit.
$(DIST_TARBALL): $(DIST)/libmtrace.so $(DIST)/mtrace dist-always
	$(call say,TAR,$@)
	$(Q)rm -rf $(DIST_ROOT) && mkdir -p $(DIST_DOC)/licences $(DIST_ROOT)/bin
	$(Q)$(MAKE) -s install-files DESTDIR=$(DIST_ROOT) PREFIX= LIBDIR=/lib MANDIR=/share/man INSTALL_SHIM=$(DIST)/libmtrace.so \
		PC_PREFIX='$$$${pcfiledir}/../..' PC_LIBDIR='$$$${prefix}/lib'
	$(Q)install -m 755 $(DIST)/mtrace $(DIST_ROOT)/bin/mtrace
	$(Q)install -m 644 LICENSE $(DIST_ROOT)/LICENSE
	$(Q)sed 's|@VERSION@|$(VERSION)|; s|@GLIBC_OLDEST@|$(GLIBC_OLDEST)|' tools/dist/README.in >$(DIST_ROOT)/README
	$(Q)cp -r examples $(DIST_DOC)/examples && rm -f $(DIST_DOC)/examples/*.mk $(DIST_DOC)/examples/run_ci.py $(DIST_DOC)/examples/quickstart.sh
	$(Q)tools/dist/licences.sh $(DIST_DOC)/licences $(STATIC_ARCHIVES)
	$(Q)tar --sort=name --format=gnu --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --mtime=@$(SOURCE_DATE_EPOCH) \
		-C $(DIST) -cf - $(DIST_NAME) | gzip -9n >$@.new && mv -f $@.new $@
