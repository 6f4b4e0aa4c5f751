#!/usr/bin/python3
"""cut: takes from a segment, while its process runs, what lies behind the last committed page of all regions that are in use.

cut.py SEGMENT   Regions lie one after another; so the file is cut behind the committed part of the last one that has one, and
holes are punched nowhere: what is committed stays."""
import os
import struct
import sys

REGIONS_AT, REGION_BYTES, REGION_MAX = 184, 40, 28

f = os.open(sys.argv[1], os.O_RDWR)
header = os.pread(f, 4096, 0)
regions = [struct.unpack_from("<QQQQ", header, REGIONS_AT + REGION_BYTES * i) for i in range(REGION_MAX)]
end = max(offset + committed for offset, _, committed, _ in regions if committed)
os.ftruncate(f, end)
