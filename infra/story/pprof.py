"""Just enough of pprof to compare two profiles by meaning."""

import gzip
from collections import Counter


def totals(data: bytes) -> Counter:
    """Values by (sample type, stack of function names)."""
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    strings, types, samples, locations, functions = [], [], [], {}, {}
    for field, value in fields(data):
        if field == 1:
            types.append(one(value, 1))
        elif field == 2:
            samples.append((numbers(value, 1), numbers(value, 2)))
        elif field == 4:
            lines = [inner for number, inner in fields(value) if number == 4]
            name = [one(line, 1) for line in lines] or [("address", one(value, 3))]
            locations[one(value, 1)] = name
        elif field == 5:
            functions[one(value, 1)] = one(value, 2)
        elif field == 6:
            strings.append(value.decode(errors="replace"))
    found = Counter()
    for stack, values in samples:
        frames = [frame for location in stack for frame in locations[location]]
        names = tuple(f if isinstance(f, tuple) else strings[functions[f]] for f in frames)
        for kind, value in zip(types, values):
            if value:
                found[strings[kind], names] += value
    return found


def fields(data: bytes):
    """Fields of a message: number, and an integer or bytes."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = varint(data, at)
        elif wire == 2:
            size, at = varint(data, at)
            value, at = data[at : at + size], at + size
        else:
            raise ValueError(f"wire type {wire} is not in pprof")
        yield number, value


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
        if byte < 128:
            return value if value < 1 << 63 else value - (1 << 64), at


def one(message: bytes, number: int) -> int:
    return next((value for field, value in fields(message) if field == number), 0)


def numbers(message: bytes, number: int) -> list[int]:
    """A repeated integer, packed or not."""
    found = []
    for field, value in fields(message):
        if field == number and isinstance(value, int):
            found.append(value)
        elif field == number:
            at = 0
            while at < len(value):
                item, at = varint(value, at)
                found.append(item)
    return found
