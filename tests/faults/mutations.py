"""Ways to damage a file, drawn from a random generator: as bytes, and by the structure of its format."""

import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from copy import deepcopy

import numpy as np
import odd
import yaml

Rng = np.random.Generator
Damage = Callable[[list[bytes], Rng], bytes]  # whole files of one kind -> a damaged one

INTERESTING = (0, 1, 2**15, 2**31 - 1, 2**32 - 1, -1)
HEAD = 600  # bytes; where headers are, which are worth more mutations than pixels


def pick(options: list | tuple, rng: Rng):
    return options[rng.integers(len(options))]


def a_place(data: bytes, rng: Rng) -> int:
    """An offset, half of the time in the head."""
    return int(rng.integers(max(1, min(len(data), HEAD) if rng.random() < 0.5 else len(data))))


def a_span(data: bytes, rng: Rng) -> tuple[int, int]:
    """Where it begins and ends: short ones as often as long ones."""
    start = a_place(data, rng)
    return start, min(len(data), start + int(2 ** rng.uniform(0, 12)))


def flip_bits(data: bytes, other: bytes, rng: Rng) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.integers(1, 9) if data else 0):
        changed[a_place(data, rng)] ^= 1 << rng.integers(8)
    return bytes(changed)


def overwrite(data: bytes, other: bytes, rng: Rng) -> bytes:
    start, stop = a_span(data, rng)
    run = pick((bytes(stop - start), b"\xff" * (stop - start), rng.bytes(stop - start)), rng)
    return data[:start] + run + data[stop:]


def truncate(data: bytes, other: bytes, rng: Rng) -> bytes:
    return data[: rng.integers(len(data) + 1)]


def duplicate(data: bytes, other: bytes, rng: Rng) -> bytes:
    start, stop = a_span(data, rng)
    at = a_place(data, rng)
    return data[:at] + data[start:stop] + data[at:]


def delete(data: bytes, other: bytes, rng: Rng) -> bytes:
    start, stop = a_span(data, rng)
    return data[:start] + data[stop:]


def splice(data: bytes, other: bytes, rng: Rng) -> bytes:
    """The beginning of one file and the end of another."""
    return data[: a_place(data, rng)] + other[a_place(other, rng) :]


def write_integer(data: bytes, other: bytes, rng: Rng) -> bytes:
    """An integer that programs stumble over, in either byte order, at a multiple of its size."""
    size, value = pick((1, 2, 4, 8), rng), pick(INTERESTING, rng)
    number = (value % 256**size).to_bytes(size, pick(("little", "big"), rng))
    at = a_place(data, rng) // size * size
    return data[:at] + number + data[at + size :]


OPERATORS = (
    flip_bits,
    flip_bits,
    overwrite,
    truncate,
    duplicate,
    delete,
    splice,
    write_integer,
    write_integer,
)


def of_bytes(seeds: list[bytes], rng: Rng) -> bytes:
    """Mutations that know nothing of the format: often one, sometimes several."""
    data = pick(seeds, rng)
    for _ in range(rng.geometric(0.5)):
        data = pick(OPERATORS, rng)(data, pick(seeds, rng), rng)
    return data


def of_png(seeds: list[bytes], rng: Rng) -> bytes:
    """Chunks damaged, also inside their compressed data, and their checksums put right."""
    if rng.random() < 0.2:
        return of_bytes(seeds, rng)
    chunks = png_chunks(pick(seeds, rng))
    lines = zlib.decompress(dict(chunks)[b"IDAT"])
    for _ in range(rng.integers(1, 3)):
        number = rng.integers(len(chunks))
        kind, body = chunks[number]
        if kind == b"IDAT" and rng.random() < 0.7:
            body = zlib.compress(of_bytes([lines], rng))
        elif rng.random() < 0.8:
            body = of_bytes([body], rng)
        else:
            kind = pick(
                (
                    b"IHDR",
                    b"PLTE",
                    b"IDAT",
                    b"IEND",
                    b"tRNS",
                    b"iCCP",
                    b"gAMA",
                    b"eXIf",
                    b"zTXt",
                    b"iTXt",
                    b"acTL",
                    b"fdAT",
                ),
                rng,
            )
        chunks[number] = kind, body
    if rng.random() < 0.2:
        chunks.insert(rng.integers(len(chunks)), pick(chunks, rng))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """(kind, body) each, of a whole file; the picture's data as one chunk."""
    chunks, at = [], 8
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + size]
        if kind == b"IDAT" and chunks[-1][0] == b"IDAT":
            chunks[-1] = kind, chunks[-1][1] + body
        else:
            chunks.append((kind, body))
        at += 12 + size
    return chunks


def of_tiff(seeds: list[bytes], rng: Rng) -> bytes:
    """Tags of the first directory: another number, type, count or value."""
    data = pick(seeds, rng)
    if rng.random() < 0.3:
        return of_bytes(seeds, rng)
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    field, counter, size = ("Q", "Q", 20) if big else ("I", "H", 12)
    (at,) = struct.unpack_from(order + field, data, 8 if big else 4)
    (count,) = struct.unpack_from(order + counter, data, at)
    changed = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        entry = at + struct.calcsize(counter) + size * int(rng.integers(count))
        part = rng.integers(6)
        if part == 0:
            struct.pack_into(order + "H", changed, entry, int(rng.integers(254, 352)))
        elif part == 1:
            struct.pack_into(order + "H", changed, entry + 2, int(rng.integers(20)))
        else:
            place = entry + (4 if part == 2 else size - struct.calcsize(field))
            value = pick((*INTERESTING, int(rng.integers(70000)), int(rng.integers(len(data)))), rng)
            struct.pack_into(order + field, changed, place, value % 256 ** struct.calcsize(field))
    return of_bytes([bytes(changed)], rng) if rng.random() < 0.2 else bytes(changed)


