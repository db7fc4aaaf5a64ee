#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""read_record.py FILE.db ID, or read_record.py <BLOCK: a session as JSON,
read with nothing but its description in docs/stored-form.md."""
import json, pathlib, sqlite3, struct, sys
FIELDS = ["ended", "idleEnd", "user", "maxInactive", "maxLifetime"]
KINDS = {0: "session", 1: "user", 2: "secret"}
class Reader:
    def __init__(self, data): self.data, self.at = data, 0
    def take(self, size):
        self.at += size
        if self.at > len(self.data): sys.exit("the block ends too early")
        return self.data[self.at - size:self.at]
    def number(self, form):
        return struct.unpack(">" + form, self.take(struct.calcsize(form)))[0]
    def row(self, size): return [self.value() for _ in range(size)]
    def value(self):
        t = self.take(1)[0]
        if t < 0x80 or t >= 0xe0: return t if t < 0x80 else t - 256
        if t < 0xa0: return self.row((t & 15) * (1 if t & 16 else 2))
        if t < 0xc0: return self.take(t & 31).decode(errors="replace")
        if t < 0xc4: return {0xc2: False, 0xc3: True}.get(t)
        if t < 0xc7: return self.take(self.number("BHI"[t - 0xc4]))
        if t < 0xca: return self.take(self.number("BHI"[t - 0xc7]) + 1)
        if t < 0xd4: return self.number("fdBHIQbhiq"[t - 0xca])
        if t < 0xd9: return self.take((1 << t - 0xd4) + 1)
        if t < 0xdc: return self.take(self.number("BHI"[t - 0xd9])).decode("utf-8", "replace")
        return self.row(self.number("HI"[t & 1]) * (1 if t < 0xde else 2))

def told(kind, value):
    if kind == 6:  # base, then node, plus, minus of each slot; wraps as int64
        return (value[0] + sum(value[2::3]) - sum(value[3::3]) + 2**63) % 2**64 - 2**63
    return value if kind < 8 else {"type": kind, "value": value}

access, block = None, b""
if len(sys.argv) == 3:
    db = sqlite3.connect(pathlib.Path(sys.argv[1]).resolve().as_uri() + "?mode=ro", uri=True)
    for found in db.execute("SELECT bytes FROM sessions WHERE hex(id) = ?", sys.argv[2:]):
        access, block = Reader(found[0]).value()
elif len(sys.argv) == 1: block = sys.stdin.buffer.read()
block or sys.exit("no such session")
version, kind, whole, ident, birth, nodes, registers = Reader(block).value()
version == 1 or sys.exit("format %s; this script reads 1" % version)
fields, attributes = {}, {}
for key, type_, time, node, value in zip(*[iter(registers)] * 5):
    if type_ and isinstance(key, str): attributes[key] = told(type_, value)
    elif type_: fields[FIELDS[key] if key < 5 else str(key)] = told(type_, value)
print(json.dumps({"id": ident.hex().upper(), "kind": KINDS.get(kind, kind),
    "whole": whole, "birth": birth, "lastAccess": access, "fields": fields,
    "attributes": attributes}, default=lambda b: {"bytes": b.hex()}, sort_keys=True))
