#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""read_file.py ID.session [--block]: a file of FileStore, read with nothing but
its description in docs/stored-form.md. --block: the record itself, for
read_record.py."""
import json, struct, sys

def checksum(data):
    total = 0xcbf29ce484222325
    for word, in struct.iter_unpack(">Q", data + bytes(-len(data) % 8)):
        total = (total ^ word) * 0x100000001b3 % 2**64
        total ^= total >> 29
    return total

with open(sys.argv[1], "rb") as f: file = f.read()
len(file) >= 64 or sys.exit("shorter than its head")
magic, form, ident, version, expiry, size, told = struct.unpack(">8sQ16sQqQQ", file[:64])
magic == b"MRGYfile" or sys.exit("no file of Margay")
form == 1 or sys.exit("format %s; this script reads 1" % form)
row = file[64:]
len(row) == size and checksum(file[:56] + row) == told or sys.exit("damaged")
# [access, record]: 0x92; a positive integer of 8 bytes, 0xcf or 0xd3; a bin
at = {0xc4: (">B", 1), 0xc5: (">H", 2), 0xc6: (">I", 4)}[row[10]]
block = row[11 + at[1]:]
assert row[0] == 0x92 and row[1] in (0xcf, 0xd3)
assert struct.unpack_from(at[0], row, 11)[0] == len(block)
if "--block" in sys.argv: sys.exit(sys.stdout.buffer.write(block) * 0)
print(json.dumps({"id": ident.hex().upper(), "version": version, "expiry": expiry,
    "access": struct.unpack_from(">q", row, 2)[0], "bytes": len(block)}))