PLACE = "PUT_HERE"  # for a text that a serialiser would not write


def nodes(tree: object) -> list[tuple]:
    """(container, key) of all values in it."""
    found, waiting = [], [tree]
    while waiting:
        node = waiting.pop()
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, value in items:
            found.append((node, key))
            waiting.append(value)
    return found


def of_tree(tree: object, rng: Rng, values: tuple = odd.VALUES) -> object:
    """A copy with one value, or a few, dropped, renamed, replaced, wrapped, repeated, or marked for a text."""
    tree = deepcopy(tree)
    for _ in range(rng.geometric(0.6)):
        if not (places := nodes(tree)):
            return tree
        node, key = pick(places, rng)
        (where, other), kind, value = pick(places, rng), rng.integers(8), node[key]
        if kind == 0:
            del node[key]
        elif kind == 1 and isinstance(node, dict):
            node[
                pick((f"{key}x", str(key)[:-1], str(other), "", "-", 3, None, True, "x" * 3000, "a\nb"), rng)
            ] = node.pop(key)
        elif kind == 2:
            node[key] = pick(([value], {"a": value}, [value, value], str(value)), rng)
        elif kind == 3:
            node[key] = deepcopy(where[other])
        elif kind == 4:
            node[key] = PLACE
        elif kind == 5 and isinstance(value, int | float):
            node[key] = pick((-value, value * 10**9, value + 0.5, value // 1, str(value)), rng)
        else:
            node[key] = deepcopy(pick(values, rng))
    return tree


def of_yaml(seeds: list[bytes], rng: Rng) -> bytes:
    """Of the parsed tree, or of the text."""
    if rng.random() < 0.3:
        return of_bytes(seeds, rng)
    if rng.random() < 0.02:
        return pick(odd.YAML, rng).encode(errors="surrogatepass")
    tree = of_tree(yaml.load(pick(seeds, rng), yaml.CSafeLoader), rng)
    text = yaml.dump(
        tree, Dumper=yaml.CSafeDumper, sort_keys=False, default_flow_style=bool(rng.random() < 0.3)
    )
    data = text.replace(PLACE, pick(odd.YAML, rng)).encode()
    return of_bytes([data], rng) if rng.random() < 0.1 else data


def of_safetensors(seeds: list[bytes], rng: Rng) -> bytes:
    """Fields of the header, and its length made to fit."""
    if rng.random() < 0.2:
        return of_bytes(seeds, rng)
    data = pick(seeds, rng)
    (size,) = struct.unpack("<Q", data[:8])
    tree = json.loads(data[8 : 8 + size])
    if rng.random() < 0.4 and "__metadata__" in tree:
        tree["__metadata__"] = of_tree(tree["__metadata__"], rng, odd.SAFETENSORS)
    else:
        tree = of_tree(tree, rng, odd.SAFETENSORS)
    header = json.dumps(tree).replace(f'"{PLACE}"', pick(odd.JSON, rng)).encode()
    body = of_bytes([data[8 + size :]], rng) if rng.random() < 0.2 else data[8 + size :]
    return struct.pack("<Q", len(header)) + header + body


def of_zip(seeds: list[bytes], rng: Rng) -> bytes:
    """Files inside damaged or renamed, and the archive's checksums made to fit."""
    data = pick(seeds, rng)
    if rng.random() < 0.25 or data[:2] != b"PK":
        return of_bytes(seeds, rng)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = [(name, archive.read(name)) for name in archive.namelist()]
    pickles = [number for number, (name, _) in enumerate(entries) if name.endswith(".pkl")]
    for _ in range(rng.integers(1, 3)):
        # the pickle, which says what the rest is, half of the time
        number = pickles[0] if pickles and rng.random() < 0.5 else rng.integers(len(entries))
        name, content = entries[number]
        entries[number] = (
            (name, of_bytes([content], rng))
            if rng.random() < 0.9
            else (pick(entries, rng)[0] + pick(("", "x"), rng), content)
        )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in dict(entries).items():
            archive.writestr(name, content)
    return packed.getvalue()


def of_npy(seeds: list[bytes], rng: Rng) -> bytes:
    """The text of the header, and its length made to fit."""
    data = pick(seeds, rng)
    if rng.random() < 0.1:
        return data[:130] + overwrite(data[130:], b"", rng)  # counts only
    if rng.random() < 0.2:
        return of_bytes(seeds, rng)
    if data[:6] != b"\x93NUMPY":
        return of_zip([data], rng)
    size = struct.unpack("<H", data[8:10])[0]
    text = data[10 : 10 + size].decode().rstrip()
    for _ in range(rng.integers(1, 3)):
        if rng.random() < 0.7:  # a value in place of another
            values = list(re.finditer(r"'[^']*'|\([^()]*\)|True|False|\d+", text))
            found = pick(values, rng) if values else None
            start, stop = found.span() if found else (0, 0)
        else:
            start = rng.integers(len(text) + 1)
            stop = start + rng.integers(3)
        text = text[:start] + pick(odd.NPY, rng) + text[stop:]
    version = int(rng.integers(1, 4)) if rng.random() < 0.8 else int(rng.integers(256))
    header = text.encode("latin1" if version < 3 else "utf8", errors="replace")
    if rng.random() < 0.9:
        header += b" " * (-(10 + len(header) + 1) % 64) + b"\n"
    length = struct.pack("<H", len(header) % 65536) if version == 1 else struct.pack("<I", len(header))
    return data[:6] + bytes([version, 0]) + length + header + data[10 + size :]
